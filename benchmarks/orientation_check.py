"""Is it told right along which axes a patient lies?

Run: ``python benchmarks/orientation_check.py --data DATA [--scans FOLDER]`` with the folder that
holds ``real-ct`` and one of further scans. Each scan is given an oblique affine, so that the
patient lies straight along the array's axes; and it is resampled to an oblique grid, which holds it
whole or only its inner part, so that the patient leans in the array. Each also with 60 HU of noise.
`renalis.preparation.lies_along_own_axes` has to tell these apart; in doubt it says no, so the two
kinds of errors are counted apart. Patients who do not lie straight themselves count against it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

import renalis
from renalis.preparation import lies_along_own_axes, resample
from renalis.volume import Volume

ANGLES = (5, -5, 8, -8, 12, -20)
"""Degrees about each axis of the patient."""

STEP_MM = 4.0
INNER = 0.8
NOISE_HU = 60.0


def main() -> None:
    """Count the predicted for every angle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scans", type=Path, help="a folder of further scans")
    arguments = parser.parse_args()
    real = arguments.data / "real-ct"
    paths = [real / "totalsegmentator-example" / "ct.nii.gz", *real.glob("tcga-ov/*.zip")]
    paths += sorted(arguments.scans.iterdir()) if arguments.scans else []
    straight: Counter[tuple[str, int]] = Counter()
    asked: Counter[tuple[str, int]] = Counter()
    for path in paths:
        for kind, size, scan in _versions(renalis.read_scan(path).volume.reoriented()):
            asked[kind, size] += 1
            straight[kind, size] += lies_along_own_axes(scan)
    for kind, size in asked:
        print(
            f"{kind:24} by {size:2d} degrees: along its own axes "
            f"{straight[kind, size]:3d} of {asked[kind, size]:3d}"
        )


def _versions(scan: Volume) -> Iterator[tuple[str, int, Volume]]:
    """Turned by each angle about each axis, with the truth about the patient in words."""
    small = resample(scan, (STEP_MM,) * 3)
    rng = np.random.default_rng(0)
    noisy = small.like(small.array + rng.normal(0, NOISE_HU, small.shape), small.kind)
    for angle in ANGLES:
        for axis in "xyz":
            turn = Rotation.from_euler(axis, angle, degrees=True).as_matrix()
            whole = np.eye(4)
            whole[:3, :3] = turn
            for noise, one in (("", small), (", noise", noisy)):
                lying = Volume(one.array, whole @ one.affine, one.kind)
                yield f"straight in array{noise}", abs(angle), lying
                yield f"leaning, whole{noise}", abs(angle), _leaning(one, turn, 1.0)
                yield f"leaning, inner{noise}", abs(angle), _leaning(one, turn, INNER)


def _leaning(scan: Volume, turn: NDArray[np.float64], share: float) -> Volume:
    """A scan on a turned grid that holds all of it, or the middle share of its own size."""
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in scan.shape])).reshape(3, -1).T
    axes = turn @ (scan.affine[:3, :3] / scan.spacing)
    corners = scan.world(ends) @ axes
    low, high = corners.min(axis=0), corners.max(axis=0)
    if share < 1:
        middle, size = (low + high) / 2, share * np.array(scan.shape) * STEP_MM
        low, high = middle - size / 2, middle + size / 2
    affine = np.eye(4)
    affine[:3, :3] = axes * STEP_MM
    affine[:3, 3] = axes @ (low + STEP_MM / 2)
    shape = tuple(int(n) for n in np.ceil((high - low) / STEP_MM - 1e-3))
    matrix = np.linalg.inv(scan.affine) @ affine
    array = ndimage.affine_transform(
        scan.array, matrix[:3, :3], matrix[:3, 3], shape, order=1, cval=-1024
    )
    return Volume(array, affine, scan.kind)


if __name__ == "__main__":
    main()
