"""What a DICOM object holds, as a hash that does not depend on the way it came."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

__all__ = ["content_hash"]


def content_hash(content: bytes) -> str:
    """A hash of an object's elements.

    File meta, group lengths, padding and whether VRs are explicit do not count: archives write
    them anew, and the same image by DIMSE and over DICOMweb is the same image.

    Raises
    ------
    Exception
        Whatever pydicom raises of a damaged file.
    """
    digest = hashlib.sha256()
    _feed(digest, pydicom.dcmread(io.BytesIO(content)))
    return digest.hexdigest()


def _feed(digest: Any, dataset: Dataset) -> None:
    for tag in sorted(dataset.keys()):
        if tag.element == 0:
            continue
        element = dataset.get_item(tag)
        if isinstance(element, RawDataElement) and not _is_sequence(element):
            value = (element.value or b"").rstrip(b" \0")
            digest.update(f"{int(tag):08x}={len(value)}:".encode())
            digest.update(value)
            continue
        value = dataset[tag].value
        if isinstance(value, pydicom.Sequence):
            digest.update(f"{int(tag):08x}=({len(value)}".encode())
            for item in value:
                _feed(digest, item)
            digest.update(b")")
        else:
            digest.update(f"{int(tag):08x}={value!r};".encode())


def _is_sequence(element: RawDataElement) -> bool:
    if element.VR is not None:
        return bool(element.VR == "SQ")
    try:
        return bool(dictionary_VR(element.tag) == "SQ")
    except KeyError:
        return False
