"""Probabilities that nnU-Net wrote, read as a stream and without unpickling anything.

nnU-Net stores ``CASE.npz`` with one array (classes, k, j, i): the axes of the NIfTI file in
reverse, on the scan's own grid. Nothing in the file says where that is, so shape, sums and, when
nnU-Net's own label map lies next to it, agreement with that map are checked.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.read_labels import read_label_map
from renalis.io.scan import shown
from renalis.volume import Volume

__all__ = ["NnunetProbabilities", "open_nnunet"]

_KEYS = ("probabilities", "softmax")
_SUM_OFF = 0.02
"""Half-precision probabilities of a few classes sum to 1 within this."""
_AGREE = 0.9
"""Least Dice between the most probable class and the label map next to it: rounding and small
clean-ups stay far above, exchanged or flipped axes far below."""
_CHUNK = 1 << 22


@dataclass(eq=False)
class _Stream:
    """One class of the stored array, read forwards."""

    file: IO[bytes]
    row: int
    dtype: np.dtype[np.generic]
    at: int = 0


@dataclass(eq=False)
class NnunetProbabilities:
    """A member of an ensemble: nnU-Net's probabilities for one scan.

    Made by `open_nnunet`. Slabs are asked for once each, in order.
    """

    path: Path
    scan: Volume
    classes: int
    label_map: Volume | None
    archive: zipfile.ZipFile
    streams: list[_Stream]
    _both: int = field(default=0)
    _each: int = field(default=0)

    def slab(self, start: int, stop: int) -> NDArray[np.float32]:
        """Probabilities (K, I, J, stop - start) along the scan's last array axis."""
        i, j, _ = self.scan.shape
        result = np.empty((self.classes, i, j, stop - start), np.float32)
        for target, stream in zip(result, self.streams, strict=True):
            if start != stream.at:
                raise ValueError("slabs of a stream are read once, in order")
            data = self._read(stream.file, stream.row * (stop - start))
            block = np.frombuffer(data, stream.dtype).reshape(stop - start, j, i)
            target[...] = block.transpose(2, 1, 0)
            stream.at = stop
        self._check(result)
        if self.label_map is not None:
            own = self.label_map.array[:, :, start:stop]
            best = result.argmax(0)
            self._both += 2 * int(np.count_nonzero((best == own) & (own > 0)))
            self._each += int(np.count_nonzero(best)) + int(np.count_nonzero(own))
        return result

    def _read(self, file: IO[bytes], count: int) -> bytes:
        name = shown(self.path)
        try:
            data = file.read(count)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise InputError(f"{name} is damaged ({error}); let nnU-Net write it again") from error
        if len(data) != count:
            raise InputError(f"{name} ends too early; let nnU-Net write it again")
        return data

    def _check(self, result: NDArray[np.float32]) -> None:
        """Each voxel's classes sum to 1, or to 0 where nnU-Net had cropped the scan."""
        total = result.sum(0)
        empty = total == 0
        # NaN must not pass as "not too far off".
        right = (np.abs(total - 1) <= _SUM_OFF) | empty
        if not right.all() or result.min() < 0:
            raise InputError(
                f"{shown(self.path)}: the probabilities of a voxel do not sum to 1, so they are "
                "those of regions, not of classes; give nnU-Net's label maps instead"
            )
        result[0][empty] = 1

    def finish(self) -> None:
        """Close the file, and compare with the label map next to it once all was read.

        Raises
        ------
        InputError
            If most probable classes and label map differ: axes are exchanged or flipped, as with
            nnU-Net's reorienting reader.
        """
        for stream in self.streams:
            stream.file.close()
        self.archive.close()
        if self.label_map is not None and self._each and self._both < _AGREE * self._each:
            raise InputError(
                f"{shown(self.path)} does not agree with nnU-Net's label map next to it (Dice "
                f"{self._both / self._each:.2f}), so its axes are not those of the scan; give "
                "the label maps instead"
            )


def open_nnunet(path: Path, scan: Volume) -> NnunetProbabilities:
    """Open nnU-Net's ``.npz`` for one scan.

    Both generations are read: ``probabilities`` (version 2) and ``softmax`` (version 1, whose
    probabilities have the scan's shape when nothing was cropped).

    Parameters
    ----------
    path : Path
        Written by ``nnUNetv2_predict --save_probabilities``. A label map of the same name next to
        it (``.nii.gz`` or ``.nii``) is used to check the axes.
    scan : Volume
        The scan as its file stores it: the axis order must be that of the file nnU-Net read.

    Raises
    ------
    InputError
        If the file is damaged, holds no array of that kind, or another grid's.
    """
    name = shown(path)
    try:
        archive = zipfile.ZipFile(path)
        stored = set(archive.namelist())
        key = next((k for k in _KEYS if f"{k}.npy" in stored), None)
        if key is None:
            archive.close()
            raise InputError(
                f"{name} holds no array called probabilities or softmax; give the .npz that "
                "nnU-Net writes with --save_probabilities"
            )
        member = f"{key}.npy"
        with archive.open(member) as file:
            shape, fortran, dtype = _header(file)
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read as .npz ({error})") from error
    wanted = scan.shape[::-1]
    if dtype.kind != "f" or fortran or len(shape) != 4 or shape[0] < 2:
        archive.close()
        raise InputError(
            f"{name} holds no probabilities as nnU-Net writes them (classes, slices, rows, columns)"
        )
    if shape[1:] != wanted:
        archive.close()
        raise InputError(
            f"{name} holds {shape[1:]} voxels, the scan has {wanted} (in nnU-Net's order); they "
            "belong to another scan or were cropped: give nnU-Net's label maps instead"
        )
    row = shape[2] * shape[3] * dtype.itemsize
    label_map = _label_map_of(path, scan)
    reader = NnunetProbabilities(path, scan, shape[0], label_map, archive, [])
    # One stream per class: stored class by class, wanted slab by slab, and none kept whole.
    for number in range(shape[0]):
        stream = archive.open(member)
        _header(stream)
        left = number * shape[1] * row
        while left:
            left -= len(reader._read(stream, min(left, _CHUNK)))
        reader.streams.append(_Stream(stream, row, dtype))
    return reader


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, order and type of a stored array; object arrays (pickles) are refused."""
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    return shape, fortran, dtype


def _label_map_of(path: Path, scan: Volume) -> Volume | None:
    """nnU-Net's own label map of the case, when it lies next to the probabilities."""
    for ending in (".nii.gz", ".nii"):
        other = path.with_name(path.stem + ending)
        if other.is_file():
            labels = read_label_map(other)
            if not labels.same_grid(scan, tolerance_mm=0.01):
                raise InputError(
                    f"{shown(other)} does not lie on the scan's grid, so neither do the "
                    "probabilities next to it; predict this very scan with nnU-Net"
                )
            return labels
    return None
