"""What one label convention can express of another follows from what its values mean."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from renalis.conventions import REGIONS, SCORED, Convention, Label, convention, translation
from renalis.errors import UsageError
from renalis.evaluation.regions import mapping, regions

_KIDNEYS = {"kidney", "left_kidney", "right_kidney"}
_BY_HAND = {
    ("kits19", "kits23"): ({1: 1, 2: 2}, {"tumor"}),
    ("kits19", "radboud"): ({1: 1, 2: 2}, set()),
    ("kits23", "kits19"): ({1: 1, 2: 2, 3: 1}, {"tumor"}),
    ("kits23", "radboud"): ({1: 1, 2: 2, 3: 2}, {"parenchyma", "abnormality"}),
    ("radboud", "kits19"): ({1: 1, 2: 2}, set()),
    ("radboud", "kits23"): ({1: 1, 2: 2}, {"masses"}),
    ("totalsegmentator", "kits19"): ({2: 1, 3: 1, 23: 1, 24: 1}, set()),
    ("totalsegmentator", "kits23"): ({2: 1, 3: 1, 23: 3, 24: 3}, {"cyst"}),
    ("totalsegmentator", "radboud"): ({2: 1, 3: 1, 23: 2, 24: 2}, set()),
}


@pytest.mark.parametrize(("written", "scored"), _BY_HAND)
def test_a_file_is_read_in_another_convention_as_one_would_by_hand(
    written: str, scored: str
) -> None:
    values, lesions = _BY_HAND[written, scored]
    table, names = mapping(Convention(written), Convention(scored))
    wanted = np.full(256, 255, np.uint8)
    wanted[0] = 0
    if written == "totalsegmentator":
        wanted[1:118] = 0  # other organs
    wanted[list(values)] = list(values.values())
    np.testing.assert_array_equal(table, wanted)
    assert names == _KIDNEYS | lesions


@pytest.mark.parametrize("one", SCORED)
def test_a_file_expresses_all_of_its_own_convention(one: Convention) -> None:
    table, names = mapping(one, one)
    assert {v: int(table[v]) for v in one.values.values()} == {v: v for v in one.values.values()}
    assert names == {region.name for region in regions(one)}
    assert {region.values for region in regions(one) if region.side} == {
        frozenset(one.values.values())
    }


@pytest.mark.parametrize("one", Convention)
def test_the_classes_of_a_convention_cover_everything_renal_once(one: Convention) -> None:
    assert frozenset().union(*one.label_sets) == REGIONS["kidney"]
    for first, second in itertools.combinations({c.labels for c in one.classes}, 2):
        assert not first & second
    assert len(set(one.values.values())) == len(one.classes)


def test_the_labels_that_are_written_are_those_of_kits23() -> None:
    written = {label.name.lower(): int(label) for label in Label if label is not Label.BACKGROUND}
    assert Convention.KITS23.values == written
    assert translation(Convention.KITS23, Convention.KITS23) == {1: 1, 2: 2, 3: 3}


def test_an_unknown_convention_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'kits22'.*kits19, kits23, radboud"):
        convention("kits22")
