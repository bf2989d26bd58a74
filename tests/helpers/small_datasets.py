"""Small datasets in the layouts of the real ones, written for the tests."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

KITS_AFFINE = np.array([[0, 0, -0.8, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1.0]])
"""As in all of KiTS: slices first, from head to feet."""
SHAPE = (9, 16, 16)
KIDNEY_HU = 150


def labels_with(
    kidney: int = 20, tumor: int = 6, cyst: int = 0, shape: tuple[int, int, int] = SHAPE
) -> np.ndarray:
    """A label map with so many voxels of each label, in one row after another."""
    flat = np.zeros(shape, np.uint8).ravel()
    flat[500 : 500 + kidney] = 1
    flat[800 : 800 + tumor] = 2
    flat[900 : 900 + cyst] = 3
    return flat.reshape(shape)


def scan_of(labels: np.ndarray, seed: int) -> np.ndarray:
    """A CT for a label map: noise, fat, and kidneys of exactly `KIDNEY_HU` on average."""
    rng = np.random.default_rng(seed)
    image = rng.integers(-120, -80, labels.shape).astype(np.int16)
    inside = labels > 0
    image[inside] = KIDNEY_HU + np.resize([-10, 0, 10], int(inside.sum()))
    return image


def save(path: Path, array: np.ndarray, affine: np.ndarray = KITS_AFFINE) -> Path:
    """Write a NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def kits_case(
    parent: Path,
    number: int,
    label: str | None = "segmentation",
    labels: np.ndarray | None = None,
    image: bool = True,
) -> Path:
    """A folder of KiTS: scan and, unless ``label`` is None, the label map of that name."""
    folder = parent / f"case_{number:05d}"
    labels = labels_with() if labels is None else labels
    if image:
        save(folder / "imaging.nii.gz", scan_of(labels, number))
    if label:
        save(folder / f"{label}.nii.gz", labels)
    return folder


def plain_case(
    root: Path, name: str, labels: np.ndarray | None = None, seed: int | None = None
) -> None:
    """A scan in ``images/`` and its label map in ``labels/``."""
    labels = labels_with() if labels is None else labels
    number = sum(map(ord, name)) if seed is None else seed
    save(root / "images" / f"{name}.nii.gz", scan_of(labels, number))
    save(root / "labels" / f"{name}.nii.gz", labels)
