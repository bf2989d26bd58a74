"""Corrected cases as a dataset to learn from: scans and label maps of the newest versions."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from renalis.conventions import Convention
from renalis.corrections.history import MODEL, Version, labels_of, newest
from renalis.corrections.results import Result, find_results
from renalis.corrections.scans import read_case_scan
from renalis.dataset.atomic_folder import new_folder, put_in_place
from renalis.disk_failures import check_not_gone
from renalis.errors import InputError, OutputError
from renalis.io import write_text, write_volume
from renalis.io.scan import shown

__all__ = ["collect_corrected"]

_TABLE = "cases.csv"
_COLUMNS = ("case", "patient", "convention", "version", "who", "when", "series")


def collect_corrected(
    outputs: Sequence[Path],
    folder: Path,
    places: Sequence[Path] = (),
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> tuple[str, ...]:
    """Write ``images/``, ``labels/`` and ``cases.csv`` of all corrected cases.

    Scans are copied as NIfTI on their own grid, so that nothing depends on where they lay or on
    which series of a study was segmented; ``cases.csv`` says whose they are (a hash of the
    PatientID, where there is one) and that the labels are KiTS23's.

    Parameters
    ----------
    outputs : sequence of Path
        Output folders of ``renalis segment``; cases without corrections are left out.
    folder : Path
        The dataset; must not exist yet, or be empty. It appears whole or not at all.
    places : sequence of Path
        See `renalis.corrections.scans.read_case_scan`.
    progress : callable
        Called after each case with how many are done and how many there are.

    Raises
    ------
    InputError
        If nothing was corrected, two cases have the same name, or a scan is not there any more.
    OutputError
        If the folder exists already or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{shown(folder)} is there already; choose another -o")
    cases = _corrected(outputs)
    rows = []
    with new_folder(folder) as part:
        for number, (result, version) in enumerate(cases, start=1):
            rows.append(_write(part, result, version, places))
            progress(number, len(cases))
        table = io.StringIO()
        writer = csv.DictWriter(table, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(part / _TABLE, table.getvalue())
        put_in_place(part, folder, (), _TABLE)
    return tuple(result.name for result, _ in cases)


def _corrected(outputs: Sequence[Path]) -> list[tuple[Result, Version]]:
    """The corrected cases with their newest versions, each name once."""
    pairs = [(one, newest(one)) for output in outputs for one in find_results(output)]
    cases = [(result, version) for result, version in pairs if version.name != MODEL]
    if not cases:
        names = ", ".join(shown(output) for output in outputs)
        raise InputError(f"no case in {names} was corrected; renalis view saves corrections")
    seen: dict[str, Path] = {}
    for result, _ in cases:
        if result.name.casefold() in seen:
            raise InputError(
                f"{shown(seen[result.name.casefold()])} and {shown(result.folder)} have the same "
                "name; collect them one folder at a time"
            )
        seen[result.name.casefold()] = result.folder
    return cases


def _write(part: Path, result: Result, version: Version, places: Sequence[Path]) -> dict[str, str]:
    """Scan and labels of one case; returns its row."""
    scan = read_case_scan(result, places)
    # Both headers come from the same affine: their grids are equal bit by bit.
    for name, volume in (("images", scan.volume), ("labels", labels_of(version, scan))):
        check_not_gone(part)
        write_volume(part / name / f"{result.name}.nii.gz", volume)
    owner = scan.source.owner
    return {
        "case": result.name,
        "patient": f"patient-{owner}" if owner else result.name,
        "convention": Convention.KITS23.value,
        "version": version.name,
        "who": str(version.record.get("who", "")),
        "when": str(version.record.get("when", "")),
        "series": scan.source.series_number,
    }
