"""Keep freed memory in the process instead of giving it back after each layer.

A network allocates and frees the same large blocks for every window. glibc returns blocks above
128 KB to the system at once and gets them back page by page, which costs more than a third of the
time of a small network on some machines.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD = -1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_MMAP_THRESHOLD = -3


def keep_freed_memory(block_mb: int = 256, kept_mb: int = 1024) -> bool:
    """Tell glibc to keep freed blocks; does nothing with another C library.

    Parameters
    ----------
    block_mb : int
        Blocks up to this size come from the heap. Larger ones (whole scans) are still returned to
        the system as soon as they are freed.
    kept_mb : int
        Most free memory to keep.

    Returns
    -------
    bool
        Whether it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  only glibc has it
        set_option = library.mallopt
    except (OSError, AttributeError):
        return False
    set_option.argtypes, set_option.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    kept = set_option(_MMAP_THRESHOLD, block_mb << 20) and set_option(
        _TRIM_THRESHOLD, kept_mb << 20
    )
    return bool(kept)
