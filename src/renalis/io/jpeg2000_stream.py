"""The size header of JPEG 2000 codestreams, also within JP2 files."""

from __future__ import annotations

__all__ = ["jpeg2000_size"]

_START = b"\xff\x4f\xff\x51"  # SOC, and SIZ right after it
_JP2 = bytes.fromhex("0000000c6a5020200d0a870a")
_PALETTES = frozenset({b"pclr", b"cmap"})
"""Boxes that make further components of each value; of others a decoder makes no room."""
_MOST_SIDE = 1 << 16
_TILES, _PIXELS_A_TILE = 64, 1024
"""A decoder makes room for each tile's settings: as many as a picture of its size may need."""


def jpeg2000_size(stream: bytes) -> tuple[int, int]:
    """Rows and columns of a grey JPEG 2000 picture by its size header (SIZ, T.800 A.5.1).

    Parameters
    ----------
    stream : bytes
        A whole frame: a codestream, or a JP2 file as some archives keep it.

    Raises
    ------
    ValueError
        If it does not begin with SIZ, has other than one component, or sizes, offsets and tiles
        that contradict each other or are more than a CT's.

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
    return rows, columns


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
