"""Oblique scans seen upright: what lands where, and what is outside."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from renalis.preparation import obliqueness_deg, resample_upright, stage_grid, upright_frame
from renalis.volume import Volume

SPL = np.array([[0, 0, -1.0], [0, -1, 0], [1, 0, 0]])
STAGE = (2.0, 2.0, 2.0)

angles = st.tuples(*[st.floats(-30, 30)] * 3)
shears = st.floats(-0.3, 0.3)
spacings = st.tuples(st.floats(0.6, 5), st.floats(0.6, 3), st.floats(0.6, 3))


def placed(
    degrees: tuple[float, float, float],
    shear: float = 0.0,
    spacing: tuple[float, float, float] = (3.0, 1.0, 0.8),
    size_mm: tuple[float, float, float] = (60.0, 50.0, 70.0),
) -> Volume:
    """An empty scan whose axes are turned, and whose slices slide along the patient's back."""
    axes = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ SPL
    axes[:, 0] += shear * axes[:, 1]
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = (11, -7, 40)
    shape = tuple(max(2, round(mm / step)) for mm, step in zip(size_mm, spacing, strict=True))
    return Volume(np.zeros(shape, np.float32), affine)


def places(volume: Volume) -> np.ndarray:
    """Patient coordinates of every voxel."""
    return volume.world(np.moveaxis(np.indices(volume.shape), 0, -1))


@settings(max_examples=25, deadline=None)
@given(angles, shears, spacings)
def test_a_gradient_in_the_patient_stays_that_gradient(
    degrees: tuple[float, float, float], shear: float, spacing: tuple[float, float, float]
) -> None:
    """Linear interpolation keeps it; reducing does, at 2 HU per mm, to about a tenth of a mm."""
    scan = placed(degrees, shear, spacing)
    slope = np.array([1.7, -0.9, 0.6])
    scan = scan.like((places(scan) @ slope).astype(np.float32), scan.kind)
    seen = resample_upright(scan, upright_frame(scan), STAGE)
    index = scan.index(places(seen))
    # Near the border the border's voxel is repeated, no slope there.
    margin = np.maximum(1, 2 / np.array(spacing))
    inside = ((index > margin) & (index < np.array(scan.shape) - 1 - margin)).all(axis=-1)
    np.testing.assert_allclose(seen.array[inside], (places(seen) @ slope)[inside], atol=0.3)


@settings(max_examples=25, deadline=None)
@given(angles, shears, spacings)
def test_the_frame_holds_the_scan_and_the_rest_is_air(
    degrees: tuple[float, float, float], shear: float, spacing: tuple[float, float, float]
) -> None:
    scan = placed(degrees, shear, spacing)
    scan = scan.like(np.full(scan.shape, 50, np.int16), scan.kind)
    frame = upright_frame(scan)
    assert obliqueness_deg(frame) == 0
    np.testing.assert_array_equal(frame.spacing, 1)
    corners = frame.index(places(scan).reshape(-1, 3))
    assert (corners > -0.5).all()
    assert (corners < np.array(frame.shape) - 0.5).all()
    seen = resample_upright(scan, frame, STAGE)
    index = scan.index(places(seen))
    outside = np.maximum(-index - 0.5, index - np.array(scan.shape) + 0.5) * spacing
    far = outside.max(axis=-1)
    np.testing.assert_allclose(seen.array[far <= 0], 50, atol=1e-3)
    # The border's repetition is at most one and a half voxels of the reduced copy wide.
    assert (seen.array[far > 1.5 * max(np.sqrt(2), *spacing) + 1e-6] == -1024).all()


def test_the_frame_is_no_larger_than_needed() -> None:
    scan = placed((0, 0, 30))
    _, height, width = (np.array(scan.shape) * scan.spacing).tolist()
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    expected = (scan.shape[0] * 3.0, s * width + c * height, c * width + s * height)
    excess = np.array(upright_frame(scan).shape) - expected
    assert ((excess > -2e-3) & (excess < 1)).all()


@settings(max_examples=15, deadline=None)
@given(angles, st.tuples(*[st.integers(0, 12)] * 3), st.tuples(*[st.integers(1, 9)] * 3))
def test_a_box_is_that_part_of_the_whole(
    degrees: tuple[float, float, float], first: tuple[int, int, int], size: tuple[int, int, int]
) -> None:
    scan = placed(degrees)
    noise = np.random.default_rng(1).normal(0, 100, scan.shape).astype(np.int16)
    scan = scan.like(noise, scan.kind)
    frame = upright_frame(scan)
    whole = resample_upright(scan, frame, STAGE)
    box = tuple(slice(a, a + n) for a, n in zip(first, size, strict=True))
    part = resample_upright(scan, frame, STAGE, box)
    assert part.same_grid(whole.cropped(box))
    np.testing.assert_allclose(part.array, whole.array[box], atol=0.01)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "ASR", "PIL"])
def test_memory_order_means_nothing(codes: str) -> None:
    scan = placed((8, -12, 20), 0.1)
    noise = np.random.default_rng(1).normal(0, 100, scan.shape).astype(np.int16)
    scan = scan.like(noise, scan.kind)
    turned = scan.reoriented(codes)
    stored = Volume(np.ascontiguousarray(turned.array), turned.affine)
    one, two = (
        resample_upright(v.reoriented(), upright_frame(v.reoriented()), STAGE)
        for v in (scan, stored)
    )
    assert one.same_grid(two)
    np.testing.assert_allclose(one.array, two.array, atol=1e-3)


def test_an_upright_scan_is_its_own_frame() -> None:
    """Nothing to turn and nothing to reduce: the voxels themselves."""
    scan = placed((0, 0, 0), spacing=(2.0, 2.0, 2.0))
    noise = np.random.default_rng(1).normal(0, 100, scan.shape).astype(np.int16)
    scan = scan.like(noise, scan.kind)
    seen = resample_upright(scan, upright_frame(scan), STAGE)
    assert seen.same_grid(scan)
    np.testing.assert_allclose(seen.array, scan.array, atol=1e-3)
    assert stage_grid(upright_frame(scan), STAGE).shape == scan.shape


def test_a_box_beside_the_scan_is_air() -> None:
    scan = placed((0, 0, 30))
    scan = scan.like(np.full(scan.shape, 50, np.int16), scan.kind)
    corner = (slice(0, 2), slice(0, 2), slice(0, 2))
    assert (resample_upright(scan, upright_frame(scan), STAGE, corner).array == -1024).all()


@given(st.floats(0, 40), st.integers(0, 2), st.sampled_from(["SPL", "RAS", "LPI", "ASR"]))
def test_the_angle_is_the_angle(degrees: float, axis: int, codes: str) -> None:
    turn = [0.0, 0.0, 0.0]
    turn[axis] = degrees
    scan = placed((turn[0], turn[1], turn[2])).reoriented(codes).reoriented()
    assert obliqueness_deg(scan) == pytest.approx(degrees, abs=1e-4)


@pytest.mark.parametrize("degrees", [-25.0, 3.0, 15.0])
def test_gantry_tilt_has_an_angle(degrees: float) -> None:
    scan = placed((0, 0, 0), np.tan(np.radians(degrees)))
    assert obliqueness_deg(scan) == pytest.approx(abs(degrees))
