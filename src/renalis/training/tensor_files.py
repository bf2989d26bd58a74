"""Files of tensors: safetensors with a checksum of all that they hold, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from renalis.errors import InputError
from renalis.io import whole_file
from renalis.io.scan import shown

__all__ = ["DamagedError", "previous", "read_tensor_file", "write_tensor_file"]

_SUM = "sha256"
_BROKEN = (SafetensorError, ValueError, TypeError, AttributeError, KeyError, RecursionError)
"""What damaged headers lead to, the last of JSON that is nested without end."""


class DamagedError(InputError):
    """A file is not what was written."""


def previous(path: Path) -> Path:
    """Where the file is kept that was at this path before the last one was written."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def write_tensor_file(
    path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str], keep: bool = False
) -> None:
    """Write tensors, texts, and the checksum of both.

    Parameters
    ----------
    path : Path
        Of the file.
    tensors : mapping of str to Tensor
        By name.
    header : mapping of str to str
        Texts by name.
    keep : bool
        Keep the file that is there as `previous`. Killed at the wrong moment, only that one is
        there.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    # A weight under two names (a block that is used twice) is written twice: the format has no
    # way to say that they are one.
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    entries, data = _parts(to_bytes(whole, dict(header)))
    entries["__metadata__"][_SUM] = _checksum(entries, data)
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with whole_file(path) as file:
        for part in (len(text).to_bytes(8, "little"), text, data):
            file.write(part)
        if keep:
            _set_aside(path, file)


def _set_aside(path: Path, file: BinaryIO) -> None:
    """Make the file at a path its previous one, once the new one is safely on the disk."""
    file.flush()
    os.fsync(file.fileno())
    if path.exists():
        os.replace(path, previous(path))


def read_tensor_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and texts of a file; of one without a checksum (of an earlier version) as they are.

    Raises
    ------
    InputError
        If it cannot be read.
    DamagedError
        If it is no such file, or its checksum differs.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check the path") from error
    try:
        entries, data = _parts(content)
        texts = {str(k): str(v) for k, v in (entries.get("__metadata__") or {}).items()}
        expected = texts.pop(_SUM, None)
        if expected is not None and _checksum(entries, data) != expected:
            raise DamagedError(f"{path} is damaged (its checksum differs)")
        return from_bytes(content), texts
    except _BROKEN as error:
        raise DamagedError(
            f"{path} cannot be read as a safetensors file: {shown(error)}"
        ) from error


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header, and the bytes that follow it."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= len(content) - 8:
        raise ValueError("its size is impossible")
    entries: dict[str, Any] = json.loads(content[8 : 8 + length])
    return entries, memoryview(content)[8 + length :]


def _checksum(entries: Mapping[str, Any], data: memoryview) -> str:
    """Of everything but the checksum itself."""
    texts = {k: v for k, v in entries.get("__metadata__", {}).items() if k != _SUM}
    header = json.dumps({**entries, "__metadata__": texts}, sort_keys=True)
    digest = hashlib.sha256(header.encode())
    digest.update(data)
    return digest.hexdigest()
