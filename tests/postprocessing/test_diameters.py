"""Diameters against formulas, brute force and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.kidney_phantoms import Ellipsoid, Phantom, grid_around, sphere
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist
from skimage.measure import label as components
from skimage.measure import regionprops

from renalis.postprocessing.diameters import axial_diameter, diameter_mm

STEPS = {
    "isotropic": np.eye(3),
    "anisotropic": np.diag([3.0, 0.8, 0.7]),
    "oblique": np.array([[2.9, 0.4, 0.1], [-0.1, 0.7, 0.2], [0.05, -0.2, 0.8]]),
    "sheared": np.array([[2.5, 0.6, 0.0], [0.0, 0.9, 0.0], [0.0, 0.0, 0.9]]),
}


def face_centers(mask: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Every voxel's face centers: what the outline means, without any shortcut."""
    centers = np.argwhere(mask) @ steps
    return np.concatenate([centers + side * step / 2 for step in steps for side in (-1, 1)])


@settings(max_examples=60, deadline=None)
@given(
    mask=arrays(bool, (4, 5, 6), elements=st.booleans()).filter(lambda m: m.any()),
    name=st.sampled_from(sorted(STEPS)),
)
def test_equals_brute_force(mask: np.ndarray, name: str) -> None:
    steps = STEPS[name]
    centers = np.argwhere(mask) @ steps
    assert diameter_mm(mask, steps) >= pdist(centers).max(initial=0) - 1e-9
    for flat in (mask[:1], mask[:, 2:3], mask[..., 5:]):
        if flat.any():
            outline = face_centers(flat, steps)
            assert diameter_mm(flat, steps) == pytest.approx(pdist(outline).max(), abs=1e-9)
    in_slices = [
        pdist(np.unique(flat.round(9), axis=0)).max()
        for z in range(4)
        if mask[z].any()
        for flat in [face_centers(mask[z], steps[1:])]
    ]
    found = axial_diameter(mask, steps)
    assert found.long_mm == pytest.approx(max(in_slices), abs=1e-6)
    assert 0 < found.short_mm <= found.long_mm + 1e-9
    assert mask[found.level].any()


@pytest.mark.parametrize(("long", "short"), [(21.0, 13.0), (30.5, 30.5), (40.0, 6.0)])
def test_agrees_with_scikit_image(long: float, short: float) -> None:
    y, x = np.mgrid[-50:51, -50:51]
    turned = (x * 0.8 + y * 0.6) ** 2 / long**2 + (y * 0.8 - x * 0.6) ** 2 / short**2 <= 1
    expected = regionprops(components(turned.astype(np.uint8)))[0].feret_diameter_max
    found = axial_diameter(turned[None], np.eye(3))
    # scikit-image outlines the pixels of the convex hull's image, up to half a pixel wider.
    assert found.long_mm == pytest.approx(expected, abs=1.0)
    assert found.long_mm == pytest.approx(2 * long, abs=1.0)
    assert found.short_mm == pytest.approx(2 * short, abs=1.2)


@pytest.mark.parametrize(
    ("turn", "shear", "spacing"),
    [(0, 0, (0.8, 0.8, 0.8)), (0, 0, (0.8, 0.8, 3.0)), (20, 0, (1, 1, 2)), (0, 0.3, (1, 1, 2))],
)
def test_ellipsoid_by_formula(turn: float, shear: float, spacing: tuple[float, ...]) -> None:
    affine, shape = grid_around(spacing, (45, 45, 45), turn, shear)
    body = Ellipsoid((1.3, -2.1, 0.4), (14, 9, 27), 1)
    _, labels = Phantom((body,)).draw(affine, shape)
    mask = labels.reoriented().array > 0
    steps = labels.reoriented().affine[:3, :3].T
    assert diameter_mm(mask, steps) == pytest.approx(54, abs=0.3)


def ball(
    diameter: float, slices: float, turn: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A ball on pixels of 0.8 mm, placed anywhere within a voxel, and its grid's steps."""
    affine, shape = grid_around((0.8, 0.8, slices), (diameter / 2 + slices + 2,) * 3, turn)
    place = affine[:3, :3] @ rng.uniform(-0.5, 0.5, 3)
    _, labels = Phantom((sphere(tuple(place), diameter / 2, 2),)).draw(affine, shape)
    canonical = labels.reoriented()
    return canonical.array > 0, canonical.affine[:3, :3].T


@pytest.mark.parametrize("turn", [0.0, 20.0])
@pytest.mark.parametrize("slices", [0.8, 2.5, 5.0])
@pytest.mark.parametrize(("diameter", "below"), [(26.0, 40.0), (38.0, 40.0), (69.0, 70.0)])
def test_a_ball_is_as_large_whatever_the_slices(
    diameter: float, below: float, slices: float, turn: float
) -> None:
    """On average over its places it is right; none of them costs a point of R."""
    rng = np.random.default_rng(1)
    found = [diameter_mm(*ball(diameter, slices, turn, rng)) for _ in range(8 if slices > 1 else 1)]
    assert np.mean(found) == pytest.approx(diameter, abs=0.5)
    assert max(found) < below


@pytest.mark.parametrize("slices", [1.0, 2.5, 5.0])
@pytest.mark.parametrize("turn", [0.0, 15.0, 40.0])
def test_a_kidney_is_as_long_whatever_the_slices(turn: float, slices: float) -> None:
    rng = np.random.default_rng(2)
    affine, shape = grid_around((1.0, 1.0, slices), (62, 62, 62), turn)
    found = []
    for _ in range(6 if slices > 1 else 1):
        place = affine[:3, :3] @ rng.uniform(-0.5, 0.5, 3)
        _, labels = Phantom((Ellipsoid(tuple(place), (26, 22, 55), 1),)).draw(affine, shape)
        canonical = labels.reoriented()
        found.append(diameter_mm(canonical.array > 0, canonical.affine[:3, :3].T))
    assert np.mean(found) == pytest.approx(110, abs=0.5)


def test_a_kidney_that_the_scan_cuts_ends_there() -> None:
    affine, shape = grid_around((1.0, 1.0, 1.0), (35, 30, 60))
    _, labels = Phantom((Ellipsoid((0, 0, 0), (20, 20, 55), 1),)).draw(affine, shape)
    canonical = labels.reoriented()
    visible = canonical.array[20:100] > 0  # 80 mm of it, with flat ends of 27 mm
    assert diameter_mm(visible, canonical.affine[:3, :3].T) == pytest.approx(84.6, abs=1.0)


def test_axial_diameter_of_a_sphere() -> None:
    affine, shape = grid_around((0.7, 0.7, 2.0), (30, 30, 30))
    _, labels = Phantom((sphere((3, 2, 0.3), 15, 2),)).draw(affine, shape)
    canonical = labels.reoriented()
    found = axial_diameter(canonical.array > 0, canonical.affine[:3, :3].T)
    assert found.long_mm == pytest.approx(30, abs=0.7)
    assert found.short_mm == pytest.approx(30, abs=1.0)


def test_a_single_voxel_is_as_long_as_its_longest_edge() -> None:
    one = np.ones((1, 1, 1), bool)
    assert diameter_mm(one, np.diag([5.0, 0.8, 0.7])) == pytest.approx(5.0)
    assert axial_diameter(one, np.diag([5.0, 0.8, 0.7])).long_mm == pytest.approx(0.8)
