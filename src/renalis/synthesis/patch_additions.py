"""What is painted into finished tissue maps, anew for every patch that is cut from them.

A body takes seconds to compose, an addition milliseconds.
"""

from __future__ import annotations

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.synthesis.random_fields import smooth_field
from renalis.synthesis.renal_tissues import (
    KIDNEY,
    SINUS,
    ParenchymaPattern,
    paint_lesions,
    paint_parenchyma,
    paint_sinus,
)
from renalis.synthesis.tissues import LABEL_OF_TISSUE, Tissue
from renalis.synthesis.varied_labels import add_lesions

__all__ = ["paint_large_mass", "paint_more_lesions", "paint_new_inside", "paint_wide_pelvis"]

_SINUS_REACH_MM = 12.0
_TUMORS = 0.45
"""Share of tumors among added lesions; the annotated patients have few small ones."""
_WIDE_PATTERN = ParenchymaPattern(cortex_mm=(4.0, 10.0), pyramid_mm=(8.0, 19.0), column=(0.05, 0.5))


def paint_more_lesions(tissue: NDArray[np.uint8], rng: np.random.Generator, spacing: float) -> None:
    """Paint further cysts and tumors into the kidneys of a finished tissue map, in place.

    Parameters
    ----------
    tissue : ndarray, shape (Z, Y, X), uint8
        ``Tissue`` codes.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size in mm.
    """
    labels = LABEL_OF_TISSUE[tissue]
    more = add_lesions(labels, rng, spacing, np.isin(tissue, SINUS), _TUMORS)
    more[more == labels] = 0
    paint_lesions(tissue, more, rng, spacing)


_HOLDS = (
    Tissue.AIR,
    Tissue.SKIN,
    Tissue.MUSCLE,
    Tissue.CORTICAL_BONE,
    Tissue.SPONGY_BONE,
    Tissue.DISC,
    Tissue.SPINAL_CANAL,
    Tissue.CARTILAGE,
    Tissue.LUNG,
    Tissue.TABLE,
    Tissue.METAL,
)
"""What a growing mass does not displace."""


def paint_large_mass(tissue: NDArray[np.uint8], rng: np.random.Generator, spacing: float) -> None:
    """Let one cyst or tumor of 3 to 16 cm grow out of a kidney, in place.

    The annotated patients have few of that size. What lies in its way gives room, except for the
    walls of the body.

    Parameters
    ----------
    tissue : ndarray, shape (Z, Y, X), uint8
        ``Tissue`` codes.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size of the tissue map in mm.
    """
    labels = LABEL_OF_TISSUE[tissue]
    parts = cc3d.connected_components(labels == 1, connectivity=26)
    places = np.argwhere(parts)
    if len(places) * spacing**3 < 15_000:
        return
    start = places[rng.integers(len(places))]
    kidney = np.argwhere(parts == parts[tuple(start)])
    outwards = start - kidney.mean(0) + rng.normal(0, 4 / spacing, 3)
    outwards /= max(float(np.linalg.norm(outwards)), 1e-6)
    radius = float(np.exp(rng.uniform(np.log(20), np.log(65)))) / spacing
    center = start + outwards * radius * rng.uniform(0.2, 0.85)
    low = np.maximum(np.floor(center - 1.5 * radius).astype(int), 0)
    high = np.minimum(np.ceil(center + 1.5 * radius).astype(int) + 1, tissue.shape)
    if (low >= high).any():
        return
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    stretch = rng.uniform(0.8, 1.25, 3)
    away = [(g - c) * s for g, c, s in zip(np.ogrid[box], center, stretch, strict=True)]
    distance = np.sqrt(sum(a**2 for a in away)) / radius
    value = 3 if rng.random() < 0.6 else 2
    bumps = 0.05 if value == 3 else 0.14
    distance = distance * (1 + bumps * smooth_field(rng, distance.shape, max(0.5 * radius, 2.0)))
    room = (distance < 1) & (labels[box] <= 1) & ~np.isin(tissue[box], _HOLDS)
    # Only what the walls do not cut off from the kidney.
    pieces = cc3d.connected_components(room, connectivity=6)
    own = np.unique(pieces[room & (parts[box] == parts[tuple(start)])])
    more = np.zeros_like(labels)
    more[box][np.isin(pieces, own[own > 0])] = value
    paint_lesions(tissue, more, rng, spacing)


def paint_wide_pelvis(tissue: NDArray[np.uint8], rng: np.random.Generator, spacing: float) -> None:
    """Let the renal pelvis bulge out of the sinus, in place: fluid that is no cyst.

    An extrarenal or dilated pelvis lies at the hilum, not in the parenchyma; without examples of it
    networks call it a cyst.

    Parameters
    ----------
    tissue : ndarray, shape (Z, Y, X), uint8
        ``Tissue`` codes.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size of the tissue map in mm.
    """
    hollow = np.isin(tissue, SINUS)
    parts = cc3d.connected_components((LABEL_OF_TISSUE[tissue] > 0) | hollow, connectivity=26)
    for index in range(1, int(parts.max()) + 1):
        part = parts == index
        sinus = np.argwhere(part & hollow)
        kidney = np.argwhere(part & ~hollow)
        if len(sinus) * spacing**3 < 1000 or len(kidney) * spacing**3 < 15_000:
            continue
        if rng.random() < 0.25:  # often on one side only
            continue
        outwards = sinus.mean(0) - kidney.mean(0)
        length = float(np.linalg.norm(outwards))
        if length * spacing < 2:
            continue
        radius = float(np.exp(rng.uniform(np.log(8), np.log(22)))) / spacing
        center = sinus.mean(0) + outwards / length * radius * rng.uniform(0.3, 1.3)
        center += rng.normal(0, 0.25 * radius, 3)
        _fill_ellipsoid(tissue, center, outwards / length, radius, rng)
        if rng.random() < 0.4:  # and the calyces are wide as well
            calyx = smooth_field(rng, tissue.shape, 8 / spacing) > rng.uniform(-0.8, 0.6)
            tissue[part & hollow & calyx] = Tissue.COLLECTING_SYSTEM


_GIVES_WAY = (
    Tissue.FAT,
    Tissue.VISCERAL_FAT,
    Tissue.SINUS_FAT,
    Tissue.VEIN,
    Tissue.ARTERY,
    Tissue.PERIRENAL_STRAND,
)


def _fill_ellipsoid(
    tissue: NDArray[np.uint8],
    center: NDArray[np.float64],
    axis: NDArray[np.float64],
    radius: float,
    rng: np.random.Generator,
) -> None:
    """Urine in an ellipsoid along ``axis``, where there is fat or a vessel."""
    reach = int(np.ceil(1.8 * radius))
    low = np.maximum(np.rint(center).astype(int) - reach, 0)
    high = np.minimum(np.rint(center).astype(int) + reach + 1, tissue.shape)
    if (low >= high).any():
        return
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    lines = np.ogrid[box]
    away = [line - c for line, c in zip(lines, center, strict=True)]
    along = sum(a * d for a, d in zip(away, axis, strict=True))
    square = sum(a**2 for a in away)
    stretch = rng.uniform(0.8, 1.6)
    distance = np.sqrt(np.maximum(square - along**2, 0) + (along / stretch) ** 2) / radius
    distance = distance * (1 + 0.12 * smooth_field(rng, distance.shape, max(radius, 2.0)))
    paint = tissue[box]
    paint[(distance < 1) & np.isin(paint, _GIVES_WAY)] = Tissue.COLLECTING_SYSTEM


def paint_new_inside(tissue: NDArray[np.uint8], rng: np.random.Generator, spacing: float) -> None:
    """Draw the inside of kidneys and often the content of the sinus anew, in place.

    Outlines are what annotated patients are needed for; the inside of their kidneys may differ
    every time they are shown.

    Parameters
    ----------
    tissue : ndarray, shape (Z, Y, X), uint8
        ``Tissue`` codes.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size of the tissue map in mm.
    """
    size = (spacing,) * 3
    kidney = np.isin(tissue, KIDNEY)
    found = ndimage.find_objects(kidney.view(np.uint8))
    if not found:
        return
    margin = int(np.ceil(_SINUS_REACH_MM / spacing))
    box = tuple(slice(max(0, side.start - margin), side.stop + margin) for side in found[0])
    kidney, paint = kidney[box], tissue[box]
    # The ureter is made of what fills the sinus and stays as it is.
    near = edt.edt(~kidney, anisotropy=size, black_border=False) < _SINUS_REACH_MM
    sinus = near & np.isin(paint, (*SINUS, Tissue.STONE))
    body = sinus | (LABEL_OF_TISSUE[paint] > 0)
    depth = edt.edt(body, anisotropy=size, black_border=False)
    paint_parenchyma(paint, kidney, depth, rng, spacing, _WIDE_PATTERN)
    if rng.random() < 0.6:
        paint_sinus(paint, sinus, depth, rng, spacing)
