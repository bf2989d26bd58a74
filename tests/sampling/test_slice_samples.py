"""Samples of real slices: moved with their labels, with other patients' lesions in kidneys."""

from __future__ import annotations

import numpy as np
import pytest

from renalis.dataset.slices import SliceSet
from renalis.sampling.lesion_transplants import donors, transplant
from renalis.sampling.real_slices import RealSlices, SliceVariation

SCALE = (-79.0, 304.0)


def grey(hu: float) -> int:
    return round((hu - SCALE[0]) / (SCALE[1] - SCALE[0]) * 255)


def slice_set(tumor: bool, cyst: bool = False) -> SliceSet:
    """A kidney of 100 HU in a body of 40 HU, with a tumor of 55 HU or a cyst of 5 HU in it."""
    y, x = np.mgrid[:160, :200]
    image = np.zeros((160, 200), np.uint8)
    image[np.hypot((y - 80) / 70, (x - 100) / 90) < 1] = grey(40)
    image[np.hypot(y - 80, x - 60) < 34] = 0  # fat around the kidney
    label = np.zeros_like(image)
    kidney = np.hypot(y - 80, x - 60) < 22
    image[kidney], label[kidney] = grey(100), 1
    lesion = np.hypot(y - 80, x - 70) < 7
    if tumor:
        image[lesion], label[lesion] = grey(55), 2
    if cyst:
        image[lesion], label[lesion] = grey(5), 3
    one = np.ones(1)
    spacing = np.array([[3.0, 1.0, 1.0]])
    return SliceSet("s", image[None], label[None], one.astype(int), one, spacing, SCALE)


def test_the_same_random_state_gives_the_same_sample() -> None:
    slices = RealSlices([slice_set(True)], 1.5, (-200, 400), SliceVariation())
    first, second = (slices.draw((64, 80), np.random.default_rng(3)) for _ in range(2))
    assert first[0].shape == first[1].shape == (1, 64, 80)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_labels_move_with_the_image() -> None:
    still = SliceVariation(gain=0, kidney_hu=0, tumor_hu=0, transplants=0, noise_hu=(0.1, 0.2))
    slices = RealSlices([slice_set(True)], 1.0, (-200, 400), still)
    for seed in range(12):
        image, label = slices.draw((96, 96), np.random.default_rng(seed))
        hu = image * 300 + 100
        if np.count_nonzero(label == 1) > 200:
            assert np.median(hu[label == 1]) == pytest.approx(100, abs=16)
        if np.count_nonzero(label == 2) > 40:
            assert np.median(hu[label == 2]) == pytest.approx(55, abs=16)


def test_a_lesion_of_another_patient_lies_in_the_kidney_with_its_label() -> None:
    files = [slice_set(False), slice_set(True), slice_set(False, cyst=True)]
    lesions = donors(files)
    assert [len(lesions[kind]) for kind in (2, 3)] == [1, 1]
    hu = np.full((160, 200), -100, np.float32)
    label = files[0].labels[0]
    hu[label == 1] = 100
    seen = set()
    for seed in range(30):
        image, named = transplant(hu, label, (1.0, 1.0), lesions, np.random.default_rng(seed))
        kinds = set(np.unique(named)) - {0, 1}
        seen |= kinds
        for kind in kinds:
            mask = named == kind
            assert np.count_nonzero(mask & (label == 1)) > 0
            middle = float(np.median(image[mask]))
            assert middle == pytest.approx(55 if kind == 2 else 5, abs=35)
        changed = image != hu
        assert not changed[named == 0].any() or np.abs(image - hu)[named == 0].max() < 160
    assert seen == {2, 3}
    assert (label == files[0].labels[0]).all()
