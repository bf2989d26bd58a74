"""Changes of bytes whose meaning is not looked at."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from random import Random

__all__ = ["ODD_FLOATS", "ODD_INTEGERS", "ODD_TEXTS", "changed_bytes"]

ODD_INTEGERS = (
    0, 1, -1, 2, 7, 127, 128, 255, 256, 32767, -32768, 65535, 65536, 2**31 - 1, -(2**31),
    2**32 - 1, 2**32, 2**53, 2**63 - 1, -(2**63), 2**64 - 1,
)  # fmt: skip
ODD_FLOATS = (
    0.0, -0.0, 1.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e-45, 1e-30, 1e30, 3.4e38,
    1.7e308, 1e-308, 0.1, 2**31 + 0.0, 2**53 + 0.0, -1e9,
)  # fmt: skip
ODD_TEXTS = (
    "", " ", "\0", "nan", "inf", "-inf", "1e309", "1,5", "0", "-1", "1\\2\\3", "\\", "a" * 5000,
    "../../etc/passwd", "/etc/passwd", "C:\\x", "%s%n", "'; DROP TABLE job; --", "${HOME}", "`id`",
    "\u202egpj", "ünï", "\ud7ff", "{{7*7}}", "<script>alert(1)</script>", "1" * 400, "\n\n",
    "9" * 20,
)  # fmt: skip


def _bits(data: bytearray, rng: Random) -> str:
    count = rng.choice((1, 1, 2, 4, 16, 64))
    for _ in range(count):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return f"{count} bits"


def _bytes(data: bytearray, rng: Random) -> str:
    for _ in range(rng.choice((1, 1, 4, 32))):
        data[rng.randrange(len(data))] = rng.choice((0, 255, 127, 128, 32, rng.randrange(256)))
    return "bytes"


def _number(data: bytearray, rng: Random) -> str:
    size, code = rng.choice(((1, "b"), (2, "h"), (4, "i"), (8, "q")))
    order = rng.choice("<>")
    value = rng.choice(ODD_INTEGERS) & ((1 << 8 * size) - 1)
    at = rng.randrange(max(1, len(data) - size))
    data[at : at + size] = struct.pack(order + code.upper(), value)
    return f"a {size}-byte number"


def _float(data: bytearray, rng: Random) -> str:
    code = rng.choice("fd")
    value = rng.choice(ODD_FLOATS)
    if code == "f":
        value = max(min(value, 3.4e38), -3.4e38) if not math.isnan(value) else value
    packed = struct.pack(rng.choice("<>") + code, value)
    at = rng.randrange(max(1, len(data) - len(packed)))
    data[at : at + len(packed)] = packed
    return "a float"


def _cut(data: bytearray, rng: Random) -> str:
    del data[rng.randrange(len(data)) :]
    return "cut short"


def _piece(data: bytearray, rng: Random) -> tuple[int, int]:
    at = rng.randrange(len(data))
    return at, min(len(data), at + rng.choice((1, 2, 4, 16, 100, 1000)))


def _removed(data: bytearray, rng: Random) -> str:
    start, end = _piece(data, rng)
    del data[start:end]
    return "a piece removed"


def _repeated(data: bytearray, rng: Random) -> str:
    start, end = _piece(data, rng)
    data[start:start] = bytes(data[start:end]) * rng.choice((1, 2, 50))
    return "a piece repeated"


def _inserted(data: bytearray, rng: Random) -> str:
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.choice((1, 2, 8, 64, 4096)))
    return "bytes inserted"


def _blank(data: bytearray, rng: Random) -> str:
    start, end = _piece(data, rng)
    data[start:end] = bytes([rng.choice((0, 255))]) * (end - start)
    return "a piece blank"


def _moved(data: bytearray, rng: Random) -> str:
    start, end = _piece(data, rng)
    piece = bytes(data[start:end])
    del data[start:end]
    at = rng.randrange(len(data) + 1)
    data[at:at] = piece
    return "a piece moved"


_CHANGES: tuple[Callable[[bytearray, Random], str], ...] = (
    _bits, _bytes, _number, _number, _float, _cut, _removed, _repeated, _inserted, _blank, _moved,
)  # fmt: skip


def changed_bytes(data: bytes, rng: Random, early: int = 0) -> tuple[bytes, list[str]]:
    """One to four changes.

    Parameters
    ----------
    data : bytes
        What is changed.
    rng : Random
        Decides how.
    early : int
        Bytes at the beginning that half of all changes stay within, such as a header.
    """
    words = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not data:
            break
        split = early if early and rng.random() < 0.5 else len(data)
        head = bytearray(data[:split])
        words.append(rng.choice(_CHANGES)(head, rng))
        data = bytes(head) + data[split:]
    return data, words
