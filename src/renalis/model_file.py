"""The bytes of a model file: safetensors, read without its library so that damage is a sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.model_header import ModelHeader, SystemHeader

__all__ = ["HEADER_KEY", "read_entries", "read_tensors", "write_tensors"]

HEADER_KEY = "renalis"
"""Of the header's metadata, where the model's own header is."""

_MOST_HEADER_BYTES = 8 << 20
_MOST_FILE_BYTES = 4 << 30
_DTYPES: dict[str, type[np.generic]] = {"F16": np.float16, "F32": np.float32, "I64": np.int64}


def read_entries(path: Path) -> tuple[dict[str, Any], int]:
    """The safetensors header (length, then JSON) and where the tensors begin.

    Raises
    ------
    InputError
        If the file cannot be read or is no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _MOST_HEADER_BYTES) or size > _MOST_FILE_BYTES:
                raise ValueError("its size is impossible")
            entries = json.loads(file.read(length))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is no model file of renalis; give a .safetensors model"
        ) from error
    if not isinstance(entries, dict):
        raise InputError(f"{path} is no model file of renalis; give a .safetensors model")
    return entries, 8 + length


def read_tensors(
    path: Path, entries: dict[str, Any], start: int, sha256: str
) -> dict[str, NDArray[Any]]:
    """All tensors, after comparing their checksum.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    data = path.read_bytes()[start:]
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path} is damaged (its checksum differs); get the model file again")
    return {
        name: _tensor(path, name, entry, data)
        for name, entry in entries.items()
        if name != "__metadata__"
    }


def _tensor(path: Path, name: str, entry: Any, data: bytes) -> NDArray[Any]:
    """One array, after checking that its entry makes sense."""
    try:
        first, last = (int(n) for n in entry["data_offsets"])
        shape = tuple(int(n) for n in entry["shape"])
        dtype = np.dtype(_DTYPES[entry["dtype"]]).newbyteorder("<")
        if not 0 <= first <= last <= len(data) or min(shape, default=0) < 0:
            raise ValueError("impossible offsets")
        array = np.frombuffer(data[first:last], dtype).reshape(shape)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} has a damaged entry for {name[:60]!r}; get the model file again"
        ) from error
    if not np.isfinite(array).all():
        raise InputError(f"{path} holds weights that are not finite; get the model file again")
    return array


def write_tensors(
    path: Path, header: ModelHeader | SystemHeader, tensors: Mapping[str, NDArray[Any]]
) -> Path:
    """Write a safetensors file, whole or not at all; the header gets the checksum of its tensors.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from renalis.io import whole_file

    kinds = {np.dtype(kind).newbyteorder("<"): name for name, kind in _DTYPES.items()}
    layout: dict[str, Any] = {}
    digest, offset = hashlib.sha256(), 0
    for name, array in tensors.items():
        ends = [offset, offset + array.nbytes]
        kind = kinds[array.dtype.newbyteorder("<")]
        layout[name] = {"dtype": kind, "shape": array.shape, "data_offsets": ends}
        digest.update(array.tobytes())
        offset += array.nbytes
    full = header.model_copy(update={"sha256": digest.hexdigest()})
    layout["__metadata__"] = {HEADER_KEY: full.model_dump_json()}
    text = json.dumps(layout).encode()
    text += b" " * (-len(text) % 8)
    with whole_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(array.tobytes())
    return path
