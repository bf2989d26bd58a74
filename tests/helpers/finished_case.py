"""A small study on disk with kidneys, tumors and a cyst, segmented and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from helpers.dicom_writer import write_series
from renalis.conventions import Label
from renalis.io import Scan, read_scan
from renalis.measurement import measure
from renalis.pipeline.outputs import FinishedCase
from renalis.report import gather
from renalis.volume import Kind, Volume

SLANTED = (1.0, 0.0, 0.0, 0.0, 0.8, 0.6)
GEOMETRIES: dict[str, dict[str, Any]] = {
    "axial": {},
    "reversed": {"step": (0.0, 0.0, -5.0), "origin": (-128.0, -96.0, 140.0)},
    "oblique": {"ImageOrientationPatient": list(SLANTED), "step": (0.0, -3.0, 4.0)},
    "tilted gantry": {"ImageOrientationPatient": list(SLANTED), "step": (0.0, 0.0, 5.0)},
    "thin": {"step": (0.0, 0.0, 2.5), "SliceThickness": "2.5"},
}
SHAPE = (64, 48, 24)
"""Columns, rows, slices."""
_HU = {Label.BACKGROUND: -100, Label.KIDNEY: 120, Label.TUMOR: 60, Label.CYST: 5}


def labels_of(lesions: bool = True) -> np.ndarray:
    """KiTS23 labels, axes (column, row, slice): no two structures alike, one with a hole."""
    grid = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint8)

    def paint(center: Any, radius: Any, label: Label) -> None:
        apart = [((grid[a] - center[a]) / radius[a]) ** 2 for a in range(3)]
        labels[sum(apart) < 1] = label

    paint((17, 26, 12), (7, 6, 9), Label.KIDNEY)
    paint((46, 25, 11), (6, 7, 10), Label.KIDNEY)
    labels[45:48, 24:27, 10:13] = Label.BACKGROUND
    if lesions:
        paint((13, 23, 8), (4, 4, 3), Label.TUMOR)
        paint((50, 29, 15), (3, 3, 2.5), Label.CYST)
    return labels


def hu_of(labels: np.ndarray) -> np.ndarray:
    """HU of a body with these structures, axes (column, row, slice)."""
    hu = np.choose(labels, [_HU[label] for label in Label]).astype(np.int16)
    x, y, _ = np.indices(SHAPE)
    hu[((x - 31.5) / 30) ** 2 + ((y - 23.5) / 22) ** 2 > 1] = -1000
    return hu


def study_in(folder: Path, labels: np.ndarray | None = None, **how: Any) -> Scan:
    """Write the study's CT series, and read it."""
    labels = labels_of() if labels is None else labels
    hu = hu_of(labels)
    settings: dict[str, Any] = {
        "PixelSpacing": ["4", "4"], "step": (0.0, 0.0, 5.0), "SliceThickness": "5",
        "origin": (-128.0, -96.0, 20.0),
    }  # fmt: skip
    write_series(folder, hu.transpose(2, 1, 0), **(settings | how))
    return read_scan(folder)


def finished(scan: Scan, labels: np.ndarray | None = None) -> FinishedCase:
    """The case of a scan with these labels on its grid."""
    array = labels_of() if labels is None else labels
    marked = Volume(array, scan.volume.affine, Kind.LABELS)
    measured = measure(scan.volume, marked)
    return FinishedCase(
        scan=scan,
        labels=marked,
        body=None,
        measured=measured,
        model="renalis-kidney 12",
        make_content=lambda: gather(scan, marked, measured, version="0.1.0"),
    )
