"""Measuring: from a scan and its label map to numbers with units."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import bounding_box
from renalis.calibration import Fits
from renalis.laterality import Midline
from renalis.look_spread import LookSpread
from renalis.measurement.case_confidence import case_confidence
from renalis.measurement.contrast_phase import contrast_phase
from renalis.measurement.kidneys import measure_kidney
from renalis.measurement.lesions import measure_lesions
from renalis.measurement.measurements import Measurements
from renalis.measurement.numbering import check_known, kidney_ids, lesion_ids
from renalis.measurement.results import Grid, Kidney, Lesion, LesionKind, Side, Totals
from renalis.measurement.scene import Scene, slice_axis
from renalis.measurement.structure_values import Probabilities
from renalis.measurement.structures import (
    Group,
    find_groups,
    find_lesions,
    largest_lesions,
)
from renalis.measurement.unusual import unusual
from renalis.preparation.body import Body, find_body
from renalis.preparation.lungs import find_lungs
from renalis.volume import CANONICAL, Kind, Volume

__all__ = ["measure"]

UNEQUAL = 1.8
"""Ratio of the volumes of parenchyma from which it is pointed out: of 97 patients of KiTS23 with
two whole kidneys (every fourth label map) three lie above; their median is 1.08."""


def measure(
    image: Volume,
    labels: Volume,
    prediction: Probabilities | None = None,
    *,
    body: Body | None = None,
    spread: LookSpread | None = None,
    fits: Fits | None = None,
) -> Measurements:
    """Measure kidneys and lesions.

    Sides come from the affine and the body's midline; volumes are counts of the scan's own voxels;
    diameters are exact on the voxels' outline; questions of shape are asked on a 1.5 mm copy.
    ``docs/explanation/measurements.md`` has every rule.

    Parameters
    ----------
    image : Volume
        The scan, HU, any orientation.
    labels : Volume
        KiTS23 labels (0 background, 1 kidney, 2 tumor, 3 cyst), uint8, on the same grid.
    prediction : Probabilities or None
        Anything with ``kidney`` and ``lesion`` probability volumes; for the confidences.
    body : Body, optional
        The body in the scan, from `renalis.preparation.body.find_body`; found when not given.
    spread : LookSpread, optional
        How much several looks of the networks differed; for how far they agree.
    fits : Fits, optional
        What confidences were measured with such looks, from `renalis.calibration`.

    Returns
    -------
    Measurements
        Frozen records; ``to_json()`` and ``csv_row()`` write them.

    Raises
    ------
    ValueError
        If image and labels do not lie on the same grid, or labels hold other values than the whole
        numbers 0 to 3.
    """
    if not labels.same_grid(image):
        raise ValueError("labels and image do not lie on the same grid")
    check_known(labels.array)
    image = labels.like(image.array, image.kind)  # one affine, one canonical orientation
    body = body or find_body(image)
    midline = body.midline
    scene = Scene(
        image,
        image.reoriented(CANONICAL),
        labels.reoriented(CANONICAL),
        midline,
        prediction,
        find_lungs(image, body),
        spread,
        fits,
    )
    grid = Grid(labels.shape, labels.spacing, labels.orientation, slice_axis(labels))
    box = bounding_box(scene.labels.array)
    if box is None:
        odd = unusual(scene.image, scene.labels, body, ())
        center = image.world((np.array(image.shape) - 1) / 2)
        return Measurements(
            grid,
            _midline_x(midline, center),
            midline.rule,
            (),
            (),
            Totals(0.0, 0.0, 0.0, 0.0),
            ("no kidney, tumor or cyst was found", *(one.sentence for one in odd)),
            unusual=tuple(one.rule for one in odd),
        )
    crop = scene.labels.cropped(box)
    part = crop.like(np.ascontiguousarray(crop.array, dtype=np.uint8), Kind.LABELS)
    groups, specks = find_groups(part, box, midline)
    kidneys, lesions, left = _all(scene, part, groups)
    phase = contrast_phase(scene.image, scene.labels)
    odd = unusual(scene.image, scene.labels, body, kidneys, phase)
    counts = np.bincount(part.array.ravel(), minlength=4) * part.voxel_ml
    totals = Totals(float(counts[1]), float(counts[2]), float(counts[3]), specks)
    center = part.world(np.argwhere(part.array > 0).mean(axis=0))
    return Measurements(
        grid,
        _midline_x(midline, center),
        midline.rule,
        tuple(kidneys),
        tuple(lesions),
        totals,
        (
            *_unlisted(lesions, left),
            *_notes(kidneys, lesions, specks),
            *(one.sentence for one in odd),
        ),
        case_confidence(kidneys, fits, spread),
        tuple(one.rule for one in odd),
        phase,
    )


def _midline_x(midline: Midline, center: NDArray[np.float64]) -> float:
    """Where the midline crosses the height of a point."""
    return float(center[0] - midline.offset_mm(center))


def _all(
    scene: Scene, part: Volume, groups: list[Group]
) -> tuple[list[Kidney], list[Lesion], Counter[LesionKind]]:
    """Kidneys and their lesions, with ids: the largest tumor of the scan is tumor-1.

    The last are those that are too many to be listed.
    """
    found, left = largest_lesions([(group, find_lesions(group)) for group in groups])
    names = lesion_ids(masks for _, masks in found)
    own_names = iter(kidney_ids(group for group in groups if group.is_kidney))
    kidneys: list[Kidney] = []
    lesions: list[Lesion] = []
    for index, (group, masks) in enumerate(found):
        own = names[index]
        name = next(own_names) if group.is_kidney else None
        if group.is_kidney:
            kidneys.append(measure_kidney(scene, part, group, f"{name}", own))
        if masks:
            lesions += measure_lesions(scene, group, masks, own, name)
    lesions.sort(key=lambda lesion: (lesion.kind == LesionKind.CYST, -lesion.volume_ml, lesion.id))
    return kidneys, lesions, left


def _unlisted(lesions: list[Lesion], left: Counter[LesionKind]) -> list[str]:
    """That there are more lesions than are listed."""
    if not left:
        return []
    named = Counter(lesion.kind for lesion in lesions) + left
    counts = " and ".join(f"{named[kind]} {kind}s" for kind in LesionKind if named[kind])
    return [
        f"{counts} were found, so many that something is wrong with the scan or the model, or the "
        f"kidneys are polycystic: the {len(lesions)} largest are measured and listed, volumes "
        "count all"
    ]


def _notes(kidneys: list[Kidney], lesions: list[Lesion], specks: float) -> tuple[str, ...]:
    """What a reader of the whole should know."""
    notes = [f"kidney {kidney.id}: {note}" for kidney in kidneys for note in kidney.notes]
    present = {kidney.side for kidney in kidneys}
    if Side.OTHER not in present:
        notes += [
            f"no {side} kidney was found" for side in (Side.LEFT, Side.RIGHT) if side not in present
        ]
    notes += [f"{lesion.id} belongs to no kidney" for lesion in lesions if lesion.kidney is None]
    notes += _unequal(kidneys)
    if specks >= 0.005:
        notes.append(f"{specks:.2f} ml of kidney label lie in specks that belong to no kidney")
    return tuple(notes)


def _unequal(kidneys: list[Kidney]) -> list[str]:
    """Whether one kidney has far more parenchyma than the other; nothing when either is cut."""
    pair = [kidney for kidney in kidneys if kidney.side is not Side.OTHER]
    if {kidney.side for kidney in pair} != {Side.LEFT, Side.RIGHT} or len(pair) != 2:
        return []
    small, large = sorted(pair, key=lambda kidney: kidney.parenchyma_ml)
    cut = bool(small.location.borders or large.location.borders)
    if cut or large.parenchyma_ml < UNEQUAL * small.parenchyma_ml:
        return []
    return [
        f"the {large.side} kidney has {large.parenchyma_ml:.0f} ml of parenchyma, the "
        f"{small.side} one {small.parenchyma_ml:.0f} ml: either the smaller is diseased or not "
        "found whole, or part of the larger is a lesion that looks like kidney"
    ]
