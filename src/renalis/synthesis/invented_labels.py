"""Invented kidneys: shapes for when there are no label maps, and the anatomies that they lack.

Two normal kidneys, a single one, horseshoe, crossed and fused, pelvic (ectopic) and transplanted
kidneys, with or without lesions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.synthesis.random_fields import Array, Frame, ball_path, ellipsoid, smooth_curve
from renalis.synthesis.renal_tissues import renal_sinus
from renalis.synthesis.varied_labels import add_lesions
from renalis.volume import Kind, Volume

__all__ = ["invented_labels"]

_SPACING = 1.5
_EXTENT = ((-190.0, 130.0), (-70.0, 70.0), (-130.0, 130.0))


def invented_labels(rng: np.random.Generator, kind: str | None = None) -> Volume:
    """Kidneys from formulas, with lesions in about half of the cases.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    kind : str, optional
        ``normal``, ``single``, ``horseshoe``, ``crossed``, ``pelvic`` or ``transplant``; drawn when
        not given.

    Returns
    -------
    Volume
        KiTS23 labels at 1.5 mm in canonical orientation; x = 0, y = 0 is the body's middle.
    """
    kinds = ("normal", "single", "horseshoe", "crossed", "pelvic", "transplant")
    kind = kind or str(rng.choice(kinds, p=(0.44, 0.14, 0.12, 0.08, 0.11, 0.11)))
    low = np.array([e[0] for e in _EXTENT])
    sides = ((np.array([e[1] for e in _EXTENT]) - low) / _SPACING).astype(int)
    frame = Frame((int(sides[0]), int(sides[1]), int(sides[2])), tuple(low), _SPACING)
    labels = np.zeros(frame.shape, np.uint8)
    u = rng.uniform
    side = int(rng.choice((-1, 1)))
    length = u(42, 62)
    if kind in ("normal", "pelvic", "transplant"):
        _kidney(labels, frame, rng, (u(0, 30), u(15, 35), -side * u(52, 72)), length, -side)
    if kind == "normal":
        _kidney(
            labels, frame, rng, (u(0, 40), u(15, 35), side * u(52, 72)), length * u(0.9, 1.1), side
        )
    elif kind == "single":
        _kidney(
            labels, frame, rng, (u(0, 30), u(15, 35), side * u(55, 75)), length * u(1, 1.25), side
        )
    elif kind == "pelvic":
        _kidney(
            labels, frame, rng, (-u(110, 150), u(-15, 15), side * u(10, 40)), length * 0.9, side
        )
    elif kind == "transplant":
        _kidney(
            labels, frame, rng, (-u(105, 145), -u(15, 45), side * u(75, 95)), length * 0.95, side
        )
    elif kind == "horseshoe":
        _horseshoe(labels, frame, rng)
    elif kind == "crossed":
        _crossed(labels, frame, rng, side)
    if rng.random() < 0.5:
        sinus = renal_sinus(labels > 0, _SPACING)
        labels = add_lesions(labels, rng, _SPACING, sinus)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    affine[2, 0], affine[1, 1], affine[0, 2] = _SPACING, -_SPACING, -_SPACING
    affine[:3, 3] = (-low[2], -low[1], low[0])
    return Volume(labels, affine, Kind.LABELS)


def _kidney(
    labels: NDArray[np.uint8],
    frame: Frame,
    rng: np.random.Generator,
    center: tuple[float, float, float],
    half_length: float,
    side: int,
) -> None:
    """A bean: an ellipsoid less the sinus, which opens towards the midline and the front."""
    thick, wide = half_length * rng.uniform(0.42, 0.52), half_length * rng.uniform(0.48, 0.6)
    body = ellipsoid(frame, rng, center, (half_length, thick, wide), 0.2, 0.06)
    hilum = (
        center[0] + rng.uniform(-4, 4),
        center[1] - 0.15 * thick,
        center[2] - side * 0.62 * wide,
    )
    sinus = ellipsoid(frame, rng, hilum, (half_length * 0.48, thick * 0.42, wide * 0.62), 0.2, 0.25)
    if body is None:
        return
    box, radius = body
    labels[box][radius < 1] = 1
    if sinus is not None:
        box, radius = sinus
        labels[box][radius < 1] = 0


def _horseshoe(labels: NDArray[np.uint8], frame: Frame, rng: np.random.Generator) -> None:
    """Two kidneys turned inwards, joined below by an isthmus in front of the aorta."""
    u = rng.uniform
    z, y = -u(20, 60), u(5, 25)
    poles = []
    for side in (-1, 1):
        center = (z + u(10, 30), y, side * u(42, 58))
        length = u(40, 52)
        _kidney(labels, frame, rng, center, length, side)
        # The isthmus begins inside the lower pole, lateral of the sinus.
        poles.append([center[0] - 0.65 * length, y, center[2]])
    middle = [min(poles[0][0], poles[1][0]) - u(0, 12), y - u(20, 30), 0.0]
    path = smooth_curve(np.array([poles[0], middle, poles[1]]), 2.0)
    thickness: Array = np.full(len(path), u(8, 14), np.float32)
    ball_path(frame, labels, path, thickness, 1)


def _crossed(labels: NDArray[np.uint8], frame: Frame, rng: np.random.Generator, side: int) -> None:
    """Both kidneys on one side: the crossed one lies below or before the spine, mostly fused."""
    u = rng.uniform
    own = (u(10, 35), u(10, 30), side * u(50, 68))
    length = u(42, 58)
    _kidney(labels, frame, rng, own, length, side)
    across = u(0, 1)  # from below the own kidney to before the spine
    other = (
        own[0] - (1 - 0.5 * across) * length * u(0.9, 1.3),
        own[1] - across * u(20, 35) - u(0, 10),
        side * (own[2] * side * (1 - across) + across * u(-15, 20)),
    )
    _kidney(labels, frame, rng, other, length * u(0.75, 0.95), -side)
    if rng.random() < 0.85:
        # The bridge begins inside both, at the poles that face each other.
        ends = [
            [own[0] - 0.6 * length, own[1], own[2]],
            [other[0] + 0.2 * length, other[1], other[2] + 0.4 * side * across * length],
        ]
        path = smooth_curve(np.array(ends), 2.0)
        thickness: Array = np.full(len(path), u(9, 16), np.float32)
        ball_path(frame, labels, path, thickness, 1)
