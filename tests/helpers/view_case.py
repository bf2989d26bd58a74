"""A result folder as ``renalis segment`` leaves it, made without a network."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from helpers.report_case import made_up
from renalis.io import read_scan, write_labels, write_volume
from renalis.measurement import measure
from renalis.volume import CANONICAL, Kind, Volume


def result(folder: Path, name: str = "patient", order: str = CANONICAL) -> tuple[Volume, Volume]:
    """Write ``folder/scans/NAME.nii.gz`` and ``folder/out/NAME``; returns image and labels."""
    image, labels = made_up(order)
    own = np.int16(sum(map(ord, name)) % 50)  # no two scans have equal voxels
    return keep(folder, name, Volume(image.array + own, image.affine), labels)


def keep(folder: Path, name: str, image: Volume, labels: Volume) -> tuple[Volume, Volume]:
    """Files of an image and its labels; returns both as they are read again."""
    scan_file, case = folder / "scans" / f"{name}.nii.gz", folder / "out" / name
    write_volume(scan_file, image)
    scan = read_scan(scan_file)
    labels = scan.volume.like(labels.array, Kind.LABELS)
    case.mkdir(parents=True)
    write_labels(case / "segmentation.nii.gz", labels, scan)
    (case / "measurements.json").write_text(_measured(scan.volume, labels))
    made = {
        "case": name,
        "files": ["segmentation.nii.gz", "measurements.json", "provenance.json"],
        "source": {"input": scan_file.name, "kind": "nifti"},
        "scan": Path(os.path.relpath(scan_file, case)).as_posix(),
        "notes": [],
    }
    (case / "provenance.json").write_text(json.dumps(made))
    return scan.volume, labels


_MEASURED: dict[bytes, str] = {}
"""By what was measured: the same patient is written for test after test."""


def _measured(image: Volume, labels: Volume) -> str:
    parts = (image.array, labels.array, labels.affine)
    key = hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()
    if key not in _MEASURED:
        _MEASURED[key] = measure(image, labels).to_json()
    return _MEASURED[key]
