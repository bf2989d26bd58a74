"""Prepared cases on disk, found by what they were made from.

A case is a folder named after a hash of its scan, its labels and its grids, so a changed label, a
changed recipe or a changed program (`FORMAT`) never meets old arrays. The folder appears under its
name when it is complete: two processes may prepare the same case at once, the slower one then uses
the folder of the faster. Arrays are plain ``.npy`` files, read as memory maps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from renalis.errors import DamageWarning, InputError, OutputError
from renalis.preparation.cache_limit import INDEX, CacheUse, make_room, take_away
from renalis.preparation.grids import GridSpec
from renalis.preparation.prepared import PreparedCase, PreparedGrid, prepare_case
from renalis.volume import Volume

__all__ = ["FORMAT", "cached_case", "file_hash", "open_prepared"]

FORMAT = 1
"""Raised whenever the same scan and grids would be prepared otherwise."""

_STALE_S = 24 * 3600
_DTYPES = {"image": "int16", "label": "uint8", "weights": "float16"}


def file_hash(paths: Sequence[str | os.PathLike[str]]) -> str:
    """Hash of files' bytes, of folders' files in order of their names.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in map(Path, paths):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            try:
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError as error:
                raise InputError(f"cannot read {file}: {error.strerror}") from error
        digest.update(f"{len(files)} files".encode())
    return digest.hexdigest()


def cached_case(
    cache: str | os.PathLike[str],
    content: str,
    load: Callable[[], tuple[Volume, Volume | None]],
    grids: Sequence[GridSpec],
    case_id: str = "this case",
    use: CacheUse | None = None,
) -> PreparedCase:
    """A prepared case from the cache, prepared first if it is not there.

    Parameters
    ----------
    cache : path-like
        Folder of prepared cases; made if missing.
    content : str
        What tells the case from others: `file_hash` of the scan's and the labels' files.
    load : callable
        Reads scan and labels; called only when the case has to be prepared.
    grids : sequence of GridSpec
        As in `renalis.preparation.prepare_case`.
    case_id : str
        For messages; not stored.
    use : CacheUse, optional
        Of all cases that are opened together; keeps them from being removed, see
        `renalis.preparation.cache_limit`.

    Returns
    -------
    PreparedCase
        Arrays are read-only memory maps.

    Raises
    ------
    InputError
        If scan and labels do not fit.
    OutputError
        If the cache cannot be written, or is gone in the middle.

    Warns
    -----
    DamageWarning
        If the case was there and its files are not what was written; it is prepared again.
    """
    root = Path(cache)
    folder = root / _key(content, grids)
    use = use or CacheUse(root)
    use.add(folder.name)
    if (folder / INDEX).is_file() and (damage := _damage(folder)):
        warnings.warn(
            f"the prepared case in {folder} is damaged ({damage}); it is prepared again",
            DamageWarning,
            stacklevel=2,
        )
        take_away(folder)
    if not (folder / INDEX).is_file():
        image, label = load()
        case = prepare_case(image, label, grids, case_id)
        use.check_there()
        _store(folder, case)
    return open_prepared(folder, grids, use)


def _damage(folder: Path) -> str:
    """What is wrong with a prepared case, by the checksums in its index; nothing: empty.

    A case that an earlier version prepared has none.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        for name, entry in index.items():
            for kind, expected in entry.get("crc32", {}).items():
                file = folder / f"{name}-{kind}.npy"
                if _checksum(file) != expected:
                    return f"the checksum of {file.name} differs"
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return str(error)
    return ""


def _checksum(file: Path) -> int:
    """CRC-32, which costs little: all of a cache is read when a training begins."""
    total = 0
    with file.open("rb") as stream:
        while part := stream.read(1 << 24):
            total = isal_zlib.crc32(part, total)
    return total


def _key(content: str, grids: Sequence[GridSpec]) -> str:
    made = json.dumps([FORMAT, content, [spec.stored() for spec in grids]], sort_keys=True)
    return hashlib.sha256(made.encode()).hexdigest()[:32]


def open_prepared(
    folder: str | os.PathLike[str], grids: Sequence[GridSpec], use: CacheUse | None = None
) -> PreparedCase:
    """Open a prepared case.

    Parameters
    ----------
    folder : path-like
        The case's folder in the cache.
    grids : sequence of GridSpec
        Grids to open; their intensities (``sub``, ``div``) may differ from when it was stored.
    use : CacheUse, optional
        Kept with the arrays.

    Raises
    ------
    InputError
        If the folder holds no such grid or an array is damaged.
    """
    path = Path(folder)
    try:
        index = json.loads((path / INDEX).read_text(encoding="utf-8"))
        return PreparedCase({spec.name: _open(path, index[spec.name], spec, use) for spec in grids})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the prepared case in {path} is damaged or of other grids ({error}); delete the "
            "folder, it will be prepared again"
        ) from error


def _open(
    folder: Path, entry: dict[str, Any], spec: GridSpec, use: CacheUse | None
) -> PreparedGrid:
    arrays: dict[str, NDArray[Any] | None] = dict.fromkeys(_DTYPES)
    for kind in entry["arrays"]:
        array = np.load(folder / f"{spec.name}-{kind}.npy", mmap_mode="r", allow_pickle=False)
        if list(array.shape) != entry["shape"] or array.dtype != _DTYPES[kind]:
            raise ValueError(f"{spec.name}-{kind}.npy is not what {INDEX} says")
        arrays[kind] = array
    image = arrays["image"]
    if image is None:
        raise ValueError(f"grid {spec.name} has no image")
    slices = entry["slice_labels"]
    return _MappedGrid(
        spec,
        image,
        arrays["label"],
        arrays["weights"],
        None if slices is None else np.array(slices, np.uint32),
        np.array(entry["affine"]),
        folder,
        use,
    )


@dataclass(frozen=True, eq=False)
class _MappedGrid(PreparedGrid):
    """A grid whose arrays are memory maps; sent to another process as the folder's name only."""

    folder: Path
    use: CacheUse | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (str(self.folder), self.spec)


def _reopened(folder: str, spec: GridSpec) -> PreparedGrid:
    return open_prepared(folder, (spec,)).grid(spec.name)


def _store(folder: Path, case: PreparedCase) -> None:
    """Write a case's folder; leave it to whoever was faster."""
    part = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.part"
    try:
        part.mkdir(parents=True)
        _forget_stale_parts(folder.parent)
        make_room(
            folder.parent,
            sum(array.nbytes for grid in case.grids.values() for array in _present(grid).values()),
        )
        index = {}
        for name, grid in case.grids.items():
            present = _present(grid)
            for kind, array in present.items():
                _save(part / f"{name}-{kind}.npy", array)
            index[name] = {
                "shape": list(grid.shape),
                "affine": grid.affine.tolist(),
                "slice_labels": None if grid.slice_labels is None else grid.slice_labels.tolist(),
                "arrays": sorted(present),
                "crc32": {kind: _checksum(part / f"{name}-{kind}.npy") for kind in present},
            }
        with (part / INDEX).open("w", encoding="utf-8") as file:
            json.dump(index, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        try:
            part.rename(folder)
        except OSError:
            if not (folder / INDEX).is_file():
                raise
    except OSError as error:
        raise OutputError(
            f"cannot write the prepared case to {folder.parent}: {error.strerror}; free some space "
            "or choose another cache folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _present(grid: PreparedGrid) -> dict[str, NDArray[Any]]:
    arrays = {"image": grid.image, "label": grid.label, "weights": grid.weights}
    return {kind: array for kind, array in arrays.items() if array is not None}


def _save(path: Path, array: NDArray[Any]) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _forget_stale_parts(root: Path) -> None:
    """Remove what killed processes left a day ago; younger parts may be somebody's work."""
    for part in root.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _STALE_S:
                shutil.rmtree(part, ignore_errors=True)
