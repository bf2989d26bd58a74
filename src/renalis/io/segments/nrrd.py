"""Segmentations of 3D Slicer (``.seg.nrrd``): one or several layers, with a name and a label each.

Format: Slicer's documentation, "Segmentations", and https://teem.sourceforge.net/nrrd/format.html.
Needs SimpleITK (the extra ``itk``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.itk import check_size, itk_affine, opened
from renalis.io.itk_header import read_header
from renalis.io.scan import shown
from renalis.io.scan_size import scan_size
from renalis.io.segments.segment_labels import Code, Segment, label_of, unknown_note
from renalis.io.segments.stored import Segmented, painted
from renalis.volume import Kind, Volume

__all__ = ["read_seg_nrrd"]


def read_seg_nrrd(path: Path) -> Segmented:
    """Read the segments that `renalis.io.segments.segment_labels` knows.

    Parameters
    ----------
    path : Path
        A NRRD file with Slicer's fields ``SegmentN_Name``, ``SegmentN_LabelValue``.

    Returns
    -------
    Segmented
        On the file's own grid, which Slicer may have cropped to the segments.

    Raises
    ------
    InputError
        If SimpleITK is missing, the file is damaged, has no place in space, or no segments.
    """
    name = shown(path)
    try:
        return _labels(path, name)
    except (TypeError, ValueError) as error:  # fields that are no numbers or no text
        raise InputError(f"{name} has a damaged header ({error}); save it again") from error


def _labels(path: Path, name: str) -> Segmented:
    """See `read_seg_nrrd`."""
    data, affine, fields = _read(path, name)
    segments = _segments(fields)
    if not segments:
        raise InputError(
            f"{name} holds no named segments; save it as a segmentation (.seg.nrrd) in 3D Slicer, "
            "or convert the label map to .nii.gz"
        )
    array = np.zeros(data.shape[1:], np.uint8)
    known = set()
    for segment, layer, value in segments:
        label = label_of(segment)
        if label is None:
            continue
        if layer >= len(data):
            raise InputError(f"{name} names a layer {layer} that it lacks; save it again")
        known.add(label)
        painted(array, [(label, data[layer] == value)])
    notes = unknown_note([s for s, _, _ in segments])
    return Segmented(Volume(array, affine, Kind.LABELS), frozenset(known), notes)


def _read(path: Path, name: str) -> tuple[NDArray[Any], NDArray[np.float64], Mapping[str, str]]:
    """Voxels (layer, i, j, k), affine (RAS+), and the fields that ITK does not know itself."""
    header = read_header(path)
    if "space" not in header.fields:
        raise InputError(
            f"{name} does not say how the patient lies (no space); save it again from 3D Slicer"
        )
    with opened(path, header, "the segmentation") as reader:
        import SimpleITK as sitk

        if reader.GetDimension() != 3:
            raise InputError(f"{name} has {reader.GetDimension()} axes; give a 3D segmentation")
        scan_size(reader.GetSize(), name)
        check_size(reader, header, name)
        affine = itk_affine(reader, name)
        fields = {key: str(reader.GetMetaData(key)) for key in reader.GetMetaDataKeys()}
        data = sitk.GetArrayFromImage(reader.Execute()).T
    return data if data.ndim == 4 else data[None], affine, fields


def _segments(fields: Mapping[str, str]) -> list[tuple[Segment, int, int]]:
    """Each segment with its layer and its value there."""
    found = []
    for key, value in fields.items():
        match = re.fullmatch(r"Segment(\d+)_LabelValue", key)
        if not match:
            continue
        start = f"Segment{match[1]}_"
        terms = _terms(fields.get(f"{start}Tags", ""))
        segment = Segment(fields.get(f"{start}Name", ""), *terms)
        found.append((segment, int(fields.get(f"{start}Layer", 0)), int(value)))
    return found


def _terms(tags: str) -> tuple[tuple[Code, ...], tuple[Code, ...]]:
    """Codes of what was segmented and of where, from Slicer's terminology entry.

    ``…TerminologyEntry:CONTEXT~CATEGORY~TYPE~MODIFIER~CONTEXT~REGION~MODIFIER|``, each term
    ``scheme^value^meaning``.
    """
    match = re.search(r"TerminologyEntry:([^|]*)", tags)
    terms = match[1].split("~") if match else []

    def code(place: int) -> tuple[Code, ...]:
        parts = terms[place].split("^") if len(terms) > place else []
        return ((parts[0], parts[1]),) if len(parts) >= 2 and parts[1] else ()

    return code(2), code(5)
