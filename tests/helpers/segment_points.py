"""Where voxels of a DICOM Segmentation lie, by the standard's formulas and no reader of ours."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray

from renalis.volume import Volume

__all__ = ["assert_same_points", "label_points", "marked_points", "plane"]


def plane(turn: Any, spacing: Any, place: Any) -> NDArray[np.float64]:
    """PS3.3 C.7.6.2.1.1: the matrix from (column, row, 1) to mm (LPS+)."""
    turn = np.array(turn, float).reshape(2, 3)
    return np.stack(
        [turn[0] * float(spacing[1]), turn[1] * float(spacing[0]), np.array(place, float)], axis=1
    )


def _frames(segmentation: pydicom.Dataset) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Each frame's mask and its plane."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    masks = np.asarray(segmentation.pixel_array)
    masks = masks[None] if masks.ndim == 2 else masks
    for mask, groups in zip(masks, segmentation.PerFrameFunctionalGroupsSequence, strict=True):

        def group(name: str, groups: pydicom.Dataset = groups) -> pydicom.Dataset:
            return (groups if name in groups else shared)[name][0]

        turn = group("PlaneOrientationSequence").ImageOrientationPatient
        spacing = group("PixelMeasuresSequence").PixelSpacing
        place = group("PlanePositionSequence").ImagePositionPatient
        yield mask, plane(turn, spacing, place)


def marked_points(segmentation: pydicom.Dataset) -> NDArray[np.float64]:
    """Where voxels of any segment lie, (N, 3) mm (LPS+)."""
    points = []
    for mask, matrix in _frames(segmentation):
        rows, columns = np.nonzero(mask)
        points.append(np.stack([columns, rows, np.ones(len(rows))], axis=1) @ matrix.T)
    return np.concatenate(points)


def label_points(packed: bytes) -> NDArray[np.float64]:
    """Where voxels of a packed NIfTI label map above 0 lie, by its affine, (N, 3) mm (LPS+)."""
    image = nib.Nifti1Image.from_bytes(gzip.decompress(packed))
    array = np.asarray(image.dataobj)
    points = Volume(array, np.asarray(image.affine)).world(np.argwhere(array > 0))
    return np.asarray(points * [-1, -1, 1])


def assert_same_points(one: NDArray[np.float64], two: NDArray[np.float64]) -> None:
    """Each point of one is a point of the other within 0.02 mm, whatever their order."""
    order = [np.lexsort(np.round(points, 1).T) for points in (one, two)]
    np.testing.assert_allclose(one[order[0]], two[order[1]], atol=0.02)
