"""Lesions counted by overlap, and one to one."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from renalis.evaluation.lesions import Detection, LesionRule, detect, detection_table, one_to_one
from renalis.evaluation.surface import PlacedMasks


def detected(reference: NDArray, prediction: NDArray, **rule: float) -> Detection:
    masks = PlacedMasks(reference.astype(bool), prediction.astype(bool), (0, 0, 0))
    return detect([masks], 0.001, LesionRule(**rule))


def counts(found: Detection) -> dict[str, float | int | str | None]:
    return detection_table([found])[0]


def test_one_prediction_over_three_lesions_has_one_partner() -> None:
    reference, prediction = np.zeros((2, 20, 20, 40), bool)
    for start in (2, 14, 26):
        reference[5:15, 5:15, start : start + 8] = True
    prediction[5:15, 5:15, 2:34] = True
    row = counts(detected(reference, prediction))
    assert (row["reference"], row["found"], row["predicted"], row["true"]) == (3, 3, 1, 1)
    assert row["matched"] == 1
    assert row["one_to_one_sensitivity"] == 1 / 3
    assert row["one_to_one_precision"] == 1


def test_sixteen_fragments_have_one_partner_at_most() -> None:
    reference, prediction = np.zeros((2, 10, 28, 28), bool)
    reference[2:8, 2:26, 2:26] = True
    for row, column in itertools.product(range(4), repeat=2):
        prediction[2:8, 2 + 6 * row : 7 + 6 * row, 2 + 6 * column : 7 + 6 * column] = True
    found = counts(detected(reference, prediction))
    assert (found["found"], found["predicted"], found["true"]) == (1, 16, 16)
    assert found["matched"] == 0  # none of them is a tenth of the lesion
    found = counts(detected(reference, prediction, overlap=0.04))
    assert (found["matched"], found["one_to_one_precision"]) == (1, 1 / 16)


def test_as_many_pairs_as_can_be_then_the_best() -> None:
    # The first prediction lies over both lesions, the second over the first alone: two pairs.
    shared = np.array([[50, 30, 100], [20, 0, 100], [80, 40, 0]])
    assert one_to_one(shared, 0.1) == ([0, 1], [1, 0])
    shared = np.array([[50, 30, 100], [0, 0, 100], [80, 40, 0]])
    assert one_to_one(shared, 0.1) == ([0], [0])


@settings(deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4))
def test_no_other_way_to_pair_lesions_has_more_pairs_or_a_larger_sum_of_dice(
    data: st.DataObject, count: int, others: int
) -> None:
    sizes = st.integers(40, 60)
    shared = np.zeros((count + 1, others + 1), np.int64)
    shared[:-1, :-1] = [[data.draw(st.sampled_from((0, 3, 10, 20))) for _ in range(others)]
                        for _ in range(count)]  # fmt: skip
    shared[:-1, -1] = [data.draw(sizes) for _ in range(count)]
    shared[-1, :-1] = [data.draw(sizes) for _ in range(others)]

    def worth(pairs: list[tuple[int, int]]) -> tuple[int, float]:
        dice = [2 * shared[r, c] / (shared[r, -1] + shared[-1, c]) for r, c in pairs]
        return len(pairs), round(float(sum(dice)), 9)

    def may_be(r: int, c: int) -> bool:
        return bool(shared[r, c] and 10 * shared[r, c] >= max(shared[r, -1], shared[-1, c]))

    # Every way to give some of the lesions a partner each, None for no partner.
    ways = itertools.product([*range(others), None], repeat=count)
    pairings = [
        [(r, c) for r, c in enumerate(way) if c is not None]
        for way in ways
        if len({c for c in way if c is not None}) == sum(c is not None for c in way)
    ]
    allowed = [pairs for pairs in pairings if all(may_be(r, c) for r, c in pairs)]
    found = list(zip(*one_to_one(shared, 0.1), strict=True))
    assert found in allowed
    assert worth(found) == max(map(worth, allowed))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), density=st.floats(0.02, 0.3), same=st.booleans())
def test_partners_are_hits_and_come_in_pairs(seed, density, same) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.random((2, 12, 12, 12)) < density
    found = detected(one, one if same else two, min_diameter_mm=0)
    pairs = [sum(x.matched for x in side) for side in (found.reference, found.prediction)]
    assert pairs[0] == pairs[1]
    assert all(x.hit for side in (found.reference, found.prediction) for x in side if x.matched)
    if same:
        assert pairs[0] == len(found.reference)
