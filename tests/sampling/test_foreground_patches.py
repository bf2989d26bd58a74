"""Patches around labelled places: where they lie, and what is beyond the scan."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from renalis.preparation import GridSpec, PreparedGrid
from renalis.sampling import ForegroundOversampling, ForegroundPatchSampler

SPEC = GridSpec("mm2", spacing_mm=(2, 2, 2), clip_hu=(-200, 400), sub=100, div=300)


def coded(shape: tuple[int, int, int], kidney: tuple[int, int, int]) -> PreparedGrid:
    """Every voxel's HU say where it lies; one voxel is kidney, its neighbor along X a tumor."""
    z, y, x = np.indices(shape)
    label = np.zeros(shape, np.uint8)
    label[kidney] = 1
    label[kidney[0], kidney[1], kidney[2] + 1] = 2
    image = (z * 1000 + y * 30 + x).astype(np.int16)
    return PreparedGrid(SPEC, image, label, None, None, np.diag([2.0, 2.0, 2.0, 1.0]))


@given(
    size=st.tuples(st.integers(1, 14), st.integers(1, 40), st.integers(1, 40)),
    kidney=st.tuples(st.integers(0, 8), st.integers(0, 29), st.integers(0, 28)),
    seed=st.integers(0, 100),
)
def test_image_and_label_are_the_same_place_of_the_scan(
    size: tuple[int, int, int], kidney: tuple[int, int, int], seed: int
) -> None:
    grid = coded((9, 30, 30), kidney)
    sampler = ForegroundPatchSampler([grid], ForegroundOversampling(0.7, 0.5, 0.5), (2, 3))
    sample = sampler.draw(size, np.random.default_rng(seed))
    image, label = sample.inputs["image"][0], sample.targets["seg"]
    assert image.shape == label.shape == size
    start = sample.meta["start"]
    for z in range(size[0]):
        # Above and below the scan its last slices go on.
        inside = min(max(start[0] + z, 0), 8)
        for y in range(0, size[1], 7):
            for x in range(0, size[2], 7):
                place = (inside, start[1] + y, start[2] + x)
                there = 0 <= place[1] < 30 and 0 <= place[2] < 30
                assert image[z, y, x] == (grid.image[place] if there else -200)
                assert label[z, y, x] == (grid.label[place] if there else 0)


def test_as_many_patches_lie_near_kidneys_and_lesions_as_wanted() -> None:
    grid = coded((9, 30, 30), (4, 3, 3))
    sampler = ForegroundPatchSampler([grid], ForegroundOversampling(0.8, 0.25, 0.0), (2, 3))
    rng = np.random.default_rng(0)
    centers = [int(sampler.draw((1, 1, 1), rng).targets["seg"].item()) for _ in range(600)]
    # Without jitter the center is the voxel itself; one of the two renal ones is the tumor.
    assert 0.15 < np.mean(np.array(centers) == 0) < 0.25
    assert 0.42 < np.mean(np.array(centers) == 2) < 0.58


def test_cases_without_labels_are_shown_too() -> None:
    empty = coded((9, 30, 30), (4, 3, 3))
    assert empty.label is not None
    empty.label[:] = 0
    sampler = ForegroundPatchSampler([empty], ForegroundOversampling(1.0, 1.0, 0.1), (2, 3))
    assert not sampler.draw((4, 4, 4), np.random.default_rng(0)).targets["seg"].any()
