"""New patients from annotated ones: variations of a label map of kidneys, tumors and cysts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.synthesis.crossed_kidneys import two_kidneys
from renalis.synthesis.random_fields import smooth_field
from renalis.synthesis.renal_tissues import renal_sinus

__all__ = ["add_lesions", "varied_labels"]

Labels = NDArray[np.uint8]

_MOST_IN_SINUS = 0.2
_APART = np.array([0.85, 1.2])
"""Distance of the centers of lesions next to each other, in sums of their radii: from a common wall
to some parenchyma between."""


def varied_labels(labels: Labels, rng: np.random.Generator, spacing: float) -> Labels:
    """A new patient from an annotated one: mirrored, healed, nephrectomized or with more lesions.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X), uint8
        KiTS23 labels in canonical orientation.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size in mm.

    Returns
    -------
    ndarray, shape (Z, Y, X), uint8
        Labels on a grid of the same size.
    """
    if rng.random() < 0.5:
        labels = labels[:, :, ::-1]
    labels = np.ascontiguousarray(labels)
    sides = two_kidneys(labels, spacing)
    if len(sides) == 2:
        healthy = [not (labels[side] > 1).any() for side in sides]
        draw = rng.random()
        if draw < 0.45 and healthy[0] != healthy[1]:
            labels = _healed(labels, sides[healthy.index(True)], sides[healthy.index(False)])
        elif draw < 0.51:
            labels[sides[int(rng.integers(2))]] = 0
    if rng.random() < 0.45:
        labels = add_lesions(labels, rng, spacing, renal_sinus(labels > 0, spacing))
    return labels


def _healed(
    labels: Labels, healthy: NDArray[np.bool_], sick: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Replace the diseased kidney by the mirror image of the healthy one."""
    to = np.argwhere(sick & (labels == 1))
    if len(to) < 100:
        to = np.argwhere(sick)
    source = np.argwhere(healthy)
    mirrored = source.copy()
    mirrored[:, 2] = -mirrored[:, 2]
    shift = np.rint(to.mean(0) - mirrored.mean(0)).astype(int)
    place = mirrored + shift
    result = labels.copy()
    result[sick] = 0
    inside = ((place >= 0) & (place < labels.shape)).all(1)
    if inside.mean() < 0.995:
        return labels
    place = place[inside]
    result[tuple(place.T)] = 1
    return result


def add_lesions(
    labels: Labels,
    rng: np.random.Generator,
    spacing: float,
    sinus: NDArray[np.bool_],
    tumors: float = 0.28,
    clustered: float = 0.25,
) -> Labels:
    """Add one to four round cysts or tumors at the kidneys' surface or inside.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X), uint8
        KiTS23 labels.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size in mm.
    sinus : ndarray, shape (Z, Y, X), bool
        Where no lesion may reach: fluid there is the renal pelvis. A lesion that would lie there
        by more than a fifth is left out.
    tumors : float
        Share of tumors among the lesions.
    clustered : float
        Share of the lesions after the first that are of its kind and lie next to the one before, as
        cysts do.

    Returns
    -------
    ndarray, shape (Z, Y, X), uint8
        A copy with the lesions.
    """
    kidney = np.argwhere(labels == 1)
    if len(kidney) < 1000:
        return labels
    labels = labels.copy()
    value, radius, center = 0, 0.0, kidney[0]
    for _ in range(int(rng.integers(1, 5))):
        near = value > 0 and rng.random() < clustered
        if not near:
            value = 3 if rng.random() < 1 - tumors else 2
        other = radius
        radius = float(np.exp(rng.uniform(np.log(4), np.log(26 if value == 3 else 20)))) / spacing
        places = _at_distance(kidney, center, (radius + other) * _APART) if near else kidney
        center = places[rng.integers(len(places))]
        reach = int(np.ceil(radius * 1.3))
        low = np.maximum(center - reach, 0)
        high = np.minimum(center + reach + 1, labels.shape)
        if (center - reach < 0).any() or (center + reach >= labels.shape).any():
            continue
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        grid = np.ogrid[tuple(slice(-reach, reach + 1) for _ in range(3))]
        stretch = rng.uniform(0.85, 1.15, 3)
        distance = np.sqrt(sum((g * s) ** 2 for g, s in zip(grid, stretch, strict=True)))
        bumps = 0.04 if value == 3 else 0.12
        distance = distance * (1 + bumps * smooth_field(rng, distance.shape, max(radius, 2)))
        inside = (distance < radius) & (labels[box] <= 1)
        hollow = inside & sinus[box]
        if np.count_nonzero(hollow) > _MOST_IN_SINUS * np.count_nonzero(inside):
            continue
        inside &= ~hollow
        labels[box][inside] = value
    return labels


def _at_distance(
    places: NDArray[np.int64], center: NDArray[np.int64], limits: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Those of the places (N, 3) that lie so far from ``center``; all of them where none does."""
    away = np.linalg.norm(places - center, axis=1)
    found = places[(away >= limits[0]) & (away <= limits[1])]
    return found if len(found) else places
