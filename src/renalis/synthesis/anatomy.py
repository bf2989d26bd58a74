"""Compose a body around the kidneys of a label map."""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalis.synthesis import bowel, organs, skeleton, torso, vessels
from renalis.synthesis.crossed_kidneys import crossed_kidneys
from renalis.synthesis.random_fields import Frame, displaced, smooth_field
from renalis.synthesis.renal_tissues import renal_tissues
from renalis.synthesis.tissues import Tissue
from renalis.synthesis.torso import Landmarks
from renalis.synthesis.varied_labels import varied_labels
from renalis.volume import CANONICAL, Kind, Volume

__all__ = ["compose"]

_VERTEBRA_MM = 22.0
"""Half of the width and depth of a lumbar vertebra's body, with what lies before it."""

_ENTERING = 0.4
"""Share of patients whose vessels and renal pelvis are seen in the fat of the sinus."""

_CROSSING_ML = 20.0
"""What of a kidney must lie before the spine for the spine to make room: more than a pole."""


def compose(
    labels: Volume,
    rng: np.random.Generator,
    spacing: float = 2.0,
    vary: bool = True,
    crossed: float = 0.06,
    masses: float = 0.16,
) -> Volume:
    """Build a body around annotated kidneys.

    Parameters
    ----------
    labels : Volume
        KiTS23 labels whose affine places x = 0, y = 0 near the middle of the body.
    rng : Generator
        Source of randomness; the same state gives the same body.
    spacing : float
        Isotropic voxel size of the result in mm.
    vary : bool
        Whether kidneys may be mirrored, healed, removed or given further lesions.
    crossed : float
        Share of varied patients with both kidneys on one side; the default is far above the
        truth's, to be learned.
    masses : float
        Share of patients with cystic or solid masses that are not renal.

    Returns
    -------
    Volume
        Tissue map (``Tissue`` codes, uint8) in canonical orientation.
    """
    if vary and rng.random() < crossed:
        labels = crossed_kidneys(labels, rng)
    kidneys, offset = _on_grid(labels, spacing)
    if vary:
        kidneys = varied_labels(kidneys, rng, spacing)
    marks = _landmarks(kidneys, offset, spacing, rng)
    frame = _frame(marks, spacing, rng)
    tissue = np.zeros(frame.shape, np.uint8)
    shell = torso.paint_wall(tissue, frame, marks, rng)
    organs.paint_pelvic_organs(tissue, frame, marks, shell.cavity, rng)
    organs.paint_upper_organs(tissue, frame, marks, shell.cavity, rng)
    vessels.paint_vessels(tissue, frame, marks, rng)
    bowel.paint_bowel(tissue, frame, marks, shell.cavity, rng)
    organs.paint_masses(tissue, frame, marks, shell.cavity, rng, masses)
    if rng.random() < 0.15:
        _paint_ascites(tissue, frame, marks, shell.relative_x, rng)
    skeleton.paint_skeleton(tissue, frame, marks, shell, rng)
    _insert_kidneys(tissue, frame, kidneys, offset, rng, spacing)
    torso.paint_arms_and_table(tissue, frame, marks, rng)
    tissue = displaced(rng, tissue, 28 / spacing, rng.uniform(1.0, 3.5) / spacing)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing, -spacing, -spacing
    affine[:3, 3] = (-frame.origin[2], -frame.origin[1], frame.origin[0])
    return Volume(tissue, affine, Kind.LABELS)


def _on_grid(
    labels: Volume, spacing: float
) -> tuple[NDArray[np.uint8], tuple[float, float, float]]:
    """Labels in canonical orientation at ``spacing``, with the (z, y, x) in mm of voxel 0."""
    volume = labels.reoriented(CANONICAL)
    index = [
        np.minimum(np.arange(0, n * s, spacing) / s, n - 1).round().astype(int)
        for n, s in zip(volume.shape, volume.spacing, strict=True)
    ]
    array = np.asarray(volume.array)[np.ix_(*index)].astype(np.uint8)
    margin = round(40 / spacing)
    array = np.pad(array, margin)
    corner = volume.world(np.zeros(3))
    offset = tuple(float(c) - margin * spacing for c in (corner[2], -corner[1], -corner[0]))
    return array, (offset[0], offset[1], offset[2])


def _landmarks(
    kidneys: NDArray[np.uint8],
    offset: tuple[float, float, float],
    spacing: float,
    rng: np.random.Generator,
) -> Landmarks:
    """Deduce where spine, skin and diaphragm must be from where the kidneys are."""
    u = rng.uniform
    parts = cc3d.connected_components(kidneys > 0, connectivity=26)
    stats = cc3d.statistics(parts)
    big = [
        i
        for i in range(1, len(stats["voxel_counts"]))
        if stats["voxel_counts"][i] * spacing**3 > 20_000
    ]
    centers = [
        tuple(float(v) for v in np.asarray(stats["centroids"][i]) * spacing + offset) for i in big
    ]
    found = np.argwhere(kidneys > 0)
    if len(found) == 0:
        found = np.array([[kidneys.shape[0] // 2, kidneys.shape[1] // 2, kidneys.shape[2] // 2]])
    low = found.min(0) * spacing + offset
    high = found.max(0) * spacing + offset
    parenchyma = np.argwhere(kidneys == 1)
    reference = parenchyma if len(parenchyma) > 100 else found
    middle = np.median(reference, axis=0) * spacing + offset
    if len(centers) >= 2:
        xs = sorted(c[2] for c in centers)
        midline = 0.5 * (xs[0] + xs[-1]) if xs[0] * xs[-1] < 0 else 0.0
    else:
        midline = 0.0
    midline = float(np.clip(midline, -25, 25)) + float(rng.normal(0, 3))
    vertebra_y = float(np.clip(middle[1] - u(-2, 12), high[1] - 70, high[1]))
    vertebra_y = max(vertebra_y, _behind(found * spacing + offset, midline, spacing))
    lateral = max(abs(high[2] - midline), abs(low[2] - midline))
    half_width = max(lateral + u(24, 75), u(135, 175))
    back = max(high[1] + u(20, 45), vertebra_y + u(62, 85))
    half_depth = half_width * u(0.58, 0.82)
    front = min(back - 2 * half_depth, low[1] - u(25, 60))
    typical_top = min(high[0], middle[0] + 75)
    typical_bottom = max(low[0], middle[0] - 75)
    return Landmarks(
        midline=midline,
        vertebra_y=vertebra_y,
        kidney_top=float(typical_top),
        kidney_bottom=float(typical_bottom),
        kidney_back=float(min(high[1], vertebra_y + 60)),
        back=float(back),
        front=float(front),
        half_width=float(half_width),
        dome=float(typical_top + u(-5, 50)),
        crest=float(typical_bottom - u(5, 50)),
        kidneys=tuple((c[0], c[1], c[2]) for c in centers),
    )


def _behind(places: NDArray[np.floating[Any]], midline: float, spacing: float) -> float:
    """Least place of the vertebrae's middle: behind a kidney that crosses the midline.

    ``places`` (N, 3) in mm, Z, Y, X; Y grows to the back.
    """
    crossing = places[np.abs(places[:, 2] - midline) < _VERTEBRA_MM, 1]
    if crossing.size * spacing**3 < _CROSSING_ML * 1000:
        return -np.inf
    return float(np.percentile(crossing, 95)) + _VERTEBRA_MM


def _frame(marks: Landmarks, spacing: float, rng: np.random.Generator) -> Frame:
    """Grid from the thighs or the pelvis to the heart, with air around the body."""
    low = np.array(
        [
            marks.crest - rng.uniform(120, 230),
            marks.front - rng.uniform(8, 25),
            marks.midline - marks.half_width * 1.12 - rng.uniform(5, 30),
        ]
    )
    high = np.array(
        [
            marks.dome + rng.uniform(80, 170),
            marks.back + rng.uniform(12, 50),
            marks.midline + marks.half_width * 1.12 + rng.uniform(5, 30),
        ]
    )
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    return Frame(
        (int(shape[0]), int(shape[1]), int(shape[2])),
        (float(low[0]), float(low[1]), float(low[2])),
        spacing,
    )


def _paint_ascites(
    tissue: NDArray[np.uint8],
    frame: Frame,
    marks: Landmarks,
    relative_x: NDArray[np.float32],
    rng: np.random.Generator,
) -> None:
    """Fluid in the peritoneal space: from pools in the flanks to an abdomen full of it."""
    _, y, _ = frame.axes()
    flank = np.abs(relative_x) > rng.uniform(0.5, 0.65)
    free = (tissue == Tissue.VISCERAL_FAT) & ((y < marks.vertebra_y - 20) | flank)
    amount = smooth_field(rng, frame.shape, 35 / frame.spacing) + 0.8 * flank
    free &= amount > rng.uniform(-1.8, 0.8)
    tissue[free] = Tissue.FLUID


def _insert_kidneys(
    tissue: NDArray[np.uint8],
    frame: Frame,
    kidneys: NDArray[np.uint8],
    offset: tuple[float, float, float],
    rng: np.random.Generator,
    spacing: float,
) -> None:
    """Paint the kidneys last, in a bed of fat of varying thickness."""
    codes, distance = renal_tissues(kidneys, rng, spacing)
    start = np.rint((np.asarray(offset) - frame.origin) / spacing).astype(int)
    source, target = [], []
    for axis in range(3):
        a = max(0, -int(start[axis]))
        b = min(codes.shape[axis], frame.shape[axis] - int(start[axis]))
        if b <= a:
            return
        source.append(slice(a, b))
        target.append(slice(a + int(start[axis]), b + int(start[axis])))
    codes, distance = codes[tuple(source)], distance[tuple(source)]
    paint = tissue[tuple(target)]
    fat = max(0.0, rng.uniform(-4, 14))
    bed = fat * (1 + 0.8 * smooth_field(rng, codes.shape, 25 / spacing))
    hard = np.isin(
        paint,
        (
            Tissue.CORTICAL_BONE,
            Tissue.SPONGY_BONE,
            Tissue.DISC,
            Tissue.MUSCLE,
            Tissue.SPINAL_CANAL,
            Tissue.AIR,
            Tissue.ARTERY,
            Tissue.VEIN,
            Tissue.COLLECTING_SYSTEM,
            Tissue.SKIN,
        ),
    )
    surround = (distance < bed) & ~hard
    paint[surround] = Tissue.VISCERAL_FAT
    if rng.random() < 0.5:  # strands in the perirenal fat
        strands = np.abs(smooth_field(rng, codes.shape, 9 / spacing)) < rng.uniform(0.02, 0.09)
        paint[surround & strands & (distance > 2)] = Tissue.PERIRENAL_STRAND
    # Vessels and the renal pelvis, painted before, are at times kept where they enter the sinus:
    # the annotators mostly labelled them kidney there.
    renal = codes > 0
    if rng.random() < _ENTERING:
        entering = np.isin(paint, (Tissue.ARTERY, Tissue.VEIN, Tissue.COLLECTING_SYSTEM))
        renal &= ~(entering & (codes == Tissue.SINUS_FAT))
    paint[renal] = codes[renal]
