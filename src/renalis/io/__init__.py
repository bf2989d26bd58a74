"""Read scans (NIfTI, MetaImage, NRRD, DICOM, zips) and write label maps, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from renalis.io.scan import Scan, ScanSource, SeriesSummary, SourceSlice

if TYPE_CHECKING:
    from renalis.io.find import Inventory, find_scans, inventory
    from renalis.io.read import read_scan
    from renalis.io.write import whole_file, write_labels, write_text, write_volume

__all__ = [
    "Inventory",
    "Scan",
    "ScanSource",
    "SeriesSummary",
    "SourceSlice",
    "find_scans",
    "inventory",
    "read_scan",
    "whole_file",
    "write_labels",
    "write_text",
    "write_volume",
]


def __getattr__(name: str) -> object:
    """Import readers and writers, and with them nibabel and pydicom, when first asked for."""
    if name == "read_scan":
        from renalis.io.read import read_scan

        return read_scan
    if name in ("Inventory", "find_scans", "inventory"):
        from renalis.io import find

        return getattr(find, name)
    if name in ("write_labels", "write_text", "write_volume", "whole_file"):
        from renalis.io import write

        return getattr(write, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
