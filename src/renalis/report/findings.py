"""Which voxels the rows of the tables are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, bounding_box, in_whole
from renalis.conventions import Label
from renalis.measurement import Kidney, Lesion, Measurements
from renalis.measurement.structures import in_kidneys
from renalis.report.scene import Found, Scene
from renalis.report.style import STYLES

__all__ = ["Findings", "find", "short_name"]

LABEL_OF_KIND = {"tumor": Label.TUMOR, "cyst": Label.CYST}


@dataclass(frozen=True)
class Findings:
    """The voxels of each measured kidney and lesion, by id; what has none is left out."""

    kidneys: dict[str, Found]
    lesions: dict[str, Found]


def short_name(lesion: Lesion) -> str:
    """Name of a lesion in pictures and tables: ``tumor-1`` is ``T1``, ``cyst-2`` is ``C2``."""
    letter = STYLES[LABEL_OF_KIND[str(lesion.kind)]].letter
    return letter + lesion.id.rsplit("-", maxsplit=1)[-1]


def find(scene: Scene, measurements: Measurements) -> Findings:
    """Find the voxels of every measured kidney and lesion again.

    Lesions are the connected parts of their class; each part belongs to the measured lesion whose
    volume and center it has. A part of the parenchyma belongs to the kidney whose center is
    nearest; specks that were measured as no kidney's belong to none here either.
    """
    box = scene.tight
    if box is None:
        return Findings({}, {})
    labels = scene.labels.array[box]
    lesions: dict[str, Found] = {}
    for kind, label in LABEL_OF_KIND.items():
        wanted = [lesion for lesion in measurements.lesions if str(lesion.kind) == kind]
        if wanted:
            lesions |= _matched(scene, box, labels == label, wanted)
    return Findings(_kidneys(scene, box, labels, measurements.kidneys), lesions)


def _matched(
    scene: Scene, box: Box, mask: NDArray[np.bool_], wanted: Sequence[Lesion]
) -> dict[str, Found]:
    """Pair lesions with connected parts, the most similar first."""
    parts, statistics = _parts(mask)
    costs = []
    for part in range(1, len(statistics["voxel_counts"])):
        center = _center(scene, box, statistics["centroids"][part])
        ml = float(statistics["voxel_counts"][part]) * scene.labels.voxel_ml
        for lesion in wanted:
            apart = float(np.linalg.norm(center - np.asarray(lesion.location.centroid_mm)))
            costs.append((apart + abs(ml - lesion.volume_ml), part, lesion))
    costs.sort(key=lambda cost: cost[:2])
    found: dict[str, Found] = {}
    taken: set[int] = set()
    for _, part, lesion in costs:
        if part not in taken and lesion.id not in found:
            taken.add(part)
            place = statistics["bounding_boxes"][part]
            found[lesion.id] = _found(
                short_name(lesion), parts[place] == part, in_whole(place, box)
            )
    return found


def _kidneys(
    scene: Scene, box: Box, labels: NDArray[np.uint8], kidneys: Sequence[Kidney]
) -> dict[str, Found]:
    """Parenchyma of each kidney."""
    if not kidneys:
        return {}
    parts, statistics = _parts(in_kidneys(scene.labels.cropped(box)) & (labels == Label.KIDNEY))
    centers = np.array([kidney.location.centroid_mm for kidney in kidneys])
    owner = np.zeros(len(statistics["voxel_counts"]), np.uint8)
    for part in range(1, len(owner)):
        center = _center(scene, box, statistics["centroids"][part])
        owner[part] = 1 + int(np.argmin(np.linalg.norm(centers - center, axis=1)))
    owned = owner[parts]
    masks = {kidney.id: owned == number for number, kidney in enumerate(kidneys, start=1)}
    return {name: _found(name, mask, box) for name, mask in masks.items() if mask.any()}


def _parts(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], Any]:
    """Connected parts (corners count as touching) with their voxel counts and centers."""
    parts = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26)
    return parts, cc3d.statistics(parts)


def _center(scene: Scene, box: Box, index: NDArray[np.float64]) -> NDArray[np.float64]:
    """Patient coordinates of an index inside a box."""
    return scene.labels.world(np.asarray(index) + [side.start for side in box])


def _found(name: str, mask: NDArray[np.bool_], box: Box) -> Found:
    """A mask cut to its own extent."""
    tight = bounding_box(mask)
    assert tight is not None  # callers pass masks with voxels
    return Found(name, np.ascontiguousarray(mask[tight]), in_whole(tight, box))
