"""Make the scans that are measured: 512 x 512 x 300 voxels, and 512 x 512 x 800 with a part.

    python benchmarks/scans.py synthetic|real FOLDER [--data DATA]

``synthetic`` is what ``renalis synthesize`` makes, so anybody can repeat it, and its truth is
known. It measures 360 x 432 x 432 mm, 240 x 288 x 288 voxels of the networks' 1.5 mm: on sides of
96 and a multiple of 48 voxels nnU-Net and MONAI lay the same windows. On others nnU-Net spreads its
windows evenly and MONAI moves the last one, so that the strides of one network begin elsewhere;
their labels then differ by 2 percent (Dice), whatever the program does.

``real`` is the contrast-enhanced CT of DATA (160 slices of 3 mm, 480 mm), interpolated between its
slices, with pixels of 1.03125 mm instead of its 1.03 mm, so that every program resamples to the
same grid.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import renalis
from renalis.preparation import resample
from renalis.synthesis.cohort import Cohort, make_scan
from renalis.volume import Kind, Volume

SLICES, LONG, PART = 300, 800, 300
SEED = 159
"""Of ``renalis synthesize``; two kidneys of 363 ml, 11 ml of tumor, 22 ml of cyst."""
IN_PLANE_MM = (0.84375, 0.84375)
SLICE_MM, THIN_MM = 1.2, 0.45
REAL_MM = 1.03125
CORNER_MM = np.array([216.0, 216.0, -180.0])
"""Where every scan's first corner lies in the patient (RAS+): renalis' grids begin there as well,
while elsewhere they begin up to 12 mm before the scan, and its windows' strides with them."""
KIDNEYS_MM = (204.0, 384.0)
"""Where the 300-slice part of the real scan lies, from its lowest slice."""


def main() -> None:
    """Write the scans of a kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("synthetic", "real"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.kind == "synthetic":
        synthetic(arguments.folder)
    else:
        real(arguments.folder, arguments.data)


def synthetic(folder: Path) -> None:
    """``synthetic.nii.gz``, 300 slices of 1.2 mm; ``-long``, 800 of 0.45 mm; with their truths."""
    for name, slice_mm, count in (
        ("synthetic", SLICE_MM, SLICES),
        ("synthetic-long", THIN_MM, LONG),
    ):
        cohort = Cohort(1, SEED, (slice_mm, *IN_PLANE_MM), phase="nephrographic", kidneys="normal")
        made, _ = make_scan(cohort, 0, [])
        image, truth = made.image.reoriented(), made.labels.reoriented()
        first = around(truth, count)
        save(folder / f"{name}-truth.nii.gz", truth, first, count)
        if count == LONG:
            part = around(truth, PART)
            save(folder / "synthetic-part.nii.gz", image, part, PART)
        save(folder / f"{name}.nii.gz", image, first, count)


def real(folder: Path, data: Path) -> None:
    """``real.nii.gz``: 300 slices of 1.6 mm; ``real-long``: 800 of 0.6 mm; its part of 300."""
    (zipped,) = (data / "real-ct" / "tcga-ov").glob("*.zip")
    scan = renalis.read_scan(zipped).volume.reoriented()
    affine = scan.affine.copy()
    affine[:3, 1:3] *= REAL_MM / np.asarray(scan.spacing[1:])
    scan = Volume(scan.array, affine)
    height = scan.shape[0] * scan.spacing[0]
    for name, count in (("real-long", LONG), ("real", SLICES)):
        image = resample(scan, (height / count, REAL_MM, REAL_MM))
        image = image.like(np.rint(image.array).astype(np.int16), Kind.IMAGE)
        if count == LONG:
            first = round(KIDNEYS_MM[0] / height * count)
            save(folder / "real-part.nii.gz", image, first, PART)
        save(folder / f"{name}.nii.gz", image, 0, count)


def around(labels: Volume, count: int) -> int:
    """First of ``count`` slices with the kidneys in their middle."""
    used = np.flatnonzero(labels.array.any(axis=(1, 2)))
    middle = int(used[0] + used[-1]) // 2
    return int(np.clip(middle - count // 2, 0, labels.shape[0] - count))


def along_z(first: int, count: int) -> tuple[slice, slice, slice]:
    """A box of whole slices."""
    return slice(first, first + count), slice(0, 512), slice(0, 512)


def save(path: Path, volume: Volume, first: int, count: int) -> None:
    """Write slices of a canonical volume as NIfTI, axes as most files have them (LPS)."""
    import nibabel as nib

    if volume.shape[0] < first + count:
        raise SystemExit(f"the body has {volume.shape[0]} slices, {count} are wanted")
    part = volume.cropped(along_z(first, count)).reoriented("LPS")
    affine = part.affine.copy()
    corner = affine[:3, 3] - affine[:3, :3] @ np.full(3, 0.5)
    affine[:3, 3] += CORNER_MM - corner
    part = Volume(part.array, affine, part.kind)
    nib.save(nib.Nifti1Image(np.asfortranarray(part.array), part.affine), path)
    print(path, part.shape, [round(float(mm), 5) for mm in part.spacing])


if __name__ == "__main__":
    main()
