"""The contrast phase is told where kidneys leave no doubt of it, and not told elsewhere."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
from helpers.kidney_phantoms import LEFT, RIGHT, Phantom, grid_around
from scipy import ndimage

from renalis.measurement import measure, schema
from renalis.measurement.contrast_phase import contrast_phase
from renalis.volume import CANONICAL, Volume


@pytest.fixture(scope="module")
def kidneys() -> tuple[Volume, Volume]:
    """Two kidneys in canonical orientation, 40 HU everywhere."""
    image, labels = Phantom((LEFT, RIGHT)).draw(*grid_around((1.5, 1.5, 3.0)))
    flat = image.like(np.full(image.shape, 40, np.int16), image.kind)
    return flat.reoriented(CANONICAL), labels.reoriented(CANONICAL)


def filled(
    both: tuple[Volume, Volume], cortex: float, medulla: float, urine: float | None = None
) -> tuple[Volume, Volume]:
    """Kidneys with a cortex of 7 mm, a medulla, and calyces of 5 mm, with noise of 10 HU."""
    image, labels = both
    depth = ndimage.distance_transform_edt(labels.array > 0, sampling=image.spacing)
    hu = image.array + np.random.default_rng(0).normal(0, 10, image.shape)
    hu[depth > 0] += cortex - 40
    hu[depth > 7] += medulla - cortex
    if urine is not None:
        hu[depth > 18] += urine - medulla
    return image.like(np.rint(hu).astype(np.int16), image.kind), labels


@pytest.mark.parametrize(
    ("cortex", "medulla", "urine", "name"),
    [
        (34, 32, 8, "unenhanced"),
        (180, 90, 8, "corticomedullary"),
        (120, 95, 8, "corticomedullary"),
        (160, 160, 10, "nephrographic"),
        (100, 98, 10, "nephrographic"),
        (130, 125, 600, "excretory"),
        (95, 98, 280, "excretory"),
        (180, 100, 350, "corticomedullary"),  # arteries are as bright as urine
        (75, 45, 8, None),  # weakly enhanced
        (150, 139, 8, None),  # between two phases
    ],
)
def test_a_phase_is_told_by_cortex_medulla_and_urine(
    kidneys: tuple[Volume, Volume], cortex: float, medulla: float, urine: float, name: str | None
) -> None:
    found = contrast_phase(*filled(kidneys, cortex, medulla, urine))
    assert found is not None
    assert found.name == name
    # A fifth of the voxels at most are cortex in these slices, so the middle is the medulla's.
    assert min(cortex, medulla) - 5 <= found.parenchyma_hu <= max(cortex, medulla) + 5
    assert found.cortex_excess == pytest.approx((cortex - medulla) / found.parenchyma_hu, abs=0.04)


def test_a_sliver_of_a_kidney_does_not_tell_cortex_from_medulla(
    kidneys: tuple[Volume, Volume],
) -> None:
    image, labels = filled(kidneys, 150, 150)
    rim = labels.array.copy()
    rim[ndimage.distance_transform_edt(rim > 0, sampling=image.spacing) > 7] = 0
    found = contrast_phase(image, labels.like(rim, labels.kind))
    assert found is not None
    assert (found.name, found.cortex_excess) == (None, None)
    assert contrast_phase(image, labels.like(rim * 0, labels.kind)) is None


def test_opaque_urine_is_noted_and_kept(kidneys: tuple[Volume, Volume]) -> None:
    found = measure(*filled(kidneys, 130, 130, 600))
    assert "excretory" in found.unusual
    assert any("urine in the kidneys is opaque" in note for note in found.notes)
    assert found.contrast_phase is not None
    assert found.contrast_phase.name == "excretory"
    assert found.contrast_phase.opaque_share > 0.01
    jsonschema.validate(json.loads(found.to_json()), schema())
