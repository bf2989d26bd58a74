"""The cases that a viewer shows, by names that it made itself: no path comes from the page."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from renalis.corrections import Result, find_results, labels_of, newest, read_case_scan
from renalis.corrections.history import this_user, version_named
from renalis.errors import InputError
from renalis.evaluation.grids import Grid, on_grid_of
from renalis.evaluation.label_files import find_label_maps
from renalis.evaluation.names import case_key
from renalis.io import Scan
from renalis.io.read_labels import read_label_map
from renalis.io.scan import shown
from renalis.pipeline.folder import LABELS
from renalis.volume import Kind, Volume

__all__ = ["COMPARED", "REFERENCE", "Cases"]

REFERENCE, COMPARED = "reference", "compared"
"""Names of the label maps besides a case's own versions."""


@dataclass(eq=False)
class _LastScan:
    """The scan that was asked for last, so that one case is read once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    name: str = ""
    scan: Scan | None = None


@dataclass(frozen=True, eq=False)
class Cases:
    """Results, their scans, and what they are compared with.

    Attributes
    ----------
    results : tuple of Result
        In the order of the list.
    places : tuple of Path
        Where scans are looked for besides their recorded places.
    references : tuple of Path
        Label maps to compare with, of the cases that their names tell; a single one is of the
        single case.
    compared : tuple of Result
        Results of another run, of the cases of the same names.
    who : str
        Whose corrections these are, unless the page says otherwise.
    """

    results: tuple[Result, ...]
    places: tuple[Path, ...] = ()
    references: tuple[Path, ...] = ()
    compared: tuple[Result, ...] = ()
    who: str = ""
    _last: _LastScan = field(default_factory=_LastScan, repr=False)

    @classmethod
    def of(
        cls,
        output: Path,
        *,
        scans: Sequence[Path] = (),
        reference: Path | None = None,
        compare: Path | None = None,
        who: str = "",
    ) -> Cases:
        """The cases of an output folder.

        Raises
        ------
        InputError
            If a folder holds no results or label maps, or a scan's place does not exist.
        """
        for place in scans:
            if not place.exists():
                raise InputError(f"{shown(place)} does not exist; check the path after --scans")
        references = [file.path for file in find_label_maps(reference)] if reference else []
        compared = find_results(compare) if compare else ()
        results = find_results(output)
        return cls(results, tuple(scans), tuple(references), compared, who or this_user())

    def named(self, name: str) -> Result:
        """The case of that name; InputError if there is none."""
        for result in self.results:
            if result.name == name:
                return result
        raise InputError(f"there is no case {shown(name)!r}")

    def scan(self, result: Result) -> Scan:
        """A case's scan; that of the last case is kept in memory.

        Raises
        ------
        InputError
            If it cannot be found or read.
        """
        with self._last.lock:
            if self._last.name != result.name or self._last.scan is None:
                self._last.scan = None  # before the next one takes its memory
                self._last.scan = read_case_scan(result, self.places)
                self._last.name = result.name
            return self._last.scan

    def others(self, result: Result) -> tuple[str, ...]:
        """Which of `REFERENCE` and `COMPARED` there are for a case."""
        found = {REFERENCE: self._reference(result), COMPARED: self._compared(result)}
        return tuple(name for name, one in found.items() if one is not None)

    def labels(self, result: Result, version: str) -> Volume:
        """A version, reference or other result of a case on its scan's grid, KiTS23 labels.

        Raises
        ------
        InputError
            If there is none, it cannot be read, lies on another grid or holds other labels.
        """
        scan = self.scan(result)
        if version == REFERENCE:
            return _placed(self._reference(result), scan, result)
        if version == COMPARED:
            other = self._compared(result)
            path = newest(other).folder / LABELS if other is not None else None
            return _placed(path, scan, result)
        return labels_of(version_named(result, version), scan)

    def _reference(self, result: Result) -> Path | None:
        if len(self.references) == len(self.results) == 1:
            return self.references[0]
        own = case_key(result.name)
        found = [path for path in self.references if own in _keys(path)]
        return found[0] if len(found) == 1 else None

    def _compared(self, result: Result) -> Result | None:
        if len(self.compared) == len(self.results) == 1:
            return self.compared[0]
        return next((one for one in self.compared if one.name == result.name), None)


def _keys(path: Path) -> set[str]:
    """Which cases a label map's name, or that of its folder, may tell."""
    return {case_key(name.split(".")[0]) for name in (path.name, path.parent.name)}


def _placed(path: Path | None, scan: Scan, result: Result) -> Volume:
    """A label map from elsewhere on a scan's grid; nothing is resampled."""
    if path is None:
        raise InputError(f"there is nothing to compare {result.name} with")
    array, _ = on_grid_of(scan.volume, read_label_map(path), Grid.SAME)
    if array.size and int(array.max()) > 3:
        raise InputError(f"{shown(path)} holds other labels than 0 to 3 of KiTS23")
    return scan.volume.like(np.asarray(array, np.uint8), Kind.LABELS)
