"""Which slices are worth a picture, and how much of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, grown_mm, whole
from renalis.report.findings import Findings
from renalis.report.picture import Picture
from renalis.report.planes import Plane
from renalis.report.scene import Found, Scene, view
from renalis.volume import Volume

__all__ = [
    "Tile",
    "evenly",
    "kidney_pictures",
    "largest",
    "lesion_pictures",
    "overviews",
    "pair_pictures",
    "shaped",
    "spread",
]

AROUND_KIDNEY_MM = 18.0
AROUND_LESION_MM = 30.0


@dataclass(frozen=True)
class Tile:
    """Largest size of a picture in pixels."""

    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, as arrays count."""
        return self.height, self.width

    def filled(self, box: Box, scene: Scene, plane: Plane) -> Box:
        """A box grown to the tile's shape, so that no part of the tile stays empty."""
        return shaped(box, scene.image, plane, self.width / self.height)


def overviews(scene: Scene, tile: Tile) -> list[Picture]:
    """The whole scan from the front, with the part that other pictures show framed.

    When nothing is labeled, the middle of the scan in all three planes, so that a reader can check
    that there is nothing.
    """
    shape = scene.image.shape
    if scene.box is None or scene.tight is None:
        return [
            view(
                scene,
                plane,
                shape[plane.axis] // 2,
                box=whole(shape),
                size=tile.size,
                title=f"{plane.capitalize()}, middle of the scan",
            )
            for plane in (Plane.CORONAL, Plane.AXIAL, Plane.SAGITTAL)
        ]
    index = scene.tight[1].start + largest(scene.labels.array[scene.tight] > 0, 1)
    title = "Overview, coronal"
    shown = view(scene, Plane.CORONAL, index, box=whole(shape), size=tile.size, title=title)
    rows, columns = scene.box[0], scene.box[2]
    high, wide = shown.height / shape[0], shown.width / shape[2]
    frame = (
        columns.start * wide,
        (shape[0] - rows.stop) * high,
        columns.stop * wide,
        (shape[0] - rows.start) * high,
    )
    return [replace(shown, frame=frame)]


def pair_pictures(scene: Scene, findings: Findings, tile: Tile) -> list[Picture]:
    """Everything labeled where it is largest: one axial and one coronal picture."""
    if scene.box is None or scene.tight is None:
        return []
    labeled = scene.labels.array[scene.tight] > 0
    pictures = []
    for plane in (Plane.AXIAL, Plane.CORONAL):
        index = scene.tight[plane.axis].start + largest(labeled, plane.axis)
        box = tile.filled(scene.box, scene, plane)
        title = f"{plane.capitalize()}, largest section"
        found = findings.lesions.values()
        pictures.append(
            view(scene, plane, index, box=box, size=tile.size, title=title, found=found)
        )
    return pictures


def kidney_pictures(
    scene: Scene,
    findings: Findings,
    kidney: str,
    *,
    title: str,
    planes: Sequence[Plane],
    tile: Tile,
) -> list[Picture]:
    """One kidney where it is largest in each plane."""
    found = findings.kidneys.get(kidney)
    if found is None:
        return []
    return _close(
        scene, findings, found, title=title, planes=planes, tile=tile, around_mm=AROUND_KIDNEY_MM
    )


def lesion_pictures(
    scene: Scene,
    findings: Findings,
    lesion: str,
    *,
    title: str,
    planes: Sequence[Plane],
    tile: Tile,
) -> list[Picture]:
    """One lesion where it is largest in each plane."""
    found = findings.lesions.get(lesion)
    if found is None:
        return []
    return _close(
        scene, findings, found, title=title, planes=planes, tile=tile, around_mm=AROUND_LESION_MM
    )


def evenly(side: slice, count: int) -> list[int]:
    """At most ``count`` indices, the middles of equal parts of a range."""
    middles = side.start + (np.arange(count) + 0.5) * (side.stop - side.start) / count
    return sorted({int(index) for index in middles})


def spread(side: slice, *, step_mm: float, most: int, spacing: float) -> list[int]:
    """Indices of a range at equal distances.

    Parameters
    ----------
    side : slice
    step_mm : float
        Smallest distance between two slices.
    most : int
        Largest number of slices.
    spacing : float
        Distance in mm between neighboring slices.
    """
    start, stop = side.start, side.stop
    step = max(1, round(step_mm / spacing), int(np.ceil((stop - start) / most)))
    first = start + ((stop - start - 1) % step) // 2
    return list(range(first, stop, step))


def _close(
    scene: Scene,
    findings: Findings,
    found: Found,
    *,
    title: str,
    planes: Sequence[Plane],
    tile: Tile,
    around_mm: float,
) -> list[Picture]:
    """A structure and its surroundings where it is largest in each plane."""
    pictures = []
    for plane in planes:
        index = found.box[plane.axis].start + largest(found.mask, plane.axis)
        box = tile.filled(
            grown_mm(found.box, scene.image.shape, scene.image.spacing, around_mm), scene, plane
        )
        name = f"{title}, {plane}"
        lesions = findings.lesions.values()
        pictures.append(
            view(scene, plane, index, box=box, size=tile.size, title=name, found=lesions)
        )
    return pictures


def shaped(box: Box, volume: Volume, plane: Plane, aspect: float) -> Box:
    """A box grown within the volume until its picture is ``aspect`` times as wide as high."""
    sides = list(box)
    rows, columns = plane.in_plane
    spacing = volume.spacing
    height = (sides[rows].stop - sides[rows].start) * spacing[rows]
    width = (sides[columns].stop - sides[columns].start) * spacing[columns]
    axis, missing = (columns, height * aspect - width)
    if missing < 0:
        axis, missing = rows, width / aspect - height
    more = int(missing / spacing[axis] / 2)
    start, stop, length = sides[axis].start - more, sides[axis].stop + more, volume.shape[axis]
    # What one side of the scan cannot give, the other side does.
    start, stop = max(0, start - max(0, stop - length)), min(length, stop + max(0, -start))
    sides[axis] = slice(start, stop)
    return sides[0], sides[1], sides[2]


def largest(mask: NDArray[np.bool_], axis: int) -> int:
    """Index along an axis at which a region is largest; the middle one of equals."""
    areas = mask.sum(axis=tuple(a for a in range(3) if a != axis))
    best = np.flatnonzero(areas == areas.max())
    return int(best[len(best) // 2])
