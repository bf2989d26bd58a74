"""Which lesions stay, on hand-made probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.prediction.lesions import keep_sure_lesions
from renalis.thresholds import Thresholds

VOXEL_ML = 0.05
"""Makes the lesion one of 3.2 ml."""


def kidney_with(
    channel: int, share: float, renal: float = 0.95
) -> tuple[NDArray[np.float32], tuple[slice, slice, slice]]:
    """A kidney of 12 voxels a side with a lesion of 4, which has a share of what is renal."""
    probability = np.zeros((3, 20, 20, 20), np.float32)
    probability[0, 4:16, 4:16, 4:16] = 0.98
    box = (slice(6, 10), slice(6, 10), slice(6, 10))
    probability[(0, *box)] = renal * (1 - share)
    probability[(channel, *box)] = renal * share
    return probability, box


def test_a_sure_lesion_stays() -> None:
    for channel in (1, 2):
        probability, box = kidney_with(channel, 0.9)
        before = probability.copy()
        keep_sure_lesions(probability, VOXEL_ML, Thresholds(tumor_ml=1))
        np.testing.assert_array_equal(probability, before)
        assert (probability.argmax(0)[box] == channel).all()


def test_an_unsure_tumor_becomes_kidney_and_nothing_renal_is_lost() -> None:
    probability, box = kidney_with(1, 0.6)
    before = probability.sum(0)
    keep_sure_lesions(probability, VOXEL_ML, Thresholds(tumor_sure=0.65, tumor_ml=1))
    assert (probability[(1, *box)] == 0).all()
    np.testing.assert_allclose(probability.sum(0), before, rtol=1e-6)


def test_unsure_fluid_belongs_to_no_label() -> None:
    probability, box = kidney_with(2, 0.6)
    keep_sure_lesions(probability, VOXEL_ML, Thresholds(cyst_sure=0.7))
    assert (probability[(slice(None), *box)] == 0).all()
    assert np.count_nonzero(probability[0]) == 12**3 - 4**3


def test_a_lesion_of_unclear_kind_is_a_tumor_if_it_may_be_one() -> None:
    for tumor, cyst, named in ((0.4, 0.5, 1), (0.5, 0.4, 1), (0.15, 0.65, 0), (0.3, 0.35, 0)):
        probability, box = kidney_with(1, 0.0)
        rest = 0.98 - tumor - cyst
        probability[(slice(None), *box)] = np.array([rest, tumor, cyst])[:, None, None, None]
        options = Thresholds(
            tumor_sure=0.6, cyst_sure=0.87, lesion_sure=0.75, maybe_tumor=0.25, unclear_ml=3
        )
        keep_sure_lesions(probability, VOXEL_ML, options)
        assert bool((probability[(1, *box)] > 0.6).all()) == bool(named)
        assert (probability[(2, *box)] == 0).all()


def test_a_small_lesion_of_unclear_kind_is_none() -> None:
    probability, box = kidney_with(1, 0.0)
    probability[(slice(None), *box)] = np.array([0.08, 0.4, 0.5])[:, None, None, None]
    keep_sure_lesions(probability, VOXEL_ML, Thresholds(unclear_ml=3.3))
    assert (probability[(slice(1, 3), *box)] == 0).all()


def test_a_tumor_that_may_be_nothing_renal_is_nothing() -> None:
    for renal, stays in ((0.8, True), (0.7, False)):
        probability, box = kidney_with(1, 0.97, renal)
        before = probability.copy()
        options = Thresholds(tumor_outside=0.25, tumor_ml=1)
        keep_sure_lesions(probability, VOXEL_ML, options)
        if stays:
            np.testing.assert_array_equal(probability, before)
        else:
            assert (probability[(slice(None), *box)] == 0).all()


def test_what_winds_through_the_kidney_is_no_tumor() -> None:
    for shape, stays in (((8, 8, 8), True), ((3, 3, 60), False)):
        probability = np.zeros((3, 20, 20, 64), np.float32)
        probability[0, 2:18, 2:18, 1:63] = 0.98
        box = tuple(slice(5, 5 + n) if n < 60 else slice(2, 62) for n in shape)
        probability[(0, *box)], probability[(1, *box)] = 0.05, 0.93
        keep_sure_lesions(probability, 1 / 100, Thresholds(tumor_ml=1))
        assert bool((probability.argmax(0)[box] == 1).all()) == stays
        assert (probability.sum(0)[box] > 0.9).all()


def test_what_reaches_into_the_calyces_has_to_be_a_surer_cyst() -> None:
    options = Thresholds(cyst_sure=0.8, cyst_ball=0.3, lobed_cyst_sure=0.9)
    for shape, share, stays in (((8, 8, 8), 0.85, True), ((3, 3, 60), 0.85, False),
                                ((3, 3, 60), 0.95, True)):  # fmt: skip
        probability = np.zeros((3, 20, 20, 64), np.float32)
        probability[0, 2:18, 2:18, 1:63] = 0.98
        box = tuple(slice(5, 5 + n) if n < 60 else slice(2, 62) for n in shape)
        probability[(0, *box)], probability[(2, *box)] = 1 - share, share
        keep_sure_lesions(probability, 1 / 100, options)
        assert bool((probability[(2, *box)] > 0).all()) == stays


def test_unsure_fluid_in_a_tumor_is_a_part_of_it() -> None:
    probability, box = kidney_with(1, 0.9)
    fluid = (slice(7, 9), slice(7, 9), slice(7, 9))
    probability[(slice(None), *fluid)] = np.array([0.05, 0.3, 0.6])[:, None, None, None]
    renal = probability.sum(0)
    keep_sure_lesions(probability, VOXEL_ML, Thresholds(tumor_ml=1))
    assert (probability.argmax(0)[box] == 1).all()
    np.testing.assert_allclose(probability.sum(0), renal, rtol=1e-6)


def test_fluid_that_may_lie_outside_the_kidney_is_no_cyst() -> None:
    probability, box = kidney_with(2, 0.95, renal=0.7)
    keep_sure_lesions(probability, VOXEL_ML, Thresholds(cyst_at=0.8))
    assert (probability[(slice(None), *box)] == 0).all()


def test_a_lesion_is_judged_as_a_whole() -> None:
    probability, box = kidney_with(1, 0.9)
    probability[:, 6, 6:10, 6:10] = np.array([0.42, 0.53, 0])[:, None, None]  # an unsure edge
    keep_sure_lesions(probability, VOXEL_ML, Thresholds(tumor_ml=1))
    assert (probability.argmax(0)[box] == 1).all()


def test_a_tumor_below_the_least_volume_becomes_kidney() -> None:
    for least, stays in ((3.1, True), (3.3, False)):
        probability, box = kidney_with(1, 0.9)
        keep_sure_lesions(probability, VOXEL_ML, Thresholds(tumor_ml=least))
        assert (probability.argmax(0)[box] == (1 if stays else 0)).all()
        assert (probability.sum(0)[box] > 0.9).all()
