"""Read and write .nii.gz and DICOM by renalis, each call measured; for ``reading.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from meter import repeated

import renalis
from renalis.io import write_labels, write_volume
from renalis.volume import Kind


def main() -> None:
    what, scan_file, labels_file, output = sys.argv[1], *map(Path, sys.argv[2:5])
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
