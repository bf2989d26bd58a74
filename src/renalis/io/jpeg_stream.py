"""The headers of JPEG and JPEG-LS streams, read as strictly as decoders rely on them."""

from __future__ import annotations

import re

__all__ = ["jpeg_size"]

_START, _SCAN, _FRAME_LS, _TABLES, _PRESETS = 0xD8, 0xDA, 0xF7, 0xC4, 0xF8
_FRAMES = frozenset({0xC0, 0xC1, 0xC3, _FRAME_LS})
"""Frames of DICOM's transfer syntaxes: baseline, extended, lossless, JPEG-LS. No progressive,
hierarchical and arithmetic ones."""
_BITS = range(2, 17)
"""Of a value. GDCM writes beyond its room for more."""
_OTHERS = frozenset({0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})
"""Markers of what a decoder needs or passes over: quantization, restarts, comments."""
_END = 0xD9
_BEHIND_SCAN = frozenset(
    {*range(0xC0, 0xD0), _START, _SCAN, 0xDC, 0xDE, 0xDF, _FRAME_LS, _PRESETS} - {0xC8}
)
"""Markers that begin or change a picture: after the only scan there is none to change."""
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_MARKER_LS = re.compile(rb"\xff([\x80-\xcf\xd8-\xfe])")
"""Within coded data: not stuffed bytes (JPEG-LS: bits), not restarts."""


def jpeg_size(stream: bytes) -> tuple[int, int]:
    """Rows and columns of a grey JPEG or JPEG-LS picture by its frame header (T.81 B.2, T.87 C.2).

    Parameters
    ----------
    stream : bytes
        A whole frame. Any number of bytes FF may stand before a marker.

    Raises
    ------
    ValueError
        If there is not exactly one frame header and then a scan, each of one component, or the
        size is left open or changed by other segments (DNL, LSE).

    Examples
    --------
    >>> jpeg_size(bytes.fromhex("ffd8 fff7000b10 0200 0180 01 011100 ffda0008010100000000"))
    (512, 384)
    """
    size, huffman = None, True
    tables: set[int] = set()
    mark, at = _marker(stream, 0)
    if mark != _START:
        raise ValueError("it does not begin with the marker of a picture")
    while True:
        mark, at = _marker(stream, at)
        length = int.from_bytes(stream[at : at + 2], "big")
        part = stream[at + 2 : at + length]
        if length < 2 or len(part) != length - 2:
            raise ValueError("it has no whole scan header")
        if mark in _FRAMES:
            if size is not None:
                raise ValueError("it has more than one frame header")
            size, huffman = _frame(part), mark != _FRAME_LS
        elif mark == _TABLES:
            tables |= _tables(part)
        elif mark == _SCAN:
            if size is None or len(part) != 6 or part[0] != 1:
                raise ValueError("its scan header is damaged or not that of a grey picture")
            if huffman and part[2] >> 4 not in tables:
                raise ValueError("its scan header names a table that is not there")
            _check_scan(stream, at + length, huffman)
            return size
        elif mark == _PRESETS:
            _check_presets(part)
        elif mark not in _OTHERS:
            raise ValueError("markers that no picture has before its scan header")
        at += length


def _marker(stream: bytes, at: int) -> tuple[int, int]:
    """The marker that begins at a place, and where what follows it begins."""
    begin = at
    while stream[at : at + 1] == b"\xff":  # any number of these may stand in front of a marker
        at += 1
    if at == begin or at == len(stream):
        raise ValueError("bytes between its markers, or no scan header")
    return stream[at], at + 1


def _frame(part: bytes) -> tuple[int, int]:
    """Rows and columns of a frame header (T.81 B.2.2); 0 would leave them to later segments."""
    size = int.from_bytes(part[1:3], "big"), int.from_bytes(part[3:5], "big")
    if len(part) != 9 or part[5] != 1 or part[0] not in _BITS:
        raise ValueError("its frame header is damaged or not that of a grey picture")
    if not all(size):
        raise ValueError("its frame header leaves its size open")
    return size


def _check_presets(part: bytes) -> None:
    """Refuse LSE segments with mapping tables and sizes in place of thresholds (T.87 C.2.4.1)."""
    if len(part) != 11 or part[0] != 1:
        raise ValueError("its LSE header is not that of a grey picture")


def _check_scan(stream: bytes, at: int, huffman: bool) -> None:
    """Refuse headers between a scan and the picture's end."""
    for found in (_MARKER if huffman else _MARKER_LS).finditer(stream, at):
        mark = found[1][0]
        if mark == _END:
            return
        if mark in _BEHIND_SCAN:
            raise ValueError("it has another header after its scan")


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
