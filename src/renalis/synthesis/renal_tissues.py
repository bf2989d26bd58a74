"""From a label map of kidneys, tumors and cysts to renal tissues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cc3d
import edt
import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.synthesis.random_fields import Array, smooth_field
from renalis.synthesis.tissues import Tissue

__all__ = [
    "KIDNEY",
    "SINUS",
    "ParenchymaPattern",
    "paint_lesions",
    "paint_parenchyma",
    "paint_sinus",
    "renal_sinus",
    "renal_tissues",
]

SINUS = (Tissue.SINUS_FAT, Tissue.COLLECTING_SYSTEM)
"""What mostly fills the sinus."""

KIDNEY = (Tissue.CORTEX, Tissue.MEDULLA, Tissue.CALYX, Tissue.INNER_VESSEL)
"""What is labelled kidney."""


def renal_tissues(
    labels: NDArray[np.uint8], rng: np.random.Generator, spacing: float
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
    sinus = renal_sinus(renal, spacing, float(rng.uniform(9, 15)))
    body = renal | sinus
    depth = edt.edt(body, anisotropy=size, black_border=False)
    paint_parenchyma(tissue, labels == 1, depth, rng, spacing)
    paint_sinus(tissue, sinus, depth, rng, spacing)
    paint_lesions(tissue, labels, rng, spacing)
    distance = edt.edt(~body, anisotropy=size, black_border=False)
    return tissue, np.asarray(distance, np.float32)


def renal_sinus(
    renal: NDArray[np.bool_], spacing: float, closing_mm: float = 13.0
) -> NDArray[np.bool_]:
    """What a morphological closing with a ball adds to the kidneys.

    Parameters
    ----------
    renal : ndarray, shape (Z, Y, X), bool
        Kidneys with their lesions.
    spacing : float
        Isotropic voxel size in mm.
    closing_mm : float
        Radius of the ball.
    """
    size = (spacing,) * 3
    outside = edt.edt(~renal, anisotropy=size, black_border=False)
    filled = edt.edt(outside < closing_mm, anisotropy=size, black_border=False) > closing_mm
    return np.asarray(filled & ~renal)


@dataclass(frozen=True)
class ParenchymaPattern:
    """Ranges of what cortex and medulla look like.

    ``cortex_mm``: thickness of the cortex; ``pyramid_mm``: distance between pyramids; ``column``:
    share of the columns of cortex between them; ``calyx`` and ``vessel``: above which level calyces
    and vessels lie in the depth of the kidney. Shares and levels are in standard deviations of a
    random field.
    """

    cortex_mm: tuple[float, float] = (5.0, 8.5)
    pyramid_mm: tuple[float, float] = (11.0, 16.0)
    column: tuple[float, float] = (0.12, 0.35)
    calyx: tuple[float, float] = (0.6, 2.4)
    vessel: tuple[float, float] = (1.3, 3.0)


_PATTERN = ParenchymaPattern()


def paint_parenchyma(
    tissue: NDArray[np.uint8],
    kidney: NDArray[np.bool_],
    depth: Array,
    rng: np.random.Generator,
    spacing: float,
    pattern: ParenchymaPattern = _PATTERN,
) -> None:
    """Cortex, medulla, calyces and vessels where ``kidney`` is, in place.

    Parameters
    ----------
    tissue : ndarray, shape (Z, Y, X), uint8
        ``Tissue`` codes.
    kidney : ndarray, shape (Z, Y, X), bool
        Parenchyma.
    depth : ndarray, shape (Z, Y, X), float32
        Distance in mm to the outside of the kidney with its sinus.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size in mm.
    pattern : ParenchymaPattern
        Ranges to draw from.
    """
    columns = smooth_field(rng, tissue.shape, 9 / spacing)
    thickness = rng.uniform(*pattern.cortex_mm) + 2.5 * columns
    # Columns of cortex run between the pyramids down to the sinus, 3 to 8 mm thick.
    cells = smooth_field(rng, tissue.shape, rng.uniform(*pattern.pyramid_mm) / spacing)
    cortex = (depth < thickness) | (np.abs(cells) < rng.uniform(*pattern.column))
    tissue[kidney] = np.where(cortex[kidney], Tissue.CORTEX, Tissue.MEDULLA)
    deep = kidney & (depth > rng.uniform(7, 11))
    calyces = smooth_field(rng, tissue.shape, rng.uniform(6, 11) / spacing)
    tissue[deep & (calyces > rng.uniform(*pattern.calyx))] = Tissue.CALYX
    tissue[deep & (-calyces > rng.uniform(*pattern.vessel))] = Tissue.INNER_VESSEL


def paint_sinus(
    tissue: NDArray[np.uint8],
    sinus: NDArray[np.bool_],
    depth: Array,
    rng: np.random.Generator,
    spacing: float,
) -> None:
    """Fat, and at times collecting system, vessels and stones where ``sinus`` is, in place.

    What annotated kidneys leave free inside is almost only fat
    (``docs/synthesis-against-real.md``).

    Parameters
    ----------
    tissue : ndarray, shape (Z, Y, X), uint8
        ``Tissue`` codes.
    sinus : ndarray, shape (Z, Y, X), bool
        What the parenchyma encloses.
    depth : ndarray, shape (Z, Y, X), float32
        Distance in mm to the outside of the kidney with its sinus.
    rng : Generator
        Source of randomness.
    spacing : float
        Isotropic voxel size in mm.
    """
    shape = tissue.shape
    tissue[sinus] = Tissue.SINUS_FAT
    pattern = smooth_field(rng, shape, rng.uniform(7, 12) / spacing)
    second = smooth_field(rng, shape, 6 / spacing)
    # The share of urine runs from none to hydronephrosis.
    level = rng.choice([4.0, 0.9, 0.5, 0.0, -0.8], p=[0.7, 0.12, 0.09, 0.05, 0.04])
    vessel = rng.uniform(1.3, 3.5)
    deep = sinus & (depth > rng.uniform(1.5, 4))
    tissue[deep & (pattern > level)] = Tissue.COLLECTING_SYSTEM
    tissue[deep & (pattern <= level) & (second > vessel)] = Tissue.VEIN
    tissue[deep & (pattern <= level) & (second < -0.3 - vessel)] = Tissue.ARTERY
    if rng.random() < 0.15:
        places = np.argwhere(deep)
        for _ in range(int(rng.integers(1, 5)) if len(places) else 0):
            z, y, x = places[rng.integers(len(places))]
            r = int(rng.integers(0, max(1, round(4 / spacing)) + 1))
            spot = tissue[
                max(z - r, 0) : z + r + 1, max(y - r, 0) : y + r + 1, max(x - r, 0) : x + r + 1
            ]
            spot[(spot == Tissue.COLLECTING_SYSTEM) | (spot == Tissue.SINUS_FAT)] = Tissue.STONE


def paint_lesions(
    tissue: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator, spacing: float
) -> None:
    """Tissues of the tumors (2) and cysts (3) of a label map, in place; ``spacing`` in mm."""
    _paint_tumors(tissue, labels, rng, spacing)
    _paint_cysts(tissue, labels, rng, spacing)


def _components(lesions: NDArray[np.bool_]) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """Box and mask in it of each connected component; corners count as touching."""
    parts = cc3d.connected_components(lesions, connectivity=26)
    for index, box in enumerate(cc3d.statistics(parts)["bounding_boxes"][1:], start=1):
        yield box, parts[box] == index


def _paint_tumors(
    tissue: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator, spacing: float
) -> None:
    for box, mask in _components(labels == 2):
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
    tissue: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator, spacing: float
) -> None:
    for box, mask in _components(labels == 3):
        paint = tissue[box]
        paint[mask] = Tissue.CYST_A if rng.random() < 0.85 else Tissue.CYST_B
        if rng.random() < 0.15:
            inner = edt.edt(mask, anisotropy=(spacing,) * 3, black_border=True)
            paint[mask & (inner < 1.6)] = Tissue.CYST_WALL
