"""What so many scans cost beside their segmentation: to list them, and to keep table and manifest.

    python benchmarks/cohort_listing.py [-n 10000]

The scans are links to one file of 512 × 512 × 40 voxels, the results are made up
(`tests/helpers/cohort_folders.py`). CPU seconds of this process, which are those of ``renalis
segment`` for that part.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import nibabel as nib
import numpy as np
from machine import machine
from results import commit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from helpers.cohort_folders import made_up_cohort  # noqa: E402

from renalis.cohort.listing import list_cohort  # noqa: E402
from renalis.cohort.manifest import Manifest  # noqa: E402
from renalis.pipeline.table import write_table  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--scans", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans, out = folder / "scans", folder / "out"
        scans.mkdir()
        links(scans, arguments.scans)
        table = folder / "scans.csv"
        table.write_text("\n".join(["scan", *(f"scans/{p.name}" for p in sorted(scans.iterdir()))]))
        found = {
            "a folder": seconds(lambda: listed(scans)),
            "a CSV": seconds(lambda: listed(table)),
        }
        made_up_cohort(out, arguments.scans)
        found["measurements.csv"] = seconds(lambda: write_table(out))
        found["manifest.jsonl, read and compacted"] = seconds(lambda: compacted(out))
    about = {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "scans": arguments.scans,
        "cpu_s": found,
        "machine": machine(),
    }
    text = json.dumps(about, indent=1)
    (HERE / "results" / "cohort-listing.json").write_text(text + "\n")
    print(text)


def links(folder: Path, count: int) -> None:
    """So many names of one scan of 512 × 512 × 40 voxels."""
    noise = np.random.default_rng(0).normal(-100, 5, (512, 512, 40)).astype(np.int16)
    first = folder / "case_00000.nii.gz"
    nib.save(nib.Nifti1Image(noise, np.diag([0.8, 0.8, 3.0, 1.0])), first)
    for number in range(1, count):
        os.link(first, folder / f"case_{number:05d}.nii.gz")


def listed(place: Path) -> None:
    """List a cohort to its last case."""
    for _ in list_cohort([place]).cases:
        pass


def compacted(out: Path) -> None:
    """Open a manifest as a run does, and end it."""
    with Manifest(out) as manifest:
        manifest.compact()


def seconds(act: Callable[[], object]) -> float:
    """CPU seconds that something takes."""
    began = time.process_time()
    act()
    return round(time.process_time() - began, 1)


if __name__ == "__main__":
    main()
