"""Folders of small label maps, written as their users would."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

AFFINE = np.array([[0, 0, -0.8, 30.0], [0, -0.8, 0, 10], [-3, 0, 0, 5], [0, 0, 0, 1.0]])


def anatomy(seed: int = 0, shift: int = 0) -> NDArray[np.uint8]:
    """Two kidneys, a tumor and a cyst in 24 × 48 × 96 voxels, (Z, Y, X)."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((24, 48, 96), np.uint8)
    low = 4 + int(rng.integers(0, 3))
    labels[low : low + 12, 12:30, 8 + shift : 26 + shift] = 1
    labels[low + 1 : low + 13, 12:30, 68 + shift : 86 + shift] = 1
    labels[low + 2 : low + 7, 14:20, 10 + shift : 16 + shift] = 2
    labels[low + 4 : low + 7, 20:25, 76 + shift : 80 + shift] = 3
    return labels


def write(path: Path, labels: NDArray, affine: NDArray = AFFINE) -> Path:
    """One label map, any dtype that nibabel stores."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


def cohort(folder: Path, count: int = 4, shift: int = 1) -> tuple[Path, Path]:
    """References in KiTS's layout, predictions under other names."""
    references, predictions = folder / "references", folder / "predictions"
    for k in range(count):
        write(references / f"case_{k:05d}" / "segmentation.nii.gz", anatomy(k))
        write(predictions / f"prediction_{k:05d}.nii.gz", anatomy(k, shift + k))
    return references, predictions
