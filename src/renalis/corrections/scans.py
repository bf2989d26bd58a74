"""Find the scan that a result was made from, which may have been moved since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from renalis.corrections.results import Result
from renalis.errors import InputError
from renalis.io import Scan, ScanSource, inventory, read_scan
from renalis.io.read_labels import read_label_map
from renalis.io.scan import shown

__all__ = ["find_source", "read_case_scan"]

TOLERANCE_MM = 0.01
"""Between the places of a scan's voxels and those of its label map, which stores them as floats."""


def read_case_scan(result: Result, places: Sequence[Path] = ()) -> Scan:
    """The scan that a result was made from, on the grid of its label map.

    Parameters
    ----------
    result : Result
        The case.
    places : sequence of Path
        Where to look besides the place that ``provenance.json`` names relative to the case's
        folder: scans, or folders of scans, as ``renalis segment`` takes them.

    Returns
    -------
    Scan
        HU as int16, its affine that of the scan's file.

    Raises
    ------
    InputError
        If it is not there any more, cannot be read, or is another scan: a sentence for the reader.
    """
    source = find_source(result, places)
    series = _facts(result).get("series") or {}
    number = str(series.get("number") or "") or None
    scan = read_scan(source, number if source.kind == "dicom" else None)
    if not read_label_map(result.labels, placed=False).same_grid(scan.volume, TOLERANCE_MM):
        raise InputError(
            f"{shown(source.path)} is not the scan that {result.name} was made from (its grid is "
            "another one); name the right one with --scans"
        )
    return scan


def find_source(result: Result, places: Sequence[Path] = ()) -> ScanSource:
    """Where a result's scan lies now.

    Raises
    ------
    InputError
        If it is nowhere to be found.
    """
    for place in _candidates(result, places):
        if place.exists():
            source = _among(result, place)
            if source is not None:
                return source
    known = str(result.made.get("scan") or _facts(result).get("input") or "")
    where = f" (it was {shown(known)})" if known else ""
    raise InputError(
        f"the scan of {result.name} is no longer where it was{where}; "
        "name the scan, or a folder that holds it, with --scans"
    )


def _candidates(result: Result, places: Sequence[Path]) -> Iterator[Path]:
    """Where to look, the likeliest first."""
    yield from places
    recorded = result.made.get("scan")
    if recorded:
        yield result.folder / str(recorded)
    # Results of versions that did not keep the way to the scan: beside them, or where we are.
    place = str(_facts(result).get("input") or "")
    if place and not Path(place).is_absolute() and ".." not in Path(place).parts:
        folder = result.folder.absolute()
        for above in (folder.parent.parent, folder.parent, Path.cwd()):
            yield above / place


def _among(result: Result, place: Path) -> ScanSource | None:
    """The result's scan among those that lie in a place; None if it is not one of them."""
    facts = _facts(result)
    for anonymous in (False, True):  # cases may have been named after hashes
        scans = [s for s in inventory([place], anonymous).scans if s.kind != "unreadable"]
        uid = (facts.get("series") or {}).get("uid")
        same = [s for s in scans if uid and uid in _uids(s)]
        same = same or [s for s in scans if s.case_id == result.name]
        if not same and not anonymous and not place.is_dir():
            same = scans
        if not same and not anonymous:
            same = [s for s in scans if s.place and s.place == facts.get("input")]
        if same:
            return same[0]
    return None


def _uids(source: ScanSource) -> set[str]:
    return {s.uid for s in (source.series, *source.others) if s is not None}


def _facts(result: Result) -> Mapping[str, Any]:
    """What ``provenance.json`` says about the scan."""
    facts = result.made.get("source")
    return facts if isinstance(facts, Mapping) else {}
