"""Read the two label maps of a case, whatever tools wrote them, onto one grid where that is needed.

Maps of values (NIfTI, MetaImage, NRRD) and folders of masks have a grid of their own and stay on
it. Segments (DICOM-SEG, RTSTRUCT, ``.seg.nrrd``) are placed on the grid of the other label map, by
the affines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io.archive import opened_whole
from renalis.io.itk_header import ENDINGS, read_header
from renalis.io.read_labels import content_hash, read_label_map
from renalis.io.scan import shown
from renalis.io.segments.organ_masks import organ_masks, read_organ_masks
from renalis.io.segments.stored import Segmented, placed
from renalis.volume import Volume

__all__ = ["LabelKind", "LabelMap", "kind_of", "read_pair", "source_hash"]

_SEG = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


class LabelKind(StrEnum):
    """How labels are stored."""

    VALUES = "map of values"
    MASKS = "folder of masks"
    NRRD = "NRRD with segments"
    SEG = "DICOM Segmentation"
    RTSTRUCT = "RT Structure Set"
    OTHER_DICOM = "other DICOM"


@dataclass(frozen=True)
class LabelMap:
    """A label map as it was read.

    Parameters
    ----------
    volume : Volume
        uint8 labels.
    known : frozenset of Label or None
        What the file has segments for; its values are KiTS23's then. None: a map of values, which
        mean what the convention says.
    notes : tuple of str
        What was left out or changed in reading.
    """

    volume: Volume
    known: frozenset[Label] | None = None
    notes: tuple[str, ...] = ()


def kind_of(path: Path) -> LabelKind:
    """How labels are stored, by the file's name and, for DICOM, its header."""
    if path.is_dir():
        return LabelKind.MASKS
    low = path.name.lower()
    if low.endswith(".seg.nrrd") or (low.endswith(ENDINGS) and _has_segments(path)):
        return LabelKind.NRRD
    if low.endswith((".nii", ".nii.gz", *ENDINGS)) or not _is_dicom(path):
        return LabelKind.VALUES
    from pydicom import dcmread

    try:
        with opened_whole(path) as stream:
            head = dcmread(stream, specific_tags=["SOPClassUID"], stop_before_pixels=True)
        uid = str(head.SOPClassUID)
    except Exception:  # pydicom raises whatever a damaged file leads it to
        return LabelKind.OTHER_DICOM
    if uid in _SEG:
        return LabelKind.SEG
    return LabelKind.RTSTRUCT if uid == _RTSTRUCT else LabelKind.OTHER_DICOM


def read_pair(
    reference: Path, prediction: Path | None, needs_place: bool = True
) -> tuple[LabelMap, LabelMap | InputError | None]:
    """Read reference and prediction.

    Parameters
    ----------
    reference, prediction : Path
        NIfTI, MetaImage, NRRD, a folder of masks, DICOM Segmentation, RT Structure Set, or
        ``.seg.nrrd``.
    needs_place : bool
        Whether the prediction's header must say how the patient lies.

    Returns
    -------
    reference : LabelMap
    prediction : LabelMap, InputError or None
        An error is why the prediction cannot be read.

    Raises
    ------
    InputError
        If the reference cannot be read, or needs the grid of a prediction that is missing.
    """
    read_other: LabelMap | InputError | None = None
    kind = kind_of(reference)
    if kind in _OF_SEGMENTS and prediction is not None and kind_of(prediction) not in _OF_SEGMENTS:
        read_other = _attempt(partial(_gridded, prediction, needs_place))
        grid = read_other.volume if isinstance(read_other, LabelMap) else None
        return _segments(reference, kind, grid), read_other
    first = _segments(reference, kind, None) if kind in _OF_SEGMENTS else _gridded(reference)
    if prediction is not None:
        other = kind_of(prediction)
        read_other = _attempt(
            partial(_segments, prediction, other, first.volume)
            if other in _OF_SEGMENTS
            else partial(_gridded, prediction, needs_place)
        )
    return first, read_other


def source_hash(path: Path) -> str:
    """SHA-256 of what is read of a label map, in hexadecimal."""
    if not path.is_dir():
        own = content_hash(path)
        detached = path.suffix.lower() in (".mhd", ".nhdr")  # the voxels lie in a file of their own
        return f"{own} {content_hash(read_header(path).data)}" if detached else own
    return " ".join(f"{mask.name} {content_hash(mask)}" for mask in organ_masks(path))


_OF_SEGMENTS = (LabelKind.NRRD, LabelKind.SEG, LabelKind.RTSTRUCT)


def _attempt(read: Callable[[], LabelMap]) -> LabelMap | InputError:
    try:
        return read()
    except InputError as error:
        return error


def _gridded(path: Path, needs_place: bool = True) -> LabelMap:
    """A label map that has a grid of its own."""
    kind = kind_of(path)
    if kind is LabelKind.OTHER_DICOM:
        raise InputError(
            f"{shown(path)} is DICOM, but neither a Segmentation nor an RT Structure Set; give one "
            "of these, or a label map as .nii.gz"
        )
    if kind is LabelKind.MASKS:
        return _of(read_organ_masks(path, partial(read_label_map, placed=needs_place)))
    return LabelMap(read_label_map(path, needs_place))


def _segments(path: Path, kind: LabelKind, grid: Volume | None) -> LabelMap:
    """Named segments, on a grid if there is one."""
    name = shown(path)
    if kind is LabelKind.RTSTRUCT:
        if grid is None:
            raise InputError(
                f"{name} holds contours (RTSTRUCT) and has no grid of its own; the other label map "
                "of its case has to be a NIfTI file, whose grid they are filled on"
            )
        from renalis.io.segments.rtstruct import read_rtstruct

        return _of(read_rtstruct(path, grid))
    if kind is LabelKind.SEG:
        from renalis.io.segments.dicom_seg import read_dicom_seg

        found = read_dicom_seg(path)
    else:
        from renalis.io.segments.nrrd import read_seg_nrrd

        found = read_seg_nrrd(path)
    return _of(found if grid is None else placed(found, grid, name))


def _of(found: Segmented) -> LabelMap:
    return LabelMap(found.volume, found.known, found.notes)


def _has_segments(path: Path) -> bool:
    try:
        return any(field.startswith("segment0") for field in read_header(path).fields)
    except InputError:  # said when it is read
        return False


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False
