"""Whether the contrast phase that kidneys tell is the one that a scan was made with.

    python benchmarks/contrast_phase.py [--scans DIR ...] [--slices FILE.npz ...]
        [--scan SCAN LABELS] ... [--output FILE.json]

``--scans`` are folders of ``renalis synthesize``, whose ``cases.csv`` names the phase by
construction: a third of the enhanced ones lie between two phases, some are weakly enhanced.
``--slices`` are single real slices with their masks, ``--scan`` is a real scan with a label map: of
these no header says the phase, so it is only counted what is told.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from renalis.io import read_scan
from renalis.io.read_labels import read_label_map
from renalis.measurement.contrast_phase import contrast_phase
from renalis.volume import CANONICAL, Kind, Volume

CANNOT = "cannot be told"
LEAST_MM2 = 1000
"""Parenchyma in a slice; less is the end of a kidney."""


def of_scans(folder: Path) -> Iterator[tuple[str, str]]:
    """Phase by construction, and what the kidneys tell, of each scan."""
    with (folder / "cases.csv").open(newline="") as file:
        phases = {row["case"]: row["phase"] for row in csv.DictReader(file)}
    for case, phase in phases.items():
        name = f"{case}.nii.gz"
        yield phase, of_scan(folder / "images" / name, folder / "labels" / name)


def of_slices(path: Path) -> Iterator[str]:
    """What each slice that shows enough of a kidney tells. Grey values are HU, about."""
    stored = np.load(path)
    rows = zip(stored["image"], stored["labels"], stored["spacing_mm"], strict=True)
    for grey, labels, spacing in rows:
        if np.count_nonzero(labels == 1) * spacing[1] * spacing[2] < LEAST_MM2:
            continue
        hu = np.rint(grey * (383 / 255) - 79).astype(np.int16)
        z, y, x = (float(mm) for mm in spacing)
        affine = np.array([[0, 0, -x, 0], [0, -y, 0, 0], [z, 0, 0, 0], [0, 0, 0, 1]])
        image = Volume(hu[None], affine)
        told = contrast_phase(image, image.like(labels[None], Kind.LABELS))
        yield (told and told.name) or CANNOT


def of_scan(scan: Path, labels: Path) -> str:
    """What one scan with its label map tells."""
    image = read_scan(scan).volume.reoriented(CANONICAL)
    told = contrast_phase(image, read_label_map(labels).reoriented(CANONICAL))
    return (told and told.name) or CANNOT


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--slices", type=Path, nargs="+", default=[], metavar="FILE.npz")
    parser.add_argument("--scan", type=Path, nargs=2, action="append", default=[])
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    arguments = parser.parse_args()
    table: dict[str, Counter[str]] = {}
    for folder in arguments.scans:
        for made, told in of_scans(folder):
            table.setdefault(made, Counter())[told] += 1
    result = {
        "date": date.today().isoformat(),
        "scans": {made: dict(row) for made, row in sorted(table.items())},
        "slices": {path.stem: dict(Counter(of_slices(path))) for path in arguments.slices},
        "real": {scan.parent.name: of_scan(scan, labels) for scan, labels in arguments.scan},
    }
    print(json.dumps(result, indent=1))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
