"""How lesions sit in a kidney whose hilum, axis and contour are known by formula."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
from helpers.kidney_phantoms import CYST, KIDNEY, TUMOR, Ellipsoid, Phantom, grid_around, sphere
from scipy.spatial import Delaunay

from renalis.boxes import bounding_box
from renalis.laterality import Midline
from renalis.measurement import Lesion, measure
from renalis.measurement.anatomy import Anatomy, find_anatomy
from renalis.measurement.frame import frame_for
from renalis.measurement.nephrometry import LesionPosition, nephrometry
from renalis.measurement.structures import find_groups
from renalis.postprocessing.hull import hull_mask
from renalis.preparation.body import Body
from renalis.volume import Kind, Volume

OUTER = Ellipsoid((65, -20, 0), (27, 24, 55), KIDNEY)
HILUM = Ellipsoid((40, -20, 0), (17, 10, 17), 0)


def tumor_in(
    center: tuple[float, float, float],
    radius: float,
    side: float = 1.0,
    splayed: Sequence[Ellipsoid] = (),
) -> Lesion:
    """A tumor in a right kidney with a hilum (side -1: its mirror image, a left kidney)."""
    shapes = [
        Ellipsoid((side * s.center[0], *s.center[1:]), s.radii, s.label)
        for s in (*splayed, OUTER, HILUM, sphere(center, radius, TUMOR))
    ]
    affine, shape = grid_around((1.5, 1.5, 2.0), (57, 42, 84))  # around this kidney alone
    affine[:3, 3] += side * 72, -20, 0
    image, labels = Phantom(tuple(shapes)).draw(affine, shape)
    return measure(image, labels, body=Body(None, (1, 1, 1), Midline(0.0))).lesions[0]


def share_outside(center: tuple[float, float, float], radius: float) -> float:
    """Share of a sphere outside the kidney's ellipsoid, by sampling points."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-radius, radius, (200_000, 3))
    points = points[(points**2).sum(axis=1) <= radius**2] + center
    return float(1 - OUTER.contains(points).mean())


def claw(center: tuple[float, float, float], radius: float, rim: float) -> list[Ellipsoid]:
    """Parenchyma splayed around a tumor, as far as its middle and a third beyond."""
    shell = sphere(center, radius + rim, KIDNEY)
    outside = np.array(center) - OUTER.center
    outside = outside / np.linalg.norm(outside / np.array(OUTER.radii))
    cap = sphere(
        tuple(np.array(center) + outside / np.linalg.norm(outside) * 1.3 * radius), radius, 0
    )
    return [shell, cap]


@pytest.mark.parametrize(
    ("center", "radius", "rim"),
    [
        ((90, -20, 0), 10.0, 0.0),
        ((82, -20, 20), 12.0, 0.0),
        ((70, -20, 0), 10.0, 0.0),
        ((100, -20, 10), 16.0, 0.0),
        ((65, -20, 43), 15.0, 0.0),
        ((68, -15, 45), 16.0, 0.0),
        ((66, -22, -50), 22.0, 0.0),
        ((102, -20, 5), 17.0, 4.0),
        ((98, -12, 10), 16.0, 6.0),
    ],
    ids=["side", "shoulder", "inside", "far out", "pole", "pole 2", "large pole", "claw", "claw 2"],
)
def test_exophytic_fraction(center: tuple[float, float, float], radius: float, rim: float) -> None:
    found = tumor_in(center, radius, splayed=claw(center, radius, rim) if rim else [])
    truth = share_outside(center, radius)
    assert found.shape.exophytic_fraction == pytest.approx(truth, abs=0.04)
    assert found.nephrometry is not None
    expected = 3 if truth < 0.01 else 2 if truth < 0.5 else 1
    assert found.nephrometry.exophytic.points == expected


@pytest.mark.parametrize(
    ("gap", "points", "slices"),
    [
        *[(gap, points, 0.8) for gap, points in ((3.6, 3), (4.6, 2), (6.4, 2), (7.6, 1))],
        *[(gap, None, 3.0) for gap in (1.0, 3.6, 4.6, 6.4, 7.6, 10.0)],
    ],
)
def test_distance_to_the_sinus(gap: float, points: int | None, slices: float) -> None:
    place = np.random.default_rng(int(10 * gap)).uniform(-0.4, 0.4, 3)
    tumor = sphere((HILUM.center[0] + HILUM.radii[0] + gap + 7, -20, 0), 7, TUMOR)
    shapes = [
        Ellipsoid(tuple(np.array(s.center) + place), s.radii, s.label)
        for s in (OUTER, HILUM, tumor)
    ]
    affine, shape = grid_around((0.8, 0.8, slices), (33, 30, 60))
    affine[:3, 3] += OUTER.center
    image, labels = Phantom(tuple(shapes)).draw(affine, shape)
    found = measure(image, labels, body=Body(None, (1, 1, 1), Midline(0.0))).lesions[0]
    assert found.shape.sinus_mm == pytest.approx(gap, abs=0.85)  # a pixel
    assert found.nephrometry is not None
    if points is not None:
        assert found.shape.sinus_mm == pytest.approx(gap, abs=0.45)
        assert found.nephrometry.nearness.points == points


def test_a_tumor_that_fills_the_sinus_is_as_near_as_can_be() -> None:
    found = tumor_in((46, -20, 0), 18.0)
    assert found.shape.sinus_mm == 0
    assert "fills" in found.shape.sinus_rule
    assert found.nephrometry is not None
    assert found.nephrometry.nearness.points == 3


def test_a_bite_at_the_edge_of_a_kidney_without_a_hilum_fills_no_sinus() -> None:
    shapes = (OUTER, sphere((38, -20, 25), 7, TUMOR))
    affine, shape = grid_around((1.5, 1.5, 1.5), (40, 30, 60))
    affine[:3, 3] += OUTER.center
    image, labels = Phantom(shapes).draw(affine, shape)
    found = measure(image, labels, body=Body(None, (1, 1, 1), Midline(0.0))).lesions[0]
    assert found.shape.sinus_mm is None
    assert found.shape.sinus_rule.startswith("not given")


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(
    ("z_mm", "pole", "points"), [(40.0, "upper", 1), (-42.0, "lower", 1), (2.0, "interpolar", 3)]
)
def test_poles(z_mm: float, pole: str, points: int, side: float) -> None:
    found = tumor_in((78, -20, z_mm), 8.0, side)
    assert found.side == ("right" if side > 0 else "left")
    assert found.shape.pole == pole
    assert found.nephrometry is not None
    assert found.nephrometry.location.points == points
    assert found.nephrometry.total is not None
    assert 4 <= found.nephrometry.total <= 12


@pytest.mark.parametrize(("y_mm", "letter"), [(0.0, "a"), (-40.0, "p"), (-20.0, "x")])
def test_face(y_mm: float, letter: str) -> None:
    found = tumor_in((72, y_mm, 10), 8.0)
    assert found.nephrometry is not None
    assert found.nephrometry.face.value == letter
    assert found.nephrometry.face.points is None


@functools.cache
def anatomy() -> Anatomy:
    _, labels = Phantom((OUTER, HILUM)).draw(*grid_around((1.5, 1.5, 1.5), (110, 60, 70)))
    canonical = labels.reoriented()
    box = bounding_box(canonical.array)
    assert box is not None
    groups, _ = find_groups(canonical.cropped(box), box, Midline(0.0))
    found = find_anatomy(groups[0], frame_for(groups[0].labels))
    assert isinstance(found, Anatomy)
    return found


def test_anatomy_by_formula() -> None:
    found = anatomy()
    assert abs(found.axis[2]) > 0.99
    assert found.center == pytest.approx(np.array(OUTER.center), abs=1.5)
    assert found.hull.sum() * found.frame.voxel_ml == pytest.approx(OUTER.ml, rel=0.04)
    # Mouth of the hilum: where its ellipsoid leaves the kidney's.
    assert found.polar[0] + found.center[2] == pytest.approx(-16.96, abs=1.5)
    assert found.polar[1] + found.center[2] == pytest.approx(16.96, abs=1.5)
    assert found.front is not None
    assert found.front[1] > 0.98


@pytest.mark.parametrize(
    ("position", "diameter", "points", "total", "complexity"),
    [
        (LesionPosition(0.6, 9.0, 30.0, 0.0, False, 0.9), 40.0, (1, 1, 1, 1), 4, "low"),
        (LesionPosition(0.5, 7.0, 30.0, 0.05, False, 0.1), 40.1, (2, 1, 1, 1), 5, "low"),
        (LesionPosition(0.49, 6.9, 14.0, 0.3, False, 0.5), 69.9, (2, 2, 2, 2), 8, "moderate"),
        (LesionPosition(0.05, 4.0, 0.0, 0.51, False, 0.5), 70.0, (3, 3, 3, 3), 12, "high"),
        (LesionPosition(0.3, None, 0.0, 0.2, True, None), 30.0, (1, 2, None, 3), None, None),
    ],
)
def test_published_thresholds(
    position: LesionPosition,
    diameter: float,
    points: tuple[int | None, ...],
    total: int | None,
    complexity: str | None,
) -> None:
    score = nephrometry(diameter, position, anatomy())
    letters = (score.radius, score.exophytic, score.nearness, score.location)
    assert tuple(letter.points for letter in letters) == points
    assert (score.total, score.complexity) == (total, complexity)
    assert all(letter.rule for letter in (*letters, score.face))


def test_hull_equals_a_triangulation() -> None:
    rng = np.random.default_rng(3)
    mask = np.zeros((14, 15, 16), bool)
    mask[tuple(rng.integers(2, 12, (3, 25)))] = True
    corners = Delaunay(np.argwhere(mask))
    places = np.argwhere(np.ones_like(mask))
    inside = corners.find_simplex(places, tol=1e-9) >= 0
    # Points exactly on the hull may fall to either side; all others must agree.
    found = hull_mask(mask)[tuple(places.T)]
    assert found[inside].all()
    assert (found != inside).mean() < 0.002


def test_the_share_outside_does_not_depend_on_how_far_the_kidneys_box_reaches() -> None:
    """Thick slices: half of the tumor stands on the kidney's upper end."""
    affine = np.diag([2.0, 2.0, 6.0, 1.0])
    affine[:3, 3] = -59, -29, -39
    found = []
    for speck in (False, True):
        labels = np.zeros((60, 30, 14), np.uint8)
        labels[40:56, 5:25, 2:10] = KIDNEY
        labels[44:52, 10:20, 9:11] = TUMOR
        if speck:
            labels[44, 10, 11] = CYST
        image = Volume(np.full(labels.shape, 40, np.int16), affine)
        body = Body(None, (1, 1, 1), Midline(0.0))
        measured = measure(image, image.like(labels, Kind.LABELS), body=body).lesions[0]
        found.append(measured.shape.exophytic_fraction)
    assert found[0] == pytest.approx(found[1], abs=0.02)


def test_a_kidney_of_one_thick_slice_has_a_confidence() -> None:
    affine = np.diag([2.0, 2.0, 6.0, 1.0])
    labels = np.zeros((60, 30, 14), np.uint8)
    labels[40:56, 5:25, 0] = KIDNEY
    image = Volume(np.full(labels.shape, 40, np.int16), affine)

    class Sure:
        kidney = image.like(np.full(labels.shape, 255, np.uint8), Kind.PROBABILITY)
        lesion = None

    body = Body(None, (1, 1, 1), Midline(0.0))
    found = measure(image, image.like(labels, Kind.LABELS), Sure(), body=body).kidneys[0]
    assert found.confidence is not None
    assert found.confidence.mean_probability == pytest.approx(1)
    # All of the outermost slice counts, also beyond its voxels' centers.
    assert found.confidence.low_ml == pytest.approx(found.volume_ml, rel=0.02)
