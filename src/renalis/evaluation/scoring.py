"""Score one prediction against one reference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis import laterality
from renalis.boxes import Box
from renalis.choices import EmptyRule
from renalis.conventions import Convention
from renalis.evaluation import overlap
from renalis.evaluation.convention_check import remarks
from renalis.evaluation.label_boxes import label_boxes
from renalis.evaluation.label_pair import Pair, paired_maps
from renalis.evaluation.label_sources import LabelMap
from renalis.evaluation.lesions import Detection, detect
from renalis.evaluation.regions import Region, Side
from renalis.evaluation.scores import CaseScore, Options, RegionScore
from renalis.evaluation.surface import PlacedMasks, SurfaceDistances, surface_distances
from renalis.evaluation.voxel_geometry import VoxelGeometry
from renalis.volume import Volume

__all__ = ["score", "score_pair"]

_AT_ONCE = 1 << 19  # voxels of a box looked at together when they are counted


def score(reference: Volume, prediction: Volume, options: Options | None = None) -> CaseScore:
    """Score a predicted label map against a reference.

    Parameters
    ----------
    reference, prediction : Volume
        Label maps: whole numbers or booleans of any dtype, in any axis order.
    options : Options, optional
        How to score; KiTS23 by default.

    Returns
    -------
    CaseScore
        All scores of all regions that both maps can express.

    Raises
    ------
    InputError
        If the grids differ or a value is not a label of its convention.

    Examples
    --------
    >>> from renalis.volume import Kind
    >>> labels = np.zeros((40, 40, 40), np.uint8)
    >>> labels[10:30, 10:30, 10:30] = 1
    >>> labels[15:20, 15:20, 15:20] = 2
    >>> reference = Volume(labels, np.diag([1.0, 1.0, 2.5, 1.0]), Kind.LABELS)
    >>> shifted = Volume(np.roll(labels, 1, axis=0), reference.affine, Kind.LABELS)
    >>> result = score(reference, shifted)
    >>> round(result["tumor"].dice, 3)
    0.8
    >>> result["kidney"].hd95_mm
    1.0
    """
    chosen = options or Options()
    return score_pair(paired_maps(LabelMap(reference), LabelMap(prediction), chosen), chosen)


def score_pair(pair: Pair, options: Options) -> CaseScore:
    """Score two label maps that are on one grid already."""
    boxes = label_boxes(pair.reference, pair.prediction)
    parts = [_Part(box, *pair.labels(box)) for box in boxes]
    geometry = VoxelGeometry.of(pair.grid)
    table, midline = _table(pair, parts)
    present = frozenset(
        int(v) for v in range(1, overlap.LABELS) if table[:, :, v].any() or table[..., v].any()
    )
    renal = overlap.tally(table, pair.regions[0]).reference > 0
    surfaces: dict[object, SurfaceDistances] = {}
    detections: dict[object, Detection] = {}
    scores = {}
    for region in pair.regions:
        counts = overlap.tally(table, region)
        reference, prediction, _ = counts.totals
        # Without cysts, masses and tumor are the same masks: measured once.
        key = (region.values & present, region.side)
        if reference and prediction and key not in surfaces:
            masks = (_masks(pair.grid, part, region, midline) for part in parts)
            surfaces[key] = surface_distances(masks, pair.grid.shape, geometry)
        if region.lesions and key not in detections:
            masks = (_masks(pair.grid, part, region, midline) for part in parts)
            detections[key] = detect(masks, pair.grid.voxel_ml, options.lesion)
        scores[region.name] = _region_score(
            region=region,
            counts=counts,
            surface=surfaces[key] if reference and prediction else None,
            detection=detections[key] if region.lesions else None,
            voxel_ml=pair.grid.voxel_ml,
            renal=renal,
            empty=options.empty,
        )
    differing = table.sum(axis=1)
    differing[:, np.arange(overlap.LABELS), np.arange(overlap.LABELS)] = 0
    worst = differing.sum(axis=(1, 2))
    if not worst.any():
        worst = table.sum(axis=(1, 2, 3))
    return CaseScore(
        regions=scores,
        spacing=pair.grid.spacing,
        slice_thickness_mm=geometry.plane_distances[pair.axial],
        worst_slice=int(np.argmax(worst)),
        notes=pair.notes + _remarks(pair, boxes),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """The scored labels of both maps in a box."""

    box: Box
    reference: NDArray[np.uint8]
    prediction: NDArray[np.uint8]


def _remarks(pair: Pair, boxes: list[Box]) -> tuple[str, ...]:
    """What makes the conventions of the files doubtful."""
    notes: tuple[str, ...] = ()
    arrays = (pair.reference, pair.prediction)
    for array, written, what in zip(arrays, pair.written, ("reference", "prediction"), strict=True):
        if written not in (None, Convention.TOTALSEGMENTATOR):
            notes += remarks(array, boxes, pair.grid.voxel_ml, written, what)
    return notes


def _table(pair: Pair, parts: list[_Part]) -> tuple[NDArray[np.int64], float]:
    """Voxels by axial slice, side, reference and predicted label, (S, 2, 4, 4); and the midline."""
    voxels = [some for part in parts for some in _labelled(pair, part)]
    renal = [x[labels >= overlap.LABELS] for _, x, labels in voxels]
    midline = laterality.between_kidneys_mm(pair.grid, np.concatenate([np.empty(0), *renal]))
    length, kinds = pair.grid.shape[pair.axial], overlap.LABELS**2
    counts = np.zeros(length * 2 * kinds, dtype=np.int64)
    for places, x, labels in voxels:
        code = (places * 2 + (x >= midline)) * kinds + labels
        counts += np.bincount(code, minlength=len(counts))
    return counts.reshape(length, 2, overlap.LABELS, overlap.LABELS), midline


def _labelled(
    pair: Pair, part: _Part
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.uint8]]]:
    """The labelled voxels of a box, some slices at a time: axial slice, world x, both labels."""
    box = part.box
    both: NDArray[np.uint8] = np.left_shift(part.reference, 2, dtype=np.uint8)
    both |= part.prediction
    step = max(1, _AT_ONCE // max(1, both[0].size))
    for start in range(0, len(both), step):
        slab = both[start : start + step]
        flat = np.flatnonzero(slab)
        rows, k = np.divmod(flat, slab.shape[2])
        i, j = np.divmod(rows, slab.shape[1])
        offsets = (box[0].start + start, box[1].start, box[2].start)
        placed = tuple(n + offset for n, offset in zip((i, j, k), offsets, strict=True))
        yield (
            placed[pair.axial].astype(np.int32),
            laterality.world_x(pair.grid, placed),
            slab.reshape(-1)[flat],
        )


def _masks(grid: Volume, part: _Part, region: Region, midline: float) -> PlacedMasks:
    """Reference and prediction of one region in one box."""
    table = np.isin(np.arange(256), list(region.values))
    one, two = (
        _members(labels, region.values, table) for labels in (part.reference, part.prediction)
    )
    if region.side is not None:
        side = laterality.right_of(grid, part.box, midline)
        if region.side is Side.LEFT:
            side = ~side
        one, two = one & side, two & side
    i, j, k = (s.start for s in part.box)
    return PlacedMasks(one, two, (i, j, k))


def _members(
    labels: NDArray[np.uint8], values: frozenset[int], table: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Where the labels belong to a region; a comparison is faster than a table where it will do."""
    if len(values) == 1:
        return np.asarray(labels == next(iter(values)))
    low = min(values)
    if values == frozenset(range(low, overlap.LABELS)):
        return np.asarray(labels >= low)
    return np.asarray(table[labels])


def _region_score(
    *,
    region: Region,
    counts: overlap.Counts,
    surface: SurfaceDistances | None,
    detection: Detection | None,
    voxel_ml: float,
    renal: NDArray[np.bool_],
    empty: EmptyRule,
) -> RegionScore:
    """All scores of one region."""
    reference, prediction, _ = counts.totals
    nan = math.nan
    error = (prediction - reference) * voxel_ml
    return RegionScore(
        name=region.name,
        dice=overlap.dice(counts, empty),
        surface_dice=(
            surface.dice(region.tolerance_mm)
            if surface
            else empty.score(not reference, not prediction)
        ),
        hd95_mm=surface.hausdorff(95) if surface else nan,
        mean_surface_mm=surface.mean() if surface else nan,
        reference_ml=reference * voxel_ml,
        prediction_ml=prediction * voxel_ml,
        volume_error_ml=error,
        volume_error_percent=100 * (prediction - reference) / reference if reference else nan,
        false_positive_ml=nan if reference else prediction * voxel_ml,
        smooth_dice=overlap.smooth_dice(counts),
        slice_dice=overlap.slice_dice(counts, renal),
        slice_dice_all=overlap.slice_dice(counts),
        detection=detection,
    )
