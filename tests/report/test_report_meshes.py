"""Surfaces: right place, right size, outside out, for any grid."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from helpers.report_case import ALL_ORDERS, made_up
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.conventions import Label
from renalis.measurement import Measurements
from renalis.report.findings import find
from renalis.report.meshes import Mesh, normals, surface
from renalis.report.scene import Scene
from renalis.report.scene3d import meshes_of, packed, seen_from_front, still
from renalis.volume import Kind, Volume


def ball(spacing: tuple[float, float, float], radius: float, order: str) -> Volume:
    """A ball around (5, -7, 11) mm."""
    counts = [int(2 * radius / step) + 7 for step in spacing]
    matrix = np.diag([*spacing, 1.0])
    middle = np.array([5.0, -7.0, 11.0])
    matrix[:3, 3] = middle - matrix[:3, :3] @ ((np.array(counts) - 1) / 2)
    grid = np.indices(counts)
    away = sum(((grid[i] - (counts[i] - 1) / 2) * spacing[i]) ** 2 for i in range(3))
    return Volume(np.asarray(away <= radius**2), matrix, Kind.LABELS).reoriented(order)


def enclosed(mesh: Mesh) -> float:
    """Volume in mm³ by the divergence theorem; positive when triangles face outwards."""
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    return float(
        np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    )


@given(
    radius=st.floats(8.0, 30.0),
    spacing=st.tuples(st.floats(0.6, 2.0), st.floats(0.6, 2.0), st.floats(0.8, 5.0)),
    order=st.sampled_from(ALL_ORDERS),
)
@settings(max_examples=25, deadline=None)
def test_ball_keeps_place_and_size(
    radius: float, spacing: tuple[float, float, float], order: str
) -> None:
    mask = ball(spacing, radius, order)
    mesh = surface(mask, "ball", Label.TUMOR)
    assert mesh is not None
    assert mesh.vertices.mean(axis=0) == pytest.approx([5, -7, 11], abs=0.3)
    assert enclosed(mesh) == pytest.approx(mask.array.sum() * mask.voxel_ml * 1000, rel=0.04)
    outwards = mesh.vertices - mesh.vertices.mean(axis=0)
    assert (np.einsum("ij,ij->i", outwards, normals(mesh)) > 0).mean() > 0.99


def test_a_single_voxel_has_a_surface_and_nothing_has_none() -> None:
    array = np.zeros((6, 6, 6), bool)
    empty = Volume(array, np.diag([3.0, 1.0, 1.0, 1.0]), Kind.LABELS)
    assert surface(empty, "none", Label.CYST) is None
    array[2, 3, 4] = True
    mesh = surface(Volume(array, empty.affine, Kind.LABELS), "one", Label.CYST)
    assert mesh is not None
    assert enclosed(mesh) > 0
    assert mesh.vertices.mean(axis=0) == pytest.approx([6, 3, 4], abs=0.3)


@given(
    shape=st.tuples(*[st.sampled_from([1, 2, 5, 40])] * 3),
    spacing=st.tuples(*[st.floats(0.3, 10.0)] * 3),
)
@settings(max_examples=25, deadline=None)
def test_a_slab_of_any_thickness_has_a_closed_surface(
    shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    """A structure in one or two thin slices is much longer than it is thick."""
    matrix = np.diag([*spacing, 1.0])
    mesh = surface(Volume(np.ones(shape, bool), matrix, Kind.LABELS), "slab", Label.KIDNEY, 56)
    assert mesh is not None
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    there, back = ({(int(a), int(b)) for a, b in pairs} for pairs in (edges, edges[:, ::-1]))
    # Where the level is just a cell's value, single edges meet in one point.
    assert len(there - back) <= 0.005 * len(there)
    ends = np.array([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)])
    longest = max(n * step for n, step in zip(shape, spacing, strict=True))
    assert ends.mean(axis=0) == pytest.approx(
        (np.array(shape) - 1) / 2 * spacing, abs=0.02 * longest + 0.5
    )


def test_meshes_follow_the_tables(patient: tuple[Volume, Volume, Measurements]) -> None:
    image, labels, measured = patient
    scene = Scene.of(image, labels)
    meshes = meshes_of(scene, find(scene, measured), measured)
    names = ["Right kidney", "Left kidney", "T1 (tumor)", "C1 (cyst)"]
    assert [mesh.name for mesh in meshes] == names
    for mesh, row in zip(meshes[2:], measured.lesions, strict=True):
        assert mesh.vertices.mean(axis=0) == pytest.approx(row.location.centroid_mm, abs=1.5)


def test_packed_numbers_give_the_mesh_back(patient: tuple[Volume, Volume, Measurements]) -> None:
    image, labels, measured = patient
    scene = Scene.of(image, labels)
    meshes = meshes_of(scene, find(scene, measured), measured)
    pack = packed(meshes)
    for mesh, entry in zip(meshes, pack["meshes"], strict=True):
        steps = np.frombuffer(base64.b64decode(entry["positions"]), "<u2").reshape(-1, 3)
        np.testing.assert_allclose(
            np.array(pack["low"]) + steps * pack["step"], mesh.vertices, atol=0.01
        )
        kind = "<u4" if entry["wide"] else "<u2"
        faces = np.frombuffer(base64.b64decode(entry["triangles"]), kind).reshape(-1, 3)
        np.testing.assert_array_equal(faces, mesh.faces)


def test_still_shows_the_patients_right_on_the_left() -> None:
    image, labels = made_up()
    scene = Scene.of(image, labels)
    from renalis.measurement import measure

    measured = measure(image, labels)
    meshes = meshes_of(scene, find(scene, measured), measured)
    picture = np.asarray(still(seen_from_front(meshes, (400, 300)), (400, 300))).astype(int)
    orange = (
        (picture[..., 0] > 120)
        & (picture[..., 2] < 0.6 * picture[..., 0])
        & (picture[..., 1] < 0.6 * picture[..., 0])
    )
    yellow = (
        (picture[..., 0] > 120)
        & (picture[..., 1] > 0.8 * picture[..., 0])
        & (picture[..., 2] < 0.6 * picture[..., 0])
    )
    tumor, cyst = np.argwhere(orange), np.argwhere(yellow)
    assert len(tumor) > 50
    assert len(cyst) > 20
    assert tumor[:, 1].mean() < 200 < cyst[:, 1].mean()  # tumor right, cyst left
    assert tumor[:, 0].mean() < cyst[:, 0].mean()  # the tumor is nearer to the head
