"""Find scans and read them, whatever they are stored as."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from renalis.errors import InputError
from renalis.io.nifti import read_nifti
from renalis.io.scan import Scan, ScanSource, case_id_from, distinct, shown

__all__ = ["find_scans", "read_scan"]


def read_scan(path: str | os.PathLike[str] | ScanSource, series: str | None = None) -> Scan:
    """Read a scan."""
    source = path if isinstance(path, ScanSource) else find_scans([path])[0]
    if source.kind == "nifti":
        return read_nifti(source)
    raise InputError(source.problem or f"{shown(source.path)} cannot be read")


def find_scans(inputs: Iterable[str | os.PathLike[str]]) -> list[ScanSource]:
    """List the scans."""
    paths = [Path(p) for p in inputs]
    ids = distinct([case_id_from(p.name) for p in paths], [p.absolute().parent.name for p in paths])
    return [ScanSource(i, p, "nifti") for i, p in zip(ids, paths, strict=True)]
