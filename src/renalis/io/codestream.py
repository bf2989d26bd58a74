"""JPEG and JPEG 2000 streams, looked at before a decoder takes their headers at their word.

Decoders make room for whatever size a stream claims, and GDCM ends the whole program over headers
that contradict each other.
"""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments

__all__ = ["check_codestreams", "jpeg2000_size", "jpeg_size"]

_MOST_TIMES = 4
_SMALL = 1 << 20
_NO_FRAME = (0xC4, 0xC8, 0xCC)
"""Markers among those of frames (T.81 B.1.1.3) that begin none: tables and a reserved one."""
_START, _SCAN, _FRAME_LS = 0xD8, 0xDA, 0xF7


def check_codestreams(data: Dataset, rows: int, columns: int) -> None:
    """Refuse streams that are other pictures than the file's header says.

    Parameters
    ----------
    data : Dataset
        A file with packed pixels.
    rows, columns : int
        Of each frame.

    Raises
    ------
    ValueError
        If a JPEG or JPEG-LS stream is no grey picture of this size with one scan, or a JPEG 2000
        stream a much larger one. What is not seen in headers is left to the decoder.
    """
    for fragment in generate_fragments(data.PixelData):
        head = fragment[: 1 << 16]
        if head.startswith(bytes((0xFF, _START))):
            found = jpeg_size(head)
            if found != (rows, columns):
                raise ValueError(f"a picture of {found} in place of {(rows, columns)}")
        size = jpeg2000_size(head)
        if size is not None and size[0] * size[1] > _MOST_TIMES * rows * columns + _SMALL:
            raise ValueError(f"a picture of {size} in place of {(rows, columns)}")


def jpeg_size(stream: bytes) -> tuple[int, int]:
    """Rows and columns of a grey JPEG or JPEG-LS picture by its frame header (T.81 B.2, T.87 C.2).

    Parameters
    ----------
    stream : bytes
        Up to the header of its first scan at least.

    Raises
    ------
    ValueError
        If there is not exactly one frame header and then a scan, each of one component.

    Examples
    --------
    >>> jpeg_size(bytes.fromhex("ffd8 ffc3000b10 0200 0180 01 011100 ffda0008010100000000"))
    (512, 384)
    """
    at, size = 2, None
    while at + 4 <= len(stream):
        if stream[at] != 0xFF:
            raise ValueError("bytes between its markers")
        mark, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        if mark == 0xFF:  # any number of these may stand in front of a marker
            at += 1
            continue
        part = stream[at + 4 : at + 2 + length]
        if (0xC0 <= mark <= 0xCF and mark not in _NO_FRAME) or mark == _FRAME_LS:
            if size is not None or length != 11 or len(part) < 9 or part[5] != 1:
                raise ValueError("its frame header is damaged or not that of a grey picture")
            size = int.from_bytes(part[1:3], "big"), int.from_bytes(part[3:5], "big")
        if mark == _SCAN:
            if size is None or length != 8 or part[:1] != b"\x01":
                raise ValueError("its scan header is damaged or not that of a grey picture")
            return size
        at += 2 + length
    raise ValueError("it has no scan")


def jpeg2000_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG 2000 codestream claims (SIZ, T.800 A.5.1); None for others."""
    if stream[:4] != b"\xff\x4f\xff\x51" or len(stream) < 24:
        return None
    right, bottom, left, top = (
        int.from_bytes(stream[at : at + 4], "big") for at in (8, 12, 16, 20)
    )
    return bottom - top, right - left
