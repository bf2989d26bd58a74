"""Voxels as the page takes them: axes to the patient's right, front and head, the first fastest.

In this order the page need not turn anything: index, memory and picture are the same for scan and
label maps, whatever axes the files have. What comes back is turned here, where it is tested.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import Any

import nibabel as nib
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.volume import Kind, Volume

__all__ = ["PAGE_ORDER", "grid_code", "labels_from_page", "nifti_chunks", "packed_labels"]

PAGE_ORDER = "RAS"
_SLAB = 1 << 23
"""Voxels that are turned at a time."""
_SHOWN_HU = (-160.0, 240.0)


def grid_code(volume: Volume) -> str:
    """Names a grid: shape and affine; what the page sends back must carry it."""
    digest = hashlib.sha256(repr(volume.shape).encode())
    digest.update(np.ascontiguousarray(volume.affine, "<f8").tobytes())
    return digest.hexdigest()[:16]


def nifti_chunks(image: Volume) -> tuple[int, Iterator[bytes]]:
    """A scan as an unpacked NIfTI file: its size in bytes, and its parts.

    Unpacked, since a browser unpacks more slowly than it reads from the same machine.
    """
    turned = image.reoriented(PAGE_ORDER)
    header: Any = nib.Nifti1Header(endianness="<")
    header.set_data_shape(turned.shape)
    header.set_data_dtype(np.int16)
    header.set_zooms(turned.spacing)
    header.set_sform(turned.affine, code="scanner")
    header.set_xyzt_units("mm")
    header.set_slope_inter(1, 0)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    # A window in the header spares the page to look for one in all voxels.
    header["cal_min"], header["cal_max"] = _SHOWN_HU
    size = 352 + turned.array.size * 2

    def chunks() -> Iterator[bytes]:
        yield header.binaryblock.ljust(352, b"\0")
        yield from _slabs(turned.array, "<i2")

    return size, chunks()


def packed_labels(labels: Volume) -> bytes:
    """A label map's bytes in the page's order, as gzip."""
    pack = isal_zlib.compressobj(0, wbits=31)
    parts = [pack.compress(slab) for slab in _slabs(labels.reoriented(PAGE_ORDER).array, "u1")]
    return b"".join((*parts, pack.flush()))


def labels_from_page(packed: bytes, grid: Volume) -> Volume:
    """What the page sends as a label map on a scan's grid.

    Parameters
    ----------
    packed : bytes
        gzip of one byte per voxel, in the page's order.
    grid : Volume
        The scan.

    Raises
    ------
    InputError
        If it is damaged, has another number of voxels, or holds other values than 0 to 3. However
        much it would unpack to, no more is unpacked than the grid has.
    """
    turned = grid.reoriented(PAGE_ORDER)
    size = turned.array.size
    unpack = zlib.decompressobj(wbits=31)
    try:
        plain = unpack.decompress(packed, size + 1)
    except (zlib.error, ValueError) as error:
        raise InputError("what was sent is no gzip of labels; nothing was saved") from error
    if len(plain) != size or not unpack.eof or unpack.unused_data:
        raise InputError(
            f"what was sent is no label map of {size} voxels, one byte each; nothing was saved"
        )
    values = np.frombuffer(plain, np.uint8)
    if values.max(initial=0) > 3:
        raise InputError("what was sent holds other labels than 0 to 3; nothing was saved")
    shaped = Volume(values.reshape(turned.shape, order="F"), turned.affine, Kind.LABELS)
    own = shaped.reoriented(grid.orientation)
    return grid.like(own.array, Kind.LABELS)


def _slabs(array: NDArray[Any], dtype: str) -> Iterator[bytes]:
    """Voxels in NIfTI's order, some slices at a time."""
    step = max(1, _SLAB // max(1, array.shape[0] * array.shape[1]))
    for start in range(0, array.shape[2], step):
        slab = array[:, :, start : start + step].astype(dtype, copy=False)
        yield np.ascontiguousarray(slab.T).data.cast("B")  # type: ignore[misc]
