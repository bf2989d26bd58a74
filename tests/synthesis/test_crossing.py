"""Crossed kidneys come from annotated ones, and added lesions keep out of the sinus."""

from __future__ import annotations

import numpy as np
import pytest

from renalis.synthesis.crossed_kidneys import crossed_kidneys, two_kidneys
from renalis.synthesis.invented_labels import invented_labels
from renalis.synthesis.renal_tissues import renal_sinus
from renalis.synthesis.varied_labels import add_lesions
from renalis.volume import Volume


@pytest.mark.parametrize("seed", range(2))
def test_a_crossed_kidney_leaves_one_side_and_the_other_stays_where_it_was(seed: int) -> None:
    labels = invented_labels(np.random.default_rng(seed), "normal")
    crossed = crossed_kidneys(labels, np.random.default_rng(seed))
    after = world_of(crossed, np.asarray(crossed.array) > 0)
    there = {tuple(place) for place in np.round(after, 3)}
    kidneys = [world_of(labels, mask) for mask in two_kidneys(np.asarray(labels.array), 1.5)]
    stays = [one for one in kidneys if {tuple(place) for place in np.round(one, 3)} <= there]
    assert len(stays) == 1
    side = np.sign(stays[0][:, 0].mean())
    # What went to the other side is before the spine at most.
    assert (after[:, 0] * side).min() > -60
    before = np.concatenate(kidneys)
    assert len(after) > 0.75 * len(before)
    assert after[:, 2].min() < before[:, 2].min()


def world_of(labels: Volume, mask: np.ndarray) -> np.ndarray:
    """World coordinates (mm, RAS+) of a mask's voxels."""
    return np.asarray(labels.world(np.argwhere(mask)))


def test_without_two_kidneys_nothing_changes() -> None:
    labels = invented_labels(np.random.default_rng(1), "single")
    assert len(two_kidneys(np.asarray(labels.array), 1.5)) == 1
    assert crossed_kidneys(labels, np.random.default_rng(0)) is labels


def test_added_lesions_keep_out_of_the_sinus() -> None:
    labels = np.asarray(invented_labels(np.random.default_rng(2), "normal").array).copy()
    labels[labels > 1] = 1
    sinus = renal_sinus(labels > 0, 1.5)
    assert np.count_nonzero(sinus) > 1000
    found = 0
    for seed in range(12):
        more = add_lesions(labels, np.random.default_rng(seed), 1.5, sinus)
        found += np.count_nonzero(more > 1)
        assert not (sinus & (more > 1)).any()
    assert found > 1000
