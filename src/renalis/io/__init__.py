"""Read scans (NIfTI, DICOM folder, zip) and write label maps, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from renalis.io.scan import Scan, ScanSource, SeriesSummary, SourceSlice

if TYPE_CHECKING:
    from renalis.io.read import find_scans, read_scan
    from renalis.io.write import whole_file, write_labels, write_volume

__all__ = [
    "Scan",
    "ScanSource",
    "SeriesSummary",
    "SourceSlice",
    "find_scans",
    "read_scan",
    "whole_file",
    "write_labels",
    "write_volume",
]


def __getattr__(name: str) -> object:
    """Import readers and writers, and with them nibabel and pydicom, when first asked for."""
    if name in ("read_scan", "find_scans"):
        from renalis.io import read

        return getattr(read, name)
    if name in ("write_labels", "write_volume", "whole_file"):
        from renalis.io import write

        return getattr(write, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
