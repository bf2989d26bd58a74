"""Along which axes a patient lies is told from the body, not from the affine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from renalis.preparation import lies_along_own_axes, resample
from renalis.volume import Volume

STRAIGHT = np.array([[0, 0, -1.0], [0, -1, 0], [1, 0, 0]])
Angles = tuple[float, float, float]
NONE: Angles = (0.0, 0.0, 0.0)


def turn(degrees: Angles) -> np.ndarray:
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def body(
    grid: Angles = NONE, lying: Angles = NONE, height: float = 320.0, shear: float = 0.0
) -> Volume:
    """A trunk with spine, liver, spleen and kidneys, in air; neither symmetric nor a cylinder.

    ``grid`` turns the array's axes against the patient's coordinates, ``lying`` the patient.
    """
    shape, mm = (round(height / 5), 64, 84), 5.0
    slide = np.eye(3)
    slide[1, 2] = shear
    affine = np.eye(4)
    affine[:3, :3] = turn(grid) @ slide @ STRAIGHT * mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    array = np.full(shape, -1024, np.int16)
    points = Volume(array, affine).world(np.moveaxis(np.indices(shape), 0, -1)) @ turn(lying)
    x, y, z = np.moveaxis(points, -1, 0)

    def paint(center: Angles, radius: Angles, hu: int) -> None:
        far = sum(((p - c) / r) ** 2 for p, c, r in zip((x, y, z), center, radius, strict=True))
        array[far < 1] = hu

    swell = 1 + 0.06 * np.cos(z / 90)
    array[((x / 160) ** 2 + (y / 105) ** 2) < swell] = -90
    array[((x / 145) ** 2 + (y / 90) ** 2) < swell] = 45
    array[(x**2 + (y + 60) ** 2) < 20**2] = 200
    paint((70, 20, 70), (65, 60, 75), 110)
    paint((-95, -20, 80), (35, 40, 50), 120)
    paint((60, -35, -10), (28, 26, 55), 180)
    paint((-60, -35, 5), (28, 26, 55), 180)
    return Volume(array, affine)


far = st.sampled_from([-20.0, -12.0, -8.0, 8.0, 12.0, 20.0])


def about(axis: int, degrees: float) -> Angles:
    angles = [0.0, 0.0, 0.0]
    angles[axis] = degrees
    return angles[0], angles[1], angles[2]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2), far)
def test_a_patient_whom_only_the_affine_turns_lies_along_the_scans_axes(
    axis: int, degrees: float
) -> None:
    angles = about(axis, degrees)
    assert lies_along_own_axes(body(grid=angles, lying=angles))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2), far)
def test_a_patient_who_leans_in_the_array_does_not(axis: int, degrees: float) -> None:
    assert not lies_along_own_axes(body(grid=about(axis, degrees)))


def test_noise_and_padding_change_nothing() -> None:
    rng = np.random.default_rng(3)
    angles = (4.0, -6.0, 9.0)
    for lying, expected in ((angles, True), (NONE, False)):
        scan = body(grid=angles, lying=lying)
        noisy = scan.array + rng.normal(0, 80, scan.shape)
        padded = np.where(scan.array == -1024, -3024, noisy).astype(np.int16)
        assert lies_along_own_axes(scan.like(padded, scan.kind)) is expected


def test_a_sheared_grid_shows_nobody_straight() -> None:
    angles = (10.0, 0.0, 0.0)
    assert lies_along_own_axes(body(grid=angles, lying=angles))
    assert not lies_along_own_axes(body(grid=angles, lying=angles, shear=0.1))


@pytest.mark.parametrize("hu", [-1024, 40])
def test_a_scan_without_a_body_leaves_it_to_the_affine(hu: int) -> None:
    scan = body(grid=(0.0, 12.0, 0.0))
    assert not lies_along_own_axes(scan.like(np.full(scan.shape, hu, np.int16), scan.kind))


def test_a_few_slices_say_nothing_about_how_far_the_back_drops() -> None:
    pitched = (15.0, 0.0, 0.0)
    assert lies_along_own_axes(body(grid=pitched, lying=pitched, height=200.0))
    assert not lies_along_own_axes(body(grid=pitched, lying=pitched, height=60.0))


@pytest.mark.parametrize(
    "file", ["totalsegmentator-example/ct.nii.gz", "tcga-ov/TCGA-09-2043-abdomen-dicom.zip"]
)
def test_real_patients_are_told_apart(real_ct: Callable[[str], Volume], file: str) -> None:
    scan = resample(real_ct(file).reoriented(), (4.0, 4.0, 4.0))
    for angles in ((0, 0, 12), (0, -12, 0), (12, 0, 0), (5, -7, 12)):
        affine = np.eye(4)
        affine[:3, :3] = turn(angles)
        assert lies_along_own_axes(Volume(scan.array, affine @ scan.affine)), angles
        # The same patient seen by an oblique grid about the same middle.
        middle = (np.array(scan.shape) - 1) / 2
        matrix = STRAIGHT.T @ turn(angles) @ STRAIGHT
        moved = middle - matrix @ middle
        leaning = ndimage.affine_transform(scan.array, matrix, moved, order=1, cval=-1024)
        oblique = scan.affine.copy()
        oblique[:3, 3] += oblique[:3, :3] @ moved
        oblique[:3, :3] = oblique[:3, :3] @ matrix
        assert not lies_along_own_axes(Volume(leaning, oblique)), angles
