"""Grids of a tilted gantry are scored where they lie in the patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import generate_binary_structure, maximum_filter, minimum_filter
from scipy.spatial import cKDTree
from surface_distance import lookup_tables

from renalis.evaluation import score
from renalis.evaluation.comparison import compare, strata
from renalis.evaluation.evaluated_systems import System
from renalis.evaluation.surfels import area_table, cell_codes
from renalis.evaluation.voxel_geometry import VoxelGeometry
from renalis.volume import Kind, Volume


def tilted(degrees: float, spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    """Axes (slice, row, column): the table moves along z, slices lean by the gantry's tilt.

    ``spacing[0]`` is the distance between the slices at right angles.
    """
    angle = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[:3, 0] = 0, 0, spacing[0] / np.cos(angle)
    affine[:3, 1] = 0, spacing[1] * np.cos(angle), spacing[1] * np.sin(angle)
    affine[:3, 2] = spacing[2], 0, 0
    return affine


def balls(affine: NDArray, shape: tuple[int, ...], radius: float, shift: NDArray) -> list[Volume]:
    """The same ball twice, the second moved by ``shift`` mm."""
    places = Volume(np.zeros(shape, np.uint8), affine, Kind.LABELS).world(
        np.moveaxis(np.indices(shape), 0, -1)
    )
    center = places.reshape(-1, 3).mean(axis=0)
    return [
        Volume(
            (np.linalg.norm(places - middle, axis=-1) <= radius).astype(np.uint8),
            affine,
            Kind.LABELS,
        )
        for middle in (center - shift / 2, center + shift / 2)
    ]


def point_cloud(mask: NDArray, affine: NDArray) -> tuple[NDArray, NDArray]:
    """Surface in patient mm with its areas, by filters and DeepMind's table of normals alone."""
    padded = np.pad(mask.astype(np.uint8), 1)
    cube = generate_binary_structure(3, 3)[:2, :2, :2]
    high = maximum_filter(padded, footprint=cube, origin=-1)[:-1, :-1, :-1]
    low = minimum_filter(padded, footprint=cube, origin=-1)[:-1, :-1, :-1]
    cells = np.argwhere(high != low)
    matrix = affine[:3, :3]
    cofactor = np.linalg.det(matrix) * np.linalg.inv(matrix).T
    kernel = lookup_tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
    areas = []
    for i, j, k in cells:
        code = int((padded[i : i + 2, j : j + 2, k : k + 2] * kernel).sum())
        normals = np.array(lookup_tables._NEIGHBOUR_CODE_TO_NORMALS[code])
        areas.append(np.linalg.norm(normals @ cofactor.T, axis=1).sum())
    return (cells - 0.5) @ matrix.T + affine[:3, 3], np.array(areas)


def percentile(mm: NDArray, mm2: NDArray, percent: float) -> float:
    order = np.argsort(mm)
    share = np.cumsum(mm2[order]) / mm2.sum()
    return float(mm[order][np.searchsorted(share, percent / 100)])


@pytest.mark.parametrize("degrees", [0.0, 15.0, 20.0, 30.0])
def test_two_balls_are_as_far_apart_as_they_are(degrees: float) -> None:
    affine = tilted(degrees, (1.0, 1.0, 1.0))
    for shift in ([0, 12, 0], [8.5, 8.5, 0], [0, 8.5, 8.5], [0, 8.5, -8.5]):
        moved = np.array(shift, float)
        one, two = balls(affine, (70, 64, 44), 16, moved)
        found = score(one, two)["kidney"]
        # From a point of one ball, at an angle whose cosine is uniform, to the other ball. Cells of
        # 1 mm lie beside the surface that they stand for, so that all distances come out half a
        # millimeter short, on straight grids as well.
        cosine, length = np.linspace(-1, 1, 20001), np.linalg.norm(moved)
        mm = np.abs(np.sqrt(16**2 + length**2 - 2 * 16 * length * cosine) - 16)
        assert found.hd95_mm == pytest.approx(np.percentile(mm, 95), abs=0.75)
        assert found.mean_surface_mm == pytest.approx(mm.mean(), abs=0.6)


@pytest.mark.parametrize("degrees", [10.0, 20.0, 30.0, -25.0])
@pytest.mark.parametrize("spacing", [(3.0, 0.8, 0.8), (1.0, 1.5, 1.5)])
def test_distances_are_those_of_point_clouds_in_the_patient(degrees, spacing) -> None:
    affine = tilted(degrees, spacing)
    one, two = balls(affine, (26, 40, 36), 12, np.array([3.0, 4.0, 6.0]))
    found = score(one, two)["kidney"]
    (here, mm2), (there, other_mm2) = (point_cloud(v.array, affine) for v in (one, two))
    mm, other_mm = cKDTree(there).query(here)[0], cKDTree(here).query(there)[0]
    expected = max(percentile(mm, mm2, 95), percentile(other_mm, other_mm2, 95))
    mean = (np.average(mm, weights=mm2) + np.average(other_mm, weights=other_mm2)) / 2
    tolerance = 1.0330772532390826
    near = mm2[mm <= tolerance].sum() + other_mm2[other_mm <= tolerance].sum()
    # A few cells can be cut in two ways with different areas once axes are not perpendicular.
    assert found.hd95_mm == pytest.approx(expected, abs=0.02)
    assert found.mean_surface_mm == pytest.approx(mean, rel=1e-3)
    assert found.surface_dice == pytest.approx(near / (mm2.sum() + other_mm2.sum()), abs=2e-3)


def test_slice_thickness_is_at_right_angles_and_chooses_the_stratum() -> None:
    affine = tilted(20, (3.0, 0.8, 0.8))
    one, two = balls(affine, (20, 40, 36), 10, np.array([0.0, 2.0, 0.0]))
    found = score(one, two)
    assert found.spacing[0] == pytest.approx(3.19, abs=0.005)
    assert found.slice_thickness_mm == pytest.approx(3.0, abs=1e-9)
    scores = {"1": {"kidney": {"dice": 0.9}}}
    systems = [System("a", scores, {"1": found.slice_thickness_mm})]
    groups = strata(systems, ["1"], {})
    assert groups["slice thickness"] == {"1": "1 to 3 mm"}
    assert compare(systems, ["1"], groups).strata[0].group == "1 to 3 mm"


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shear=st.tuples(*[st.floats(-0.6, 0.6)] * 3),
    spacing=st.tuples(*[st.floats(0.5, 4)] * 3),
)
def test_a_plane_keeps_its_area_and_its_distance(seed, shear, spacing) -> None:
    """Faces between planes of voxels: areas and distances are known whatever the shear."""
    steps = np.diag(spacing) + np.triu(np.array([[0, *shear[:2]], [0, 0, shear[2]], [0] * 3]), 1)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = turn @ steps
    lattice = VoxelGeometry.of(Volume(np.zeros((1, 1, 1)), affine))
    areas = area_table(lattice)
    for axis in range(3):
        corners = np.zeros((4, 4, 4), bool)
        corners[tuple(slice(0, 2) if a == axis else slice(None) for a in range(3))] = True
        code = cell_codes(corners)[1, 1, 1]
        others = [steps[:, a] for a in range(3) if a != axis]
        area = np.linalg.norm(np.cross(*others))
        assert areas[code] == pytest.approx(area, rel=1e-3)
        height = abs(np.linalg.det(steps)) / area
        assert lattice.plane_distances[axis] == pytest.approx(height, rel=1e-3)
    offsets = np.random.default_rng(seed).integers(-20, 20, (50, 3))
    expected = np.linalg.norm(offsets @ steps.T, axis=1)
    assert lattice.lengths(offsets) == pytest.approx(expected, abs=0.02)
