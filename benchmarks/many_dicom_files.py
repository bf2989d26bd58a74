"""Ten thousand DICOM files with a real series' headers, mixed: what listing and reading cost.

    python benchmarks/many_dicom_files.py SERIES [-n 10000] [--name NAME]

SERIES is a zip or a folder of one DICOM series. Its images are shrunk to 64 × 64 pixels, its
headers kept but for UIDs, patient, series number and description. Two trees are made, each with the
files of all series shuffled over 100 folders: one of studies with three series each, one of a
single study. Listing and reading run in processes of their own, for a tenth and for all of the
files: CPU seconds and peak memory, and whether each series that is chosen comes back with all of
its slices, and every other one is listed.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from machine import machine
from pydicom.uid import ExplicitVRLittleEndian
from results import commit

from renalis.cohort.listing import list_cohort
from renalis.io import read_scan
from renalis.prediction.runtimes.machine import peak_mb

HERE = Path(__file__).resolve().parent
SIDE = 64
A_STUDY = 3
"""Series of a study in the tree of studies."""
FOLDERS = 100


def main() -> int:
    """Make trees, list and read them, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("series", type=Path, nargs="?")
    parser.add_argument("-n", "--files", type=int, default=10_000)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "many-dicom")
    parser.add_argument("--name", default="many-dicom-files", help="of the file of results")
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.look is not None:
        print(json.dumps(looked_at(arguments.look)))
        return 0
    if arguments.series is None:
        parser.error("SERIES is missing: a zip or a folder of one DICOM series")
    slices = [shrunk(data) for data in stored(arguments.series)]
    rows = []
    for one_study in (False, True):
        for part in (10, 1):
            shutil.rmtree(arguments.work, ignore_errors=True)
            series = max(1, arguments.files // part // len(slices))
            written(arguments.work, slices, series, one_study)
            words = [sys.executable, __file__, "--look", str(arguments.work)]
            found = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
            cases = 1 if one_study else -(-series // A_STUDY)
            found["nothing lost"] = (
                found["cases"] == cases
                and found["slices"] == [len(slices)] * cases
                and found.pop("series told") == series
            )
            found["slices"] = sum(found["slices"])
            rows.append({"files": series * len(slices), "one study": one_study, **found})
            print(rows[-1], file=sys.stderr)
    shutil.rmtree(arguments.work, ignore_errors=True)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "rows": rows,
        "machine": machine(),
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    (HERE / "results" / f"{arguments.name}.json").write_text(text)
    return 0 if all(row["nothing lost"] for row in rows) else 1


def stored(series: Path) -> Iterator[pydicom.Dataset]:
    """The images of a zip or folder."""
    if series.is_dir():
        for path in sorted(path for path in series.rglob("*") if path.is_file()):
            yield pydicom.dcmread(path)
        return
    with zipfile.ZipFile(series) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("/"):
                yield pydicom.dcmread(io.BytesIO(archive.read(name)))


def shrunk(data: pydicom.Dataset) -> pydicom.Dataset:
    """An image of fewer, larger pixels, uncompressed."""
    pixels = data.pixel_array
    step = max(1, pixels.shape[0] // SIDE)
    small = np.ascontiguousarray(pixels[::step, ::step][:SIDE, :SIDE])
    data.Rows, data.Columns = small.shape
    data.PixelSpacing = [float(mm) * step for mm in data.PixelSpacing]
    data.PixelData = small.tobytes()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def written(root: Path, slices: list[pydicom.Dataset], series: int, one_study: bool) -> None:
    """A tree of so many copies of a series, shuffled over folders."""
    chance = random.Random(0)
    for folder in range(FOLDERS):
        (root / f"{folder:02d}").mkdir(parents=True)
    for number in range(series):
        study = 0 if one_study else number // A_STUDY
        for place, data in enumerate(slices):
            data.PatientID = data.PatientName = f"P{study}"
            data.StudyInstanceUID = f"1.2.3.{study + 1}"
            data.SeriesInstanceUID = f"1.2.3.{study + 1}.{number + 1}"
            data.SeriesNumber, data.SeriesDescription = number + 1, f"copy {number}"
            data.SOPInstanceUID = f"{data.SeriesInstanceUID}.{place + 1}"
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            name = f"{chance.randrange(16**8):08x}.{number}.{place}.dcm"
            data.save_as(root / f"{chance.randrange(FOLDERS):02d}" / name)


def looked_at(root: Path) -> dict[str, Any]:
    """List a tree as a cohort, then read the series chosen in each study; costs of both."""
    began = time.process_time()
    listing = list_cohort([root])
    sources = [case.source for case in listing.cases]
    listed = time.process_time()
    peak = peak_mb() or 0.0
    slices, told = [], 0
    for source in sources:
        scan = read_scan(source)
        slices.append(scan.volume.shape[2])
        told += 1 + len(scan.source.others)
    return {
        "cases": len(sources),
        "slices": slices,
        "series told": told,
        "list_cpu_s": round(listed - began, 1),
        "list_peak_mb": round(peak),
        "read_cpu_s": round(time.process_time() - listed, 1),
        "read_peak_mb": round(peak_mb() or 0.0),
    }


if __name__ == "__main__":
    sys.exit(main())
