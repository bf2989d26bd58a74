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
_START, _SCAN, _FRAME_LS, _TABLES = 0xD8, 0xDA, 0xF7, 0xC4
_OTHERS = frozenset({0xDB, 0xDD, 0xF8, 0xFE, *range(0xE0, 0xF0)})
"""Markers of what a decoder needs or passes over: quantization, restarts, comments."""
_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81))
"""Transfer syntaxes whose frames are JPEG or JPEG-LS."""


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
    _, *parts = generate_fragments(data.PixelData)  # the first is the table of offsets
    heads = [part[: 1 << 16] for part in parts if part]
    whole = len(heads) == int(data.get("NumberOfFrames") or 1)  # a fragment for each frame
    jpeg = data.file_meta.TransferSyntaxUID in _JPEG
    for number, head in enumerate(heads):
        if head.startswith(bytes((0xFF, _START))) or (jpeg and (whole or not number)):
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
    at, size, huffman = 2, None, True
    tables: set[int] = set()
    if stream[:2] != bytes((0xFF, _START)):
        raise ValueError("it does not begin with a marker")
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
            huffman = mark != _FRAME_LS
        elif mark == _TABLES:
            tables |= _tables(part)
        elif mark == _SCAN:
            if size is None or length != 8 or len(part) < 6 or part[0] != 1:
                raise ValueError("its scan header is damaged or not that of a grey picture")
            if huffman and part[2] >> 4 not in tables:
                raise ValueError("its scan header names a table that is not there")
            return size
        elif mark not in _OTHERS:
            raise ValueError("markers that no picture has before its scan header")
        at += 2 + length
    raise ValueError("it has no scan")


def _tables(part: bytes) -> set[int]:
    """Numbers of the tables for differences that a segment defines (T.81 B.2.4.2)."""
    found, at = set(), 0
    while at < len(part):
        kind, number, lengths = part[at] >> 4, part[at] & 15, part[at + 1 : at + 17]
        at += 17 + sum(lengths)
        if kind > 1 or number > 3 or len(lengths) < 16 or sum(lengths) > 256 or at > len(part):
            raise ValueError("its tables are damaged, and so is the frame header or its length")
        if kind == 0:
            found.add(number)
    return found


def jpeg2000_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG 2000 codestream claims (SIZ, T.800 A.5.1); None for others."""
    if stream[:4] != b"\xff\x4f\xff\x51" or len(stream) < 24:
        return None
    right, bottom, left, top = (
        int.from_bytes(stream[at : at + 4], "big") for at in (8, 12, 16, 20)
    )
    return bottom - top, right - left
