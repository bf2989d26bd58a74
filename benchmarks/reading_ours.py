"""Read and write .nii.gz and DICOM by renalis, each call measured; for ``reading.py``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nibabel as nib
import numpy as np
from meter import repeated

import renalis
from renalis.io import write_labels, write_volume
from renalis.volume import Kind


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("read", "write-ct", "write-labels"))
    parser.add_argument("files", type=Path, nargs=3, metavar="FILE", help="scan, labels, output")
    arguments = parser.parse_args()
    what, (scan_file, labels_file, output) = arguments.what, arguments.files
    scan = renalis.read_scan(scan_file)
    if what == "read":
        work = repeated(lambda: renalis.read_scan(scan_file), 3)
    elif what == "write-ct":
        work = repeated(lambda: write_volume(output, scan.volume), 3)
    else:
        truth = np.asarray(nib.load(labels_file).dataobj).astype(np.uint8)
        labels = scan.volume.like(truth, Kind.LABELS)
        work = repeated(lambda: write_labels(output, labels, scan), 3)
    size = output.stat().st_size / 1e6 if output.exists() else None
    print(json.dumps({f"work_{name}": value for name, value in work.items()} | {"file_mb": size}))


if __name__ == "__main__":
    main()
