"""Whether a file is a label map: its voxels tell, its name only how far to look."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.itk import stored_values
from renalis.io.itk_header import ENDINGS
from renalis.io.nifti_stored import stored_voxels
from renalis.io.whole_hu import Scaling

__all__ = ["Content", "content_of", "label_maps_among", "named_label_map"]

_CHUNK = 1 << 18
"""Voxels looked at at a time; nearly every CT shows in the first ones that it is no label map."""
_ENOUGH = 1 << 20
"""Voxels, from the first that differs on, after which few labels are few labels."""
_ENOUGH_NAMED = 1 << 22
"""Voxels looked at where the name says already that it is a label map."""
_MOST_LABELS = 32
_SMOOTH = 0.97
_FOLDERS = frozenset(
    {"annotations", "instances", "label", "labels", "labelstr", "labelsts", "labelsval", "mask"}
    | {"masks", "seg", "segmentation", "segmentations"}
)
"""Where KiTS, nnU-Net, TotalSegmentator and `renalis synthesize` keep label maps."""
_FILE = re.compile(r"segmentation.*|(.*[-_.])?(label|labels|mask|masks|seg|segmentation)")


class Content(StrEnum):
    """What the voxels of a file say."""

    LABELS = "labels"
    EMPTY = "empty"
    """Every voxel is 0, as in the mask of an organ that is not there."""
    OTHER = "other"
    UNREADABLE = "unreadable"


def named_label_map(name: str) -> bool:
    """Whether a file is a label map by its name or a folder's.

    Parameters
    ----------
    name : str
        Path below the folder that is searched, with ``/`` between folders.

    Examples
    --------
    >>> [named_label_map(n) for n in ("labelsTr/a.nii.gz", "a_seg.nii", "a/ct.nii.gz")]
    [True, True, False]
    """
    *folders, file = name.lower().split("/")
    stem = re.sub(r"\.(nii(\.gz)?|hdr|mha|mhd|nrrd|nhdr)$", "", file)
    return bool(_FILE.fullmatch(stem)) or not _FOLDERS.isdisjoint(folders)


def content_of(path: Path, most: int | None = None) -> Content:
    """Look at a file's voxels, no further than until they are no labels.

    Labels are whole numbers from 0 to 255, at most 32 different ones or with nearly every voxel
    equal to its neighbour, which noise forbids in a CT.

    Parameters
    ----------
    path : Path
        NIfTI, MetaImage or NRRD file. Of the latter two, which are read whole, those that are not
        named as label maps are looked at only if they hold 8 bits a voxel, as no CT does.
    most : int, optional
        Voxels after which to stop looking; all if not given.
    """
    try:
        if path.name.lower().endswith(ENDINGS):
            values = stored_values(path, bytes_only=most is None)
            if values is None:
                return Content.OTHER
            chunks = ((at, values[at : at + _CHUNK]) for at in range(0, values.size, _CHUNK))
            return _content(_values(chunks, (None, None), most))
        with stored_voxels(path) as stored:
            return _content(_values(stored.chunks(_CHUNK), stored.scaling, most))
    except (InputError, MemoryError):
        return Content.UNREADABLE


def label_maps_among(names: Iterable[str], folder: Path) -> set[str]:
    """The files below a folder that are label maps, not scans.

    A name alone makes no label map, and needs none: contents decide, unless they cannot be read.
    A file of zeros alone is one where its name says so or others next to it are label maps.

    Parameters
    ----------
    names : iterable of str
        Files of one scan each, as paths below ``folder`` with ``/`` between folders.
    folder : Path
        Where they lie.
    """
    named = {name: named_label_map(name) for name in names}
    contents = {
        name: content_of(folder / name, _ENOUGH_NAMED if by_name else None)
        for name, by_name in named.items()
    }
    folders = {_above(name) for name, content in contents.items() if content is Content.LABELS}
    return {name for name in named if _is_label_map(name, contents, named[name], folders)}


def _is_label_map(
    name: str, contents: Mapping[str, Content], by_name: bool, folders: set[PurePosixPath]
) -> bool:
    content = contents[name]
    if content is Content.EMPTY:
        return by_name or _above(name) in folders
    return content is Content.LABELS or (content is Content.UNREADABLE and by_name)


def _above(name: str) -> PurePosixPath:
    return PurePosixPath(name).parent


def _values(
    chunks: Iterable[tuple[int, NDArray[Any]]], scaling: Scaling, most: int | None
) -> Iterator[NDArray[np.uint8] | None]:
    """The voxels as labels, a chunk at a time; None at the first that can be none."""
    slope, intercept = scaling
    scaled = (slope, intercept) not in ((None, None), (1.0, 0.0))
    for start, raw in chunks:
        if most is not None and start >= most:
            return
        if scaled:
            values = raw * np.float64(1.0 if slope is None else slope) + (intercept or 0.0)
        else:
            values = raw
        # Written so that what is not a number is no label either.
        if not (values.min() >= 0 and values.max() <= 255):
            yield None
            return
        labels = (np.rint(values) if values.dtype.kind == "f" else values).astype(np.uint8)
        if values.dtype.kind == "f" and np.abs(values - labels).max() > 1e-3:
            yield None
            return
        yield labels


def _content(chunks: Iterator[NDArray[np.uint8] | None]) -> Content:
    counts = np.zeros(256, dtype=np.int64)
    different = size = equal = looked = 0
    for labels in chunks:
        if labels is None:
            return Content.OTHER
        size += labels.size
        if labels[0] == labels[-1] and (labels == labels[0]).all():
            counts[labels[0]] += labels.size
            equal += labels.size - 1
        else:
            counts += np.bincount(labels, minlength=256)
            equal += int(np.count_nonzero(labels[1:] == labels[:-1]))
        different = int(np.count_nonzero(counts))
        looked += labels.size if different > 1 else 0
        if looked >= _ENOUGH and different <= _MOST_LABELS:
            return Content.LABELS
    if different <= 1:
        return Content.EMPTY if counts[0] else Content.OTHER
    smooth = different <= _MOST_LABELS or equal > _SMOOTH * size
    return Content.LABELS if smooth else Content.OTHER
