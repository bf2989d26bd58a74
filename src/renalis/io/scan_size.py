"""Whether the size that a file's header gives is that of one 3D scan."""

from __future__ import annotations

import math
from collections.abc import Sequence

from renalis.errors import InputError

__all__ = ["MOST_UNPACKED", "MOST_VOXELS", "scan_size", "times"]

MOST_UNPACKED = 1040
"""Bytes that one byte can unpack to: deflate packs about 1032 : 1 (RFC 1951: 258 per two bits)."""

MOST_VOXELS = 1 << 31


def scan_size(sizes: Sequence[int], name: str) -> tuple[int, int, int]:
    """The three axes; further axes are accepted when they have length one.

    Raises
    ------
    InputError
        If it is no single 3D scan; the sentence begins with ``name``.
    """
    if any(n > 1 for n in sizes[3:]):
        raise InputError(
            f"{name} has {len(sizes)} axes ({times(sizes)}); "
            "renalis reads one 3D scan per file, so split it"
        )
    if len(sizes) < 3 or min(sizes[:3]) < 2:
        raise InputError(
            f"{name} is a single slice ({times(sizes)}); give the whole 3D scan instead"
        )
    if math.prod(sizes[:3]) > MOST_VOXELS:
        raise InputError(
            f"{name} claims {times(sizes)} voxels, more than a CT scan can have; "
            "check the file or export the scan again"
        )
    return sizes[0], sizes[1], sizes[2]


def times(sizes: Sequence[int]) -> str:
    """A size in words.

    >>> times((512, 512, 90))
    '512 × 512 × 90'
    """
    return " × ".join(str(n) for n in sizes)
