"""The body and its midline: off center, cropped, with a table, without a spine, oblique."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.kidney_phantoms import ALL_ORIENTATIONS, LEFT, RIGHT, Phantom, grid_around
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.laterality import Midline
from renalis.preparation.body import find_body
from renalis.volume import Volume

GRID = grid_around((3.0, 3.0, 4.0), (200, 130, 80))


def scan(shift_mm: float = 0.0) -> Volume:
    return Phantom((LEFT, RIGHT), shift_mm=shift_mm).draw(*GRID)[0]


@settings(max_examples=15, deadline=None)
@given(shift=st.floats(-45, 45), codes=st.sampled_from(ALL_ORIENTATIONS))
def test_follows_the_body(shift: float, codes: str) -> None:
    found = find_body(scan(shift).reoriented(codes)).midline
    assert found.rule == "along the spine"
    assert found.offset_mm(np.array([shift, 0, 0])) == pytest.approx(0, abs=3)


def test_without_a_spine_it_runs_between_the_flanks() -> None:
    image = scan(20.0)
    soft = image.like(np.minimum(image.array, 200), image.kind)
    found = find_body(soft).midline
    assert "flanks" in found.rule
    assert found.x_mm == pytest.approx(20, abs=3)


@pytest.mark.parametrize("part", [slice(45, None), slice(0, 80), slice(55, 100)])
def test_a_crop_keeps_the_midline(part: slice) -> None:
    cropped = scan(10.0).reoriented("RAS").cropped((part, slice(None), slice(None)))
    assert find_body(cropped).midline.x_mm == pytest.approx(10, abs=4)


def test_a_crop_without_spine_says_what_it_did() -> None:
    cropped = scan().reoriented("RAS").cropped((slice(75, 105), slice(40, 60), slice(None)))
    found = find_body(cropped).midline
    assert "field of view" in found.rule
    assert found.x_mm == pytest.approx(cropped.world(np.array([14.5, 0, 0]))[0])


def test_a_patient_lying_askew() -> None:
    image = scan()
    turn = np.eye(4)
    turn[0, 2] = 0.1
    found = find_body(Volume(image.array, turn @ image.affine)).midline
    assert found.slope == pytest.approx(0.1, abs=0.02)
    assert found.offset_mm(np.array([[5.0, 0, 50], [-5.0, 0, -50]])) == pytest.approx(0, abs=3)


def test_table_and_lungs() -> None:
    image = scan()
    array = image.array.copy()
    points = image.world(np.stack(np.indices(image.shape), axis=-1))
    table = (np.abs(points[..., 1] + 115) < 3) & (np.abs(points[..., 0]) < 190)
    lung = (np.abs(points[..., 0] - 70) < 30) & (np.abs(points[..., 1] - 20) < 30)
    array[table] = -100
    array[lung] = -850
    body = find_body(image.like(array, image.kind))
    assert body.mask is not None
    whole = tuple(slice(0, size) for size in image.reoriented().shape)
    inside = body.inside(whole)
    canonical = image.like(table, image.kind).reoriented().array
    assert inside[image.like(lung, image.kind).reoriented().array].all()
    # The mask is one coarse voxel wider than the body, which the table's middle lies within.
    far = canonical & (np.abs(image.like(points[..., 0], image.kind).reoriented().array) > 60)
    assert inside[far].mean() < 0.05


def test_mask_agrees_with_the_body_by_formula() -> None:
    image = scan()
    body = find_body(image)
    canonical = image.reoriented()
    inside = body.inside(tuple(slice(0, size) for size in canonical.shape))
    truth = canonical.array > -500
    assert inside[truth].all()
    assert inside.sum() < 1.25 * truth.sum()


@pytest.mark.parametrize("hu", [-1000, -2048])
def test_air_has_no_body(hu: int) -> None:
    image = scan()
    body = find_body(image.like(np.full_like(image.array, hu), image.kind))
    assert body.mask is None
    assert "no body" in body.midline.rule
    assert body.inside((slice(0, 2), slice(0, 3), slice(0, 4))).all()


def test_right_is_positive() -> None:
    assert Midline(10.0).offset_mm(np.array([30.0, 0, 0])) == 20
    assert Midline(0.0, 100.0, 0.1).offset_mm(np.array([0.0, 0, 0])) == pytest.approx(10)


def test_a_real_scan(data_folder: Path) -> None:
    folder = data_folder / "real-ct" / "totalsegmentator-example"
    nifti = nib.load(folder / "ct.nii.gz")
    image = Volume(np.asarray(nifti.dataobj).astype(np.int16), nifti.affine)
    mask = np.asarray(nib.load(folder / "kidneys_slices_82_to_111.nii.gz").dataobj) > 0
    midline = find_body(image).midline
    assert midline.rule == "along the spine"
    offsets = midline.offset_mm(image.world(np.argwhere(mask)))
    # Two kidneys of about one size, one on each side, and nothing of them on the spine.
    assert 0.4 < (offsets > 0).mean() < 0.6
    assert np.abs(offsets).min() > 10
    half = image.cropped((slice(0, 70), slice(None), slice(None)))
    assert find_body(half).midline.x_mm == pytest.approx(midline.x_mm, abs=5)
