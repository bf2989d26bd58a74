"""The headers of JPEG 2000 codestreams, also within JP2 files."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["jpeg2000_size"]

_START = b"\xff\x4f\xff\x51"  # SOC, and SIZ right after it
_JP2 = bytes.fromhex("0000000c6a5020200d0a870a")
_PALETTES = frozenset({b"pclr", b"cmap"})
"""Boxes that make further components of each value; of others a decoder makes no room."""
_MOST_SIDE = 1 << 16
_TILES, _PIXELS_A_TILE = 64, 1024
"""A decoder makes room for each tile's settings: as many as a picture of its size may need."""
_PIXELS_A_PRECINCT, _LAYERS_OF_PRECINCTS = 128, 1 << 24
"""And for each precinct some 500 bytes, and again for each of its layers."""
_PART, _DATA, _STYLE, _STYLE_OF_ONE = 0xFF90, 0xFF93, 0xFF52, 0xFF53
_MARKERS = frozenset(
    {_STYLE, _STYLE_OF_ONE, 0xFF50, 0xFF55, 0xFF57, 0xFF58, 0xFF59, *range(0xFF5C, 0xFF62)}
    | {0xFF63, 0xFF64, 0xFF74, 0xFF75, 0xFF77, 0xFF78}
)
"""Of headers (T.800 A.2, T.801, T.814). After others OpenJPEG looks for the next that it knows."""


def jpeg2000_size(stream: bytes) -> tuple[int, int]:
    """Rows and columns of a grey JPEG 2000 picture by its size header (SIZ, T.800 A.5.1).

    Parameters
    ----------
    stream : bytes
        A whole frame: a codestream, or a JP2 file as some archives keep it.

    Raises
    ------
    ValueError
        If it does not begin with SIZ, has other than one component, or sizes, offsets, tiles,
        precincts and layers that contradict each other or are more than a CT's.

    Examples
    --------
    >>> jpeg2000_size(bytes.fromhex("ff4fff51 0029 0000 00000180 00000200" + "00" * 8
    ...     + "00000180 00000200" + "00" * 8 + "0001 0f0101"))
    (512, 384)
    """
    at = _codestream(stream) if stream[: len(_JP2)] == _JP2 else 0
    header = stream[at : at + 45]
    if header[:4] != _START or len(header) < 45:
        raise ValueError("it does not begin with the size header of a picture")
    right, bottom, left, top, wide, high, tiles_left, tiles_top = (
        int.from_bytes(header[n : n + 4], "big") for n in range(8, 40, 4)
    )
    if header[4:6] != b"\0\x29" or header[40:42] != b"\0\1" or header[43:45] != b"\1\1":
        raise ValueError("its size header is damaged or not that of a grey picture")
    rows, columns = bottom - top, right - left
    if min(rows, columns) <= 0 or max(right, bottom) >= _MOST_SIDE:
        raise ValueError("its size header leaves its size open or contradicts itself")
    inside = tiles_left <= left < tiles_left + wide and tiles_top <= top < tiles_top + high
    if not inside:
        raise ValueError("its tiles do not cover it")
    tiles = -((tiles_left - right) // wide) * -((tiles_top - bottom) // high)
    if tiles > _TILES + rows * columns // _PIXELS_A_TILE:
        raise ValueError(f"it has {tiles} tiles, more than a picture of its size")
    most_precincts = most_layers = 1
    for mark, part in _segments(stream, at + len(header)):
        if mark in (_STYLE, _STYLE_OF_ONE):
            precincts, layers = _style(mark, part, rows, columns)
            most_precincts = max(most_precincts, precincts)
            most_layers = max(most_layers, layers)
    if (
        most_precincts > _TILES + rows * columns // _PIXELS_A_PRECINCT
        or most_precincts * most_layers > _LAYERS_OF_PRECINCTS
    ):
        raise ValueError(f"its headers have {most_precincts} precincts in {most_layers} layers")
    return rows, columns


def _segments(stream: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Markers and contents after SIZ, in the main header and those of tile-parts (T.800 A.4)."""
    part_at = -1  # of a tile-part
    while len(stream) >= at + 4:
        mark = int.from_bytes(stream[at : at + 2], "big")
        if mark == _DATA and part_at >= 0:
            after = part_at + int.from_bytes(stream[part_at + 6 : part_at + 10], "big")
            if after <= at or int.from_bytes(stream[after : after + 2], "big") != _PART:
                return  # the last one
            at, part_at = after, -1
            continue
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        if mark == _PART and part_at < 0:
            part_at = at
        elif mark not in _MARKERS:
            raise ValueError("it has other headers than a picture's")
        if length < 2:
            raise ValueError("its headers are damaged")
        yield mark, stream[at + 4 : at + 2 + length]
        at += 2 + length


def _style(mark: int, part: bytes, rows: int, columns: int) -> tuple[int, int]:
    """Numbers of precincts and layers of a coding style (COD, COC; T.800 A.6.1, A.6.2)."""
    begin = 5 if mark == _STYLE else 2  # of what both have
    if len(part) < begin + 5:
        raise ValueError("its style header is damaged")
    chosen = part[0 if mark == _STYLE else 1] & 1
    levels = part[begin]
    exponents = part[begin + 5 :] if chosen else b"\xff" * (levels + 1)
    if levels > 32 or len(exponents) != levels + 1:
        raise ValueError("its style header is damaged")
    precincts = 0
    for level, exponent in zip(range(levels, -1, -1), exponents, strict=True):
        wide, high = level + (exponent & 15), level + (exponent >> 4)
        precincts += -(-columns >> wide) * -(-rows >> high)
    return precincts, int.from_bytes(part[2:4], "big") if mark == _STYLE else 1


def _codestream(stream: bytes) -> int:
    """Where the codestream begins in a JP2 file (T.800 I.4)."""
    at = 0
    while True:
        kind, begin, end = _box(stream, at)
        if kind == b"jp2c":
            return begin
        # Those within the header; decoders read them outside of it as well.
        at = begin if kind == b"jp2h" else end
        if kind in _PALETTES:
            raise ValueError("it has a palette, which no grey picture has")


def _box(stream: bytes, at: int) -> tuple[bytes, int, int]:
    """Kind, begin and end of a box's content (T.800 I.4)."""
    length, kind = int.from_bytes(stream[at : at + 4], "big"), stream[at + 4 : at + 8]
    if kind == b"jp2c":
        return kind, at + (16 if length == 1 else 8), len(stream)
    if not 8 <= length <= len(stream) - at:
        raise ValueError("its boxes are damaged")
    return kind, at + 8, at + length
