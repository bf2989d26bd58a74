"""Kidney label on bone or fat is dropped; on parenchyma of any phase it stays."""

from __future__ import annotations

import numpy as np
import pytest

from renalis.postprocessing import DEFAULT, tidy
from renalis.volume import Kind, Volume


def scan_with_components(hu: float) -> tuple[Volume, Volume]:
    """A body with a kidney of 120 HU on the right and a second component of ``hu`` on the left."""
    affine = np.diag([-3.0, -3.0, 3.0, 1.0])
    affine[:3, 3] = (150, 100, -90)
    image = np.full((100, 70, 60), -1000, np.int16)
    image[5:95, 5:65, :] = 40
    labels = np.zeros(image.shape, np.uint8)
    labels[20:38, 35:50, 15:40] = 1
    labels[62:80, 35:50, 15:40] = 1
    image[20:38, 35:50, 15:40] = 120
    image[62:80, 35:50, 15:40] = hu
    return Volume(image, affine), Volume(labels, affine, Kind.LABELS)


@pytest.mark.parametrize("hu", [20, 35, 120, 250])
def test_parenchyma_of_any_phase_stays(hu: float) -> None:
    image, labels = scan_with_components(hu)
    assert np.array_equal(tidy(labels, image).labels.array, labels.array)


@pytest.mark.parametrize("hu", [-90, 500, 900])
def test_bone_and_fat_are_no_kidney(hu: float) -> None:
    image, labels = scan_with_components(hu)
    tidied = tidy(labels, image)
    assert not tidied.labels.array[62:80].any()
    assert tidied.labels.array[20:38].any()
    change = next(c for c in tidied.changes if c.name == "density")
    assert change.voxels == 18 * 15 * 25
    kept = tidy(labels, image, DEFAULT.without("density"))
    assert kept.labels.array[62:80].any()
