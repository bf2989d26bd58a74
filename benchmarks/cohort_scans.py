"""Many small different scans out of a few synthetic ones, for trials of whole cohorts.

    python benchmarks/cohort_scans.py FOLDER [-n 200] [--bodies 10]

Each is the left or the right of a synthetic body at 4 mm, 40 slices around a kidney, moved by some
voxels and with noise of its own: no two are alike, and each takes about a second.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

SLICES, WIDTH = 40, 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--bodies", type=int, default=10)
    arguments = parser.parse_args()
    print(len(many_scans(arguments.folder, arguments.n, arguments.bodies)), "scans")
    return 0


def many_scans(folder: Path, count: int, bodies: int = 10) -> list[Path]:
    """The scans ``folder/scans/case_000.nii.gz`` and so on; those that are there are kept."""
    source = folder / "bodies"
    wanted = [folder / "scans" / f"case_{number:03d}.nii.gz" for number in range(count)]
    if all(path.exists() for path in wanted):
        return wanted
    if not (source / "cohort.json").exists():
        words = ("synthesize", "-o", source, "-n", bodies, "--seed", 26, "--spacing", 4, 4, 4)
        subprocess.run([sys.executable, "-m", "renalis", *map(str, words)], check=True)
    images = sorted((source / "images").iterdir())
    wanted[0].parent.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(wanted):
        if not path.exists():
            _write(path, images[number % len(images)], number)
    return wanted


def _write(path: Path, image: Path, seed: int) -> None:
    stored = nib.load(image)
    labels = np.asarray(nib.load(image.parent.parent / "labels" / image.name).dataobj)
    hu = np.asarray(stored.dataobj, dtype=np.float32)
    random = np.random.default_rng(seed)
    sideways, _, along = (int(np.argmax(np.abs(stored.affine[axis, :3]))) for axis in range(3))
    renal = np.argwhere(labels)
    half = renal[:, sideways] < hu.shape[sideways] / 2
    side = half if half.any() and (half.all() or seed % 2) else ~half
    middle = np.round(renal[side].mean(axis=0)).astype(int) + random.integers(-3, 4, 3)
    size = np.array(hu.shape)
    size[along], size[sideways] = SLICES, WIDTH
    start = np.clip(middle - size // 2, 0, hu.shape - size)
    part = hu[tuple(slice(at, at + n) for at, n in zip(start, size, strict=True))]
    part = part + random.normal(0, 4, part.shape).astype(np.float32)
    affine = stored.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    made = nib.Nifti1Image(np.clip(part, -1024, 3071).astype(np.int16), affine)
    hidden = path.with_name(f".{path.name}")
    made.to_filename(hidden)
    hidden.rename(path)


if __name__ == "__main__":
    sys.exit(main())
