"""Measuring the lesions of one kidney."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import grown
from renalis.measurement.anatomy import Anatomy, find_anatomy
from renalis.measurement.case_confidence import lesion_features
from renalis.measurement.distances import border_points
from renalis.measurement.frame import STEP_MM, frame_for, sampled
from renalis.measurement.nephrometry import LesionPosition, nephrometry, position_of, shape_of
from renalis.measurement.results import Confidence, Lesion, LesionKind
from renalis.measurement.scene import Scene, borders
from renalis.measurement.structure_values import confidence_of, intensity_of
from renalis.measurement.structures import Group, LesionMask
from renalis.postprocessing.diameters import axial_diameter, diameter_mm
from renalis.volume import Kind, Volume

__all__ = ["measure_lesions"]

CUT = "not given: the scan's border cuts the kidney"
NO_KIDNEY = "not given: the lesion belongs to no kidney"
ZONE_MM = 8.0
"""Around a structure, the part of the frame in which its probability is looked at."""


def measure_lesions(
    scene: Scene, group: Group, masks: list[LesionMask], names: list[str], kidney: str | None
) -> list[Lesion]:
    """Measure all lesions of one group."""
    frame = frame_for(group.labels)
    anatomy: Anatomy | str = NO_KIDNEY
    if group.is_kidney:
        cut = bool(borders(group.box, scene.labels.shape))
        anatomy = CUT if cut else find_anatomy(group, frame)
    numbered = np.zeros(group.labels.shape, dtype=np.uint16)
    for number, entry in enumerate(masks, start=1):
        numbered[entry.box][entry.mask] = number
    on_frame = sampled(Volume(numbered, group.labels.affine, Kind.LABELS), frame)
    lesions = []
    for number, (entry, name) in enumerate(zip(masks, names, strict=True), start=1):
        where = np.argwhere(on_frame == number)
        if not len(where):
            center = np.argwhere(entry.mask).mean(axis=0) + [part.start for part in entry.box]
            inside = np.round(frame.index(group.labels.world(center))).astype(np.intp)
            where = inside[None]
        position: LesionPosition | str
        if isinstance(anatomy, str):
            position = anatomy
        else:
            surface, _ = border_points(entry.mask, group.labels.cropped(entry.box))
            position = position_of(where, surface, anatomy)
        known = None if isinstance(anatomy, str) else anatomy
        confidence = _lesion_confidence(scene, frame, on_frame, where, entry)
        lesions.append(
            _lesion(
                scene,
                group,
                entry,
                (name, kidney),
                position=(position, known),
                confidence=confidence,
            )
        )
    return lesions


def _lesion_confidence(
    scene: Scene,
    frame: Volume,
    on_frame: NDArray[Any],
    where: NDArray[np.intp],
    entry: LesionMask,
) -> Confidence | None:
    """Confidence of one lesion, against its neighbors, in a part of the frame."""
    if scene.prediction is None or scene.prediction.lesion is None:
        return None
    i, j, k = (
        slice(int(low), int(high) + 1)
        for low, high in zip(where.min(axis=0), where.max(axis=0), strict=True)
    )
    box = grown((i, j, k), frame.shape, int(np.ceil(ZONE_MM / STEP_MM)))
    own = np.zeros(frame.shape, dtype=bool)[box]
    own[tuple((where - [part.start for part in box]).T)] = True
    others = (on_frame[box] > 0) & ~own
    volume_ml = entry.voxels * scene.labels.voxel_ml
    known = scene.spread
    spread = None if known is None or known.lesion is None else (known.lesion, known.looks)
    part = frame.cropped(box)
    found = confidence_of(scene.prediction.lesion, part, own, others, volume_ml, spread)
    if found is None or scene.fits is None:
        return found
    features = lesion_features(found, volume_ml, entry.kind)
    return replace(
        found,
        lesion_confidence=scene.fits.lesion.value(features),
        kind_confidence=scene.fits.kind.value(features),
    )


def _lesion(
    scene: Scene,
    group: Group,
    entry: LesionMask,
    ids: tuple[str, str | None],
    *,
    position: tuple[LesionPosition | str, Anatomy | None],
    confidence: Confidence | None,
) -> Lesion:
    """Put one lesion's numbers together."""
    steps = scene.labels.affine[:3, :3].T
    z, y, x = (
        slice(outer.start + inner.start, outer.start + inner.stop)
        for outer, inner in zip(group.box, entry.box, strict=True)
    )
    axial = axial_diameter(entry.mask, steps)
    longest = diameter_mm(entry.mask, steps)
    return Lesion(
        id=ids[0],
        kind=entry.kind,
        kidney=ids[1],
        side=group.side,
        volume_ml=entry.voxels * scene.labels.voxel_ml,
        axial_mm=axial.long_mm,
        axial_short_mm=axial.short_mm,
        axial_slice=scene.slice_index(z.start + axial.level),
        diameter_mm=longest,
        location=scene.location(entry.mask, (z, y, x)),
        intensity=intensity_of(scene.image.array[z, y, x][entry.mask]),
        enhancement_hu=None,
        shape=shape_of(*position),
        nephrometry=nephrometry(longest, *position) if entry.kind is LesionKind.TUMOR else None,
        confidence=confidence,
    )
