"""What a file that is no scan is instead, by how it begins."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

__all__ = ["endings", "what_else"]

_UNPACK = "unpack it and give what it holds"
_PICTURE = "pictures hold no HU, so give the scan as DICOM or NIfTI"
_CONVERT = "convert it to NIfTI (.nii.gz)"
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (128, b"DICM", "a DICOM file", "give the folder of its series, or name it .dcm"),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"PK\x03\x04", "a zip", "name it .zip"),
    (0, b"\x1f\x8b", "a gzip file", _UNPACK),
    (0, b"BZh", "a bzip2 file", _UNPACK),
    (0, b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!", "a RAR archive", _UNPACK),
    (0, b"\x89PNG", "a PNG picture", _PICTURE),
    (0, b"\xff\xd8\xff", "a JPEG picture", _PICTURE),
    (0, b"GIF8", "a GIF picture", _PICTURE),
    (0, b"II*\0", "a TIFF picture", _PICTURE),
    (0, b"MM\0*", "a TIFF picture", _PICTURE),
    (0, b"%PDF", "a PDF document", "give the scan as DICOM or NIfTI"),
    (0, b"NRRD0", "an NRRD file", "name it .nrrd"),
    (0, b"ObjectType", "a MetaImage file", "name it .mha"),
    (0, b"\x89HDF", "an HDF5 file", _CONVERT),
    (0, b"CDF", "a netCDF file (MINC?)", _CONVERT),
    (0, b"MATLAB", "a MATLAB file", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array, which has no place in the patient", "give the scan itself"),
    (
        0,
        b"version https://git-lfs",
        "only a pointer of Git LFS",
        "get the file with git lfs pull",
    ),
    (0, b"/annex/objects/", "only a pointer of git-annex", "get the file with git annex get"),
)
_PAGE = re.compile(rb"\s*<(!doctype|html|\?xml|head|script)", re.IGNORECASE)


def what_else(start: bytes) -> tuple[str, str]:
    """What a file is, and what to do about it; two empty strings if that is unknown.

    Parameters
    ----------
    start : bytes
        The first kilobyte of the file, or all of it if it is smaller.
    """
    if not start:
        return "empty (0 bytes)", "copy or download it again"
    for place, bytes_there, what, advice in _SIGNATURES:
        if start[place:].startswith(bytes_there):
            return what, advice
    if _PAGE.match(start):
        return "a web page or XML (a download that failed?)", "download the scan again"
    if not any(start):
        return "filled with zeros at its beginning", "copy or download it again"
    return "", ""


def endings(names: Iterable[str], most: int = 4) -> str:
    """How many files there are of each kind by their names, the most frequent first.

    >>> endings(["a.tar.gz", "b.mnc", "c/d.MNC", "c/readme"])
    '2 .mnc, 1 .tar.gz, 1 without an ending'
    """
    counted = Counter(map(_ending, names)).most_common()
    words = ", ".join(f"{count} {suffix}" for suffix, count in counted[:most])
    return f"{words} and others" if len(counted) > most else words


def _ending(name: str) -> str:
    match = re.search(r"(\.(nii|tar|dcm|img|seg))?\.\w{1,12}$", name.lower())
    return match[0] if match else "without an ending"
