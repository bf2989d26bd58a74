"""The preview: one PNG from which a radiologist sees whether the outlines can be right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from PIL import Image

from renalis.boxes import whole
from renalis.io import whole_file
from renalis.measurement import Measurements
from renalis.report.content import ReportContent
from renalis.report.findings import Findings, short_name
from renalis.report.picture import Picture
from renalis.report.picture_choice import (
    evenly,
    kidney_pictures,
    lesion_pictures,
    overviews,
    pair_pictures,
)
from renalis.report.planes import Plane
from renalis.report.raster import paint
from renalis.report.scene import Scene, view
from renalis.report.scene3d import still
from renalis.report.sheet import COLUMNS, LARGE, SMALL, SMALL_COLUMNS, Block, captioned, sheet
from renalis.report.tables import kidney_name, right_first

__all__ = ["montage", "write_preview"]

MOST_LESIONS = 6


def write_preview(path: str | os.PathLike[str], content: ReportContent) -> Path:
    """Write the montage as a PNG.

    Parameters
    ----------
    path : path-like
        The file; it appears whole or not at all.
    content : ReportContent
        The same as for the page; scan, label map, measurements and the case's name are shown.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If the label map lies on another grid than the scan.
    """
    picture = montage(content)
    with whole_file(path) as file:
        picture.save(file, "PNG", compress_level=1)
    return Path(path)


def montage(content: ReportContent) -> Image.Image:
    """The montage as an RGB image: overview, kidneys, lesions, 3D, and slices from head to feet."""
    measurements, subject = content.measurements, content.subject
    scene, findings = subject.scene, subject.findings
    pictures = [
        *overviews(scene, LARGE),
        *pair_pictures(scene, findings, LARGE),
        *_kidneys(scene, findings, measurements, Plane.SAGITTAL),
        *_lesions(scene, findings, measurements, MOST_LESIONS, Plane.AXIAL),
    ]
    empty = -(len(pictures) + bool(subject.meshes)) % COLUMNS
    pictures += islice(_extra(scene, findings, measurements), empty)
    large = [_tile(shown) for shown in pictures]
    if subject.meshes:
        solid = still(subject.solid, (LARGE.width, LARGE.height))
        large.append(captioned(solid, "3D, from the front", "smoothed for display", LARGE))
    small = [
        captioned(paint(shown, 1.0), shown.title, shown.place, SMALL) for shown in _slices(scene)
    ]
    blocks = (Block(large, COLUMNS, LARGE), Block(small, SMALL_COLUMNS, SMALL))
    return sheet(blocks, measurements, content.case_id)


def _tile(shown: Picture) -> Image.Image:
    """A large picture with its caption."""
    return captioned(paint(shown), shown.title, shown.place, LARGE)


def _kidneys(
    scene: Scene, findings: Findings, measurements: Measurements, plane: Plane
) -> Iterator[Picture]:
    """Each kidney where it is largest in a plane."""
    for kidney in right_first(measurements.kidneys):
        yield from kidney_pictures(
            scene, findings, kidney.id, title=kidney_name(kidney), planes=(plane,), tile=LARGE
        )


def _lesions(
    scene: Scene, findings: Findings, measurements: Measurements, most: int, *planes: Plane
) -> Iterator[Picture]:
    """The largest lesions where they are largest in each plane."""
    by_size = sorted(measurements.lesions, key=lambda lesion: -lesion.volume_ml)
    for lesion in by_size[:most]:
        title = f"{short_name(lesion)}, {lesion.kind}, {lesion.diameter_mm:.0f} mm"
        yield from lesion_pictures(
            scene, findings, lesion.id, title=title, planes=planes, tile=LARGE
        )


def _extra(scene: Scene, findings: Findings, measurements: Measurements) -> Iterator[Picture]:
    """What fills the last row: the largest lesion and the kidneys in further planes."""
    yield from _lesions(scene, findings, measurements, 1, Plane.CORONAL, Plane.SAGITTAL)
    yield from _kidneys(scene, findings, measurements, Plane.AXIAL)
    yield from _kidneys(scene, findings, measurements, Plane.CORONAL)


def _slices(scene: Scene) -> Iterator[Picture]:
    """Axial slices from head to feet: through everything labeled, else through the whole scan."""
    box = scene.box or whole(scene.image.shape)
    extent = scene.tight or box
    shown = SMALL.filled(box, scene, Plane.AXIAL)
    for index in evenly(extent[0], 2 * SMALL_COLUMNS)[::-1]:
        yield view(scene, Plane.AXIAL, index, box=shown, size=SMALL.size, title="")
