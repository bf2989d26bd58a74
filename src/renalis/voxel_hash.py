"""What tells a scan from all others, whatever its name, format and packing."""

from __future__ import annotations

import hashlib

import numpy as np

from renalis.volume import Volume

__all__ = ["label_hash", "voxel_hash"]

_SLAB = 16


def voxel_hash(volume: Volume) -> str:
    """SHA-256 of shape and voxels in canonical orientation, (Z, Y, X) in C order, little endian.

    The same scan as DICOM and as NIfTI, packed or not, its axes in another order, has the same
    hash. Spacing and place do not enter: programs that convert scans round them differently, and
    two scans never have equal voxels.
    """
    array = volume.reoriented().array
    digest = hashlib.sha256(repr((array.shape, array.dtype.str)).encode())
    for start in range(0, array.shape[0], _SLAB):
        digest.update(np.ascontiguousarray(array[start : start + _SLAB]).data)
    return digest.hexdigest()


def label_hash(labels: Volume) -> str:
    """`voxel_hash` of a label map, by which a reference is recognized; empty for an empty map.

    Empty maps are all alike.
    """
    return voxel_hash(labels) if labels.array.any() else ""
