"""How computing fails through no fault of the program: memory that runs out, a device that is gone.

Libraries say so in types and words of their own.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import TypeVar

from renalis.errors import RenalisError

__all__ = [
    "DeviceLostError",
    "device_lost",
    "free_memory",
    "is_device_lost",
    "is_out_of_memory",
    "trim_heap",
    "with_freed_memory",
]

_NO_MEMORY = (
    "out of memory",
    "not enough memory",
    "allocate memory",
    "failed to allocate",
    "bad_alloc",
    "bad allocation",
)
"""torch on CPU and CUDA, oneDNN, OpenVINO, ONNX Runtime; in lower case."""

_NO_DEVICE = (
    "cuda error",
    "cuda driver",
    "cudnn error",
    "cudnn_status",
    "cublas_status",
    "device-side assert",
    "no cuda gpus are available",
)

Result = TypeVar("Result")


class DeviceLostError(RenalisError):
    """The GPU gave an error that this process cannot recover from."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the processor or of a GPU.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    >>> is_out_of_memory(RuntimeError("shapes differ"))
    False
    """
    if isinstance(error, MemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)


def is_device_lost(error: BaseException) -> bool:
    """Whether a GPU stopped working: reset, switched off, or confused by an earlier error."""
    if not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    said = str(error).lower()
    return any(words in said for words in _NO_DEVICE)


def device_lost(error: BaseException) -> DeviceLostError:
    """The sentence for an error of which `is_device_lost` is true."""
    said = str(error).strip().splitlines()[0]
    return DeviceLostError(f"the GPU stopped working ({said}); run again, or with --device cpu")


def free_memory() -> None:
    """Give back what is freed and still held: by the heap, and by torch on a GPU."""
    gc.collect()
    trim_heap()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def trim_heap() -> None:
    """Give back to the system what is freed and still held by the heap."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


def with_freed_memory(compute: Callable[[], Result]) -> Result:
    """What the function gives; where memory runs out it is called once more after `free_memory`.

    Raises
    ------
    MemoryError
        If it runs out again, whatever type a library has for that.
    """
    try:
        return compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # Outside the handler, whose traceback holds what was allocated so far
    free_memory()
    try:
        return compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).strip().splitlines()
    raise MemoryError(said[0] if said else "")
