"""How well the shipped model finds the kidneys of a real unenhanced CT.

Run: ``python benchmarks/real_scan.py --data DATA`` with the folder that holds
``real-ct/totalsegmentator-example``. The reference covers slices 82 to 111 only; outside them, what
is connected to neither reference kidney is counted as false.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cc3d
import nibabel
import numpy as np

import renalis
from renalis.postprocessing import tidy
from renalis.prediction import predict


def main() -> None:
    """Segment, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="renalis-kidney")
    arguments = parser.parse_args()
    folder = arguments.data / "real-ct" / "totalsegmentator-example"
    scan = renalis.read_scan(folder / "ct.nii.gz")
    reference = np.asarray(nibabel.load(folder / "kidneys_slices_82_to_111.nii.gz").dataobj) > 0
    prediction = predict(scan.volume, renalis.load_model(arguments.model))
    tidied = tidy(prediction.labels, scan.volume)
    known = np.zeros(reference.shape, bool)
    known[:, :, 82:112] = True
    for name, labels in (("network", prediction.labels), ("tidied", tidied.labels)):
        found = np.asarray(labels.array) > 0
        overlap = np.count_nonzero(found & reference & known)
        total = np.count_nonzero(found & known) + np.count_nonzero(reference & known)
        parts = cc3d.connected_components(found, connectivity=26)
        kidneys = np.unique(parts[reference & found])
        apart = found & ~np.isin(parts, kidneys)
        voxel = scan.volume.voxel_ml
        lesions = [np.count_nonzero(labels.array == value) * voxel for value in (2, 3)]
        print(
            f"{name}: kidney Dice in slices 82-111 {2 * overlap / total:.4f}; "
            f"{np.count_nonzero(found) * voxel:.0f} ml renal, of it {lesions[0]:.1f} ml tumor and "
            f"{lesions[1]:.1f} ml cyst; {np.count_nonzero(apart) * voxel:.1f} ml apart from kidneys"
        )


if __name__ == "__main__":
    main()
