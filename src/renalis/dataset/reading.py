"""Read a case, whether it is a scan with its label map or a single slice."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from renalis.dataset.cases import Case
from renalis.dataset.slices import SliceSet, read_slices, slice_image, slice_labels
from renalis.errors import InputError
from renalis.io import read_scan
from renalis.io.read_labels import read_label_map
from renalis.preparation import file_hash
from renalis.volume import Volume

__all__ = ["case_content", "read_case", "read_case_labels"]


def read_case(case: Case) -> Volume:
    """The scan of a case in HU; of a single slice (1, Y, X) int16.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    if case.number is None:
        return read_scan(case.image).volume
    return slice_image(_slices(case.image), case.number)


def read_case_labels(case: Case, placed: bool = True) -> Volume | None:
    """The label map of a case, None where there is none.

    Parameters
    ----------
    case : Case
    placed : bool
        See `renalis.io.read_labels.read_label_map`.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    if case.label is None:
        return None
    if case.number is None:
        return read_label_map(case.label, placed=placed)
    return slice_labels(_slices(case.label), case.number)


def case_content(case: Case, labels: bool = True) -> str:
    """Hash of what a case is read from: changes whenever its voxels could.

    Parameters
    ----------
    case : Case
    labels : bool
        Its label map too.
    """
    if case.number is None:
        return file_hash([case.image, *([case.label] if labels and case.label else [])])
    slices, number = _slices(case.image), case.number
    about = (slices.grey_hu, slices.spacing_mm[number].tolist(), float(slices.place[number]))
    digest = hashlib.sha256(repr((about, slices.image.shape[1:])).encode())
    digest.update(slices.image[number].tobytes())
    if labels:
        digest.update(slices.labels[number].tobytes())
    return digest.hexdigest()


def _slices(path: Path) -> SliceSet:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return _unpacked(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=3)
def _unpacked(path: Path, changed: int, size: int) -> SliceSet:
    # Hundreds of cases lie in one file, which takes a second to unpack.
    del changed, size
    return read_slices(path)
