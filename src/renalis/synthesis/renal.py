"""From a label map of kidneys, tumors and cysts to renal tissues, and variations of it."""

from __future__ import annotations

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

from renalis.synthesis.fields import Array, smooth_field
from renalis.synthesis.tissues import LABEL_OF_TISSUE, Tissue

__all__ = [
    "add_lesions",
    "paint_large_mass",
    "paint_more_lesions",
    "paint_wide_pelvis",
    "renal_tissues",
    "varied_labels",
]

Labels = NDArray[np.uint8]


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
    sides = _sides(labels, spacing)
    if len(sides) == 2:
        healthy = [not (labels[side] > 1).any() for side in sides]
        draw = rng.random()
        if draw < 0.45 and healthy[0] != healthy[1]:
            labels = _healed(labels, sides[healthy.index(True)], sides[healthy.index(False)])
        elif draw < 0.51:
            labels[sides[int(rng.integers(2))]] = 0
    if rng.random() < 0.45:
        labels = add_lesions(labels, rng, spacing)
    return labels


def _sides(labels: Labels, spacing: float) -> list[NDArray[np.bool_]]:
    """Masks of the two largest separate renal bodies, if both exceed 30 ml."""
    parts = cc3d.connected_components(labels > 0, connectivity=26)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    largest = np.argsort(sizes)[::-1][:2]
    return [parts == i for i in largest if sizes[i] * spacing**3 > 30_000]


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


def add_lesions(labels: Labels, rng: np.random.Generator, spacing: float) -> Labels:
    """Add one to four round cysts (often) or tumors (seldom) at the kidneys' surface or inside."""
    kidney = np.argwhere(labels == 1)
    if len(kidney) < 1000:
        return labels
    labels = labels.copy()
    for _ in range(int(rng.integers(1, 5))):
        value = 3 if rng.random() < 0.72 else 2
        radius = float(np.exp(rng.uniform(np.log(4), np.log(26 if value == 3 else 20)))) / spacing
        center = kidney[rng.integers(len(kidney))]
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
        labels[box][inside] = value
    return labels


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
    more = add_lesions(labels, rng, spacing)
    more[more == labels] = 0
    _paint_lesions(tissue, more, rng, spacing)


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
    """Let one cyst or tumor of 4 to 13 cm grow out of a kidney, in place.

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
    _paint_lesions(tissue, more, rng, spacing)


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
    hollow = np.isin(tissue, (Tissue.SINUS_FAT, Tissue.COLLECTING_SYSTEM))
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


def renal_tissues(
    labels: Labels, rng: np.random.Generator, spacing: float
) -> tuple[NDArray[np.uint8], Array]:
    """Tissues of the kidneys and of what fills their sinus.

    The cortex is a shell of varying thickness with columns between the pyramids of the medulla.
    The sinus is what a morphological closing of the kidney adds: fat, collecting system, vessels,
    at times a stone.

    Parameters
    ----------
    labels : ndarray, shape (Z, Y, X), uint8
        KiTS23 labels in canonical orientation, with room around the kidneys.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size in mm.

    Returns
    -------
    tissue : ndarray, uint8
        ``Tissue`` codes, 0 where nothing is renal.
    distance : ndarray, float32
        Distance in mm to the nearest renal or sinus voxel.
    """
    size = (spacing,) * 3
    renal = labels > 0
    tissue = np.zeros(labels.shape, np.uint8)
    outside = edt.edt(~renal, anisotropy=size, black_border=False)
    closing = float(rng.uniform(9, 15))
    filled = edt.edt(outside < closing, anisotropy=size, black_border=False) > closing
    sinus = filled & ~renal
    body = renal | sinus
    depth = edt.edt(body, anisotropy=size, black_border=False)
    shape = labels.shape

    columns = smooth_field(rng, shape, 9 / spacing)
    thickness = rng.uniform(5, 8.5) + 2.5 * columns
    kidney = labels == 1
    # Columns of cortex run between the pyramids down to the sinus, 3 to 8 mm thick.
    cells = smooth_field(rng, shape, rng.uniform(11, 16) / spacing)
    cortex = (depth < thickness) | (np.abs(cells) < rng.uniform(0.12, 0.35))
    tissue[kidney] = np.where(cortex[kidney], Tissue.CORTEX, Tissue.MEDULLA)

    _paint_sinus(tissue, sinus, depth, rng, spacing)
    _paint_lesions(tissue, labels, rng, spacing)
    distance = edt.edt(~body, anisotropy=size, black_border=False)
    return tissue, np.asarray(distance, np.float32)


def _paint_sinus(
    tissue: NDArray[np.uint8],
    sinus: NDArray[np.bool_],
    depth: Array,
    rng: np.random.Generator,
    spacing: float,
) -> None:
    shape = tissue.shape
    tissue[sinus] = Tissue.SINUS_FAT
    pattern = smooth_field(rng, shape, rng.uniform(7, 12) / spacing)
    second = smooth_field(rng, shape, 6 / spacing)
    # The share of urine runs from a collapsed system to hydronephrosis.
    level = rng.choice([0.9, 0.5, 0.0, -0.8], p=[0.4, 0.35, 0.17, 0.08])
    deep = sinus & (depth > rng.uniform(1.5, 4))
    tissue[deep & (pattern > level)] = Tissue.COLLECTING_SYSTEM
    tissue[deep & (pattern <= level) & (second > 1.0)] = Tissue.VEIN
    tissue[deep & (pattern <= level) & (second < -1.3)] = Tissue.ARTERY
    if rng.random() < 0.15:
        places = np.argwhere(deep)
        for _ in range(int(rng.integers(1, 5)) if len(places) else 0):
            z, y, x = places[rng.integers(len(places))]
            r = int(rng.integers(0, max(1, round(4 / spacing)) + 1))
            spot = tissue[
                max(z - r, 0) : z + r + 1, max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1
            ]
            spot[(spot == Tissue.COLLECTING_SYSTEM) | (spot == Tissue.SINUS_FAT)] = Tissue.STONE


def _paint_lesions(
    tissue: NDArray[np.uint8], labels: Labels, rng: np.random.Generator, spacing: float
) -> None:
    _paint_tumors(tissue, labels, rng, spacing)
    _paint_cysts(tissue, labels, rng, spacing)


def _paint_tumors(
    tissue: NDArray[np.uint8], labels: Labels, rng: np.random.Generator, spacing: float
) -> None:
    parts = cc3d.connected_components(labels == 2, connectivity=26)
    for index, box in enumerate(cc3d.statistics(parts)["bounding_boxes"]):
        if index == 0:
            continue
        mask = parts[box] == index
        paint = tissue[box]
        inner = edt.edt(mask, anisotropy=(spacing,) * 3, black_border=True)
        radius = float(inner.max())
        main = Tissue.TUMOR_A if rng.random() < 0.6 else Tissue.TUMOR_B
        other = Tissue.TUMOR_B if main == Tissue.TUMOR_A else Tissue.TUMOR_A
        paint[mask] = main
        pattern = smooth_field(rng, mask.shape, max(2.0, rng.uniform(0.3, 0.8) * radius / spacing))
        style = rng.random()
        if style < 0.25:  # two solid components
            paint[mask & (pattern > rng.uniform(-0.2, 1))] = other
        elif style < 0.6 and radius > 8:  # central necrosis of any extent
            paint[mask & (inner + 4 * pattern > rng.uniform(0.3, 0.8) * radius)] = Tissue.NECROSIS
        elif style < 0.75:  # cystic tumor with a thick wall and septa
            wall = rng.uniform(1.5, 5)
            paint[mask & (inner > wall) & (np.abs(pattern) > 0.25)] = Tissue.NECROSIS
            paint[mask & (inner <= wall)] = Tissue.TUMOR_WALL
        elif style < 0.8:  # dense specks, which are part of the tumor
            paint[mask & (pattern > 2.2)] = Tissue.TUMOR_WALL


def _paint_cysts(
    tissue: NDArray[np.uint8], labels: Labels, rng: np.random.Generator, spacing: float
) -> None:
    parts = cc3d.connected_components(labels == 3, connectivity=26)
    for index, box in enumerate(cc3d.statistics(parts)["bounding_boxes"]):
        if index == 0:
            continue
        mask = parts[box] == index
        paint = tissue[box]
        paint[mask] = Tissue.CYST_A if rng.random() < 0.85 else Tissue.CYST_B
        if rng.random() < 0.15:
            inner = edt.edt(mask, anisotropy=(spacing,) * 3, black_border=True)
            paint[mask & (inner < 1.6)] = Tissue.CYST_WALL
