"""A case's folder from its labels on: each further file appears alone, and what fails is noted.

The label map comes first, with `renalis.pipeline.saved_prediction.UNFINISHED` next to it.
Measurements, preview and page follow one by one. ``provenance.json`` says at any time which files
there are and which are missing, so that a case that was stopped in between, by an error or by
force, can be taken up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.disk_failures import check_not_gone
from renalis.errors import OutputError, RenalisError
from renalis.io import Scan, write_labels, write_text
from renalis.io.read_labels import read_label_map
from renalis.io.segments.facts import NoStudyError
from renalis.io.straight import STRAIGHT, write_straight
from renalis.measurement import Measurements, measure
from renalis.pipeline.failures import is_internal, names_in, reason, traceback_of
from renalis.pipeline.folder import (
    FAILURE,
    FILES,
    LABELS,
    MEASUREMENTS,
    PREVIEW,
    PROVENANCE,
    REPORT,
    file_sha256,
    half_written,
    missing,
    provenance,
    write_json,
)
from renalis.pipeline.formats import is_output
from renalis.pipeline.origin import columns, origin, way_to
from renalis.pipeline.saved_prediction import UNFINISHED, save_prediction
from renalis.prediction.runtimes.machine import peak_mb
from renalis.systems.segmenter import Clock, Segmented
from renalis.volume import Kind, Volume

if TYPE_CHECKING:
    from renalis.pipeline.outputs import FinishedCase

__all__ = [
    "Ending",
    "begin",
    "check_labels",
    "clear",
    "finish",
    "own_labels",
    "want",
    "write_failure",
]

Finished = Callable[[Scan, Segmented, Measurements], "FinishedCase"]


@dataclass(frozen=True)
class Ending:
    """How the later steps of a case went.

    Attributes
    ----------
    failures : tuple of Exception
        What was raised; empty when the case is finished.
    problem : str
        One sentence about it.
    traceback : str
        See `renalis.pipeline.failures.traceback_of`.
    notes : tuple of str
        What the reader of the result should know.
    row : mapping
        The case's row of the table; empty until it is measured.
    """

    failures: tuple[Exception, ...]
    problem: str
    traceback: str
    notes: tuple[str, ...]
    row: Mapping[str, str]


def begin(
    folder: Path,
    scan: Scan,
    segmented: Segmented,
    key: str,
    later: Sequence[str],
    formats: Sequence[str] = (),
) -> None:
    """Write the labels, and all that the later steps need should they have to be repeated.

    Parameters
    ----------
    folder : Path
        Of the case.
    scan, segmented
        What is written.
    key : str
        See `renalis.pipeline.work.CaseWork.key`.
    later : sequence of str
        Files that `finish` is to make.
    formats : sequence of str
        Further formats that are among them.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    write_labels(folder / LABELS, segmented.labels, scan)
    files = [LABELS, *write_straight(folder, segmented.labels)]
    save_prediction(folder, segmented)
    content = dict(segmented.provenance)
    content |= {
        "key": key,
        "source": origin(scan),
        **way_to(scan, folder),
        "labels_sha256": file_sha256(folder / LABELS),
        "files": files,
        "missing": [*later],
        "formats": [*formats],
        "notes": (*scan.warnings, *segmented.notes),
    }
    write_json(folder / PROVENANCE, content)


def want(
    folder: Path, content: dict[str, Any], later: Sequence[str], formats: Sequence[str]
) -> None:
    """Note that further formats of a case are missing, so that `finish` makes them.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    known = {*content["files"], *content.get("missing", ())}
    content["missing"] = [*content.get("missing", ()), *(n for n in later if n not in known)]
    content["formats"] = sorted({*content.get("formats", ()), *formats})
    write_json(folder / PROVENANCE, content)


def finish(
    folder: Path, scan: Scan, segmented: Segmented, finished: Finished, clock: Clock
) -> Ending:
    """Measure and draw; make those files that are missing.

    Parameters
    ----------
    folder : Path
        Holds what `begin` wrote.
    scan, segmented
        What it was written from.
    finished : callable
        Gathers what further files are made of.
    clock : Clock
        Keeps the steps' times.

    Returns
    -------
    Ending
        Errors do not pass: what was made before stays.
    """
    content = provenance(folder)
    assert content is not None  # `begin` wrote it
    wanted = missing(folder, content)
    failures: list[Exception] = []
    row: dict[str, str] = {}
    try:
        if STRAIGHT in wanted:
            write_straight(folder, segmented.labels)
        with clock.timed("measure"):
            measured = measure(
                scan.volume,
                segmented.labels,
                segmented,
                body=segmented.body,
                spread=segmented.spread,
                fits=segmented.fits,
            )
            check_not_gone(folder)
            if MEASUREMENTS in wanted:
                write_text(folder / MEASUREMENTS, measured.to_json())
        row = measured.csv_row(scan.case_id) | columns(content.get("source") or {})
        content["row"] = row
        _record(folder, content, clock)
        case = finished(scan, segmented, measured)
        if not {PREVIEW, REPORT}.isdisjoint(wanted):
            with clock.timed("report"):
                failures += _draw(folder, wanted, case)
        _record(folder, content, clock)
        if any(map(is_output, wanted)):
            with clock.timed("formats"):
                failures += _further(folder, content, wanted, case, clock)
    except Exception as error:
        failures.append(error)
    notes = tuple(str(note) for note in content["notes"])
    if not failures:
        clear(folder)
        return Ending((), "", "", notes, row)
    problem = _sentence(scan, missing(folder, content), failures)
    found = "\n".join(traceback_of(error, names_in(scan.source)) for error in failures)
    if folder.is_dir():
        write_failure(folder, found)
    return Ending(tuple(failures), problem, found, notes, row)


def _draw(folder: Path, wanted: list[str], case: FinishedCase) -> list[Exception]:
    """Preview and page, either without the other if need be."""
    from renalis.report import write_preview, write_report

    failures: list[Exception] = []
    for name, write in ((PREVIEW, write_preview), (REPORT, write_report)):
        if name not in wanted:
            continue
        try:
            check_not_gone(folder)
            write(folder / name, case.content)
        except Exception as error:
            failures.append(error)
    return failures


def _further(
    folder: Path, content: dict[str, Any], wanted: list[str], case: FinishedCase, clock: Clock
) -> list[Exception]:
    """Files of further formats, each alone; what there cannot be is noted, and is no failure."""
    from renalis.pipeline.outputs import NothingFoundError, files_to_write, write_output

    failures: list[Exception] = []
    never: dict[str, list[str]] = {}
    for file in files_to_write(filter(is_output, wanted), content["files"]):
        try:
            content["files"] = [*content["files"], *write_output(folder, case, file)]
        except NothingFoundError:
            never.setdefault("nothing was found", []).append(file)
        except NoStudyError as error:
            never.setdefault(str(error), []).append(file)
        except Exception as error:
            failures.append(error)
            continue
        _record(folder, content, clock)
    for why, files in never.items():
        for kind in ("files", "missing"):
            content[kind] = [name for name in content.get(kind, ()) if name not in files]
        note = f"{_listed(files)} {'was' if len(files) == 1 else 'were'} not written: {why}"
        content["notes"] = [*content["notes"], note]
        clock.listener.note(note)
    _record(folder, content, clock)
    return failures


def _record(folder: Path, content: dict[str, Any], clock: Clock) -> None:
    """Bring ``provenance.json`` up to what there is."""
    check_not_gone(folder)
    lost = missing(folder, content)
    known = {*content["files"], *content.get("missing", ())}
    ordered = [*FILES, *sorted(known - {*FILES})]
    content["files"] = [name for name in ordered if name in known and name not in lost]
    content["missing"] = lost
    memory = peak_mb()
    seconds = {name: round(value, 3) for name, value in clock.seconds.items()}
    content["seconds"] = content.get("seconds", {}) | seconds
    content["peak_mb"] = None if memory is None else round(memory)
    # A finished case is told from others by its files alone.
    shown = content if lost else {key: content[key] for key in content if key != "missing"}
    write_json(folder / PROVENANCE, shown)


def _sentence(scan: Scan, lost: list[str], failures: list[Exception]) -> str:
    """What is missing, why, and what to do."""
    reasons = list(dict.fromkeys(reason(error) for error in failures))
    where = f", with {FAILURE} of the case's folder" if any(map(is_internal, failures)) else ""
    return (
        f"{scan.case_id}: {_listed(lost) or PROVENANCE} could not be made: {'; '.join(reasons)}"
        f"{where}; all else is kept, and the same command makes only what is missing"
    )


def _listed(names: Sequence[str]) -> str:
    """Names as in a sentence."""
    return " and ".join((", ".join(names[:-1]), names[-1]) if len(names) > 1 else names)


def check_labels(folder: Path, content: Mapping[str, Any]) -> None:
    """Refuse to go on from labels that are not those that were written.

    Raises
    ------
    OutputError
        If the label map is gone or was changed: what would be drawn is not what was measured.
    """
    lost = missing(folder, content)
    what = f"incomplete results ({', '.join(lost)} is missing)" if lost else "results"
    if not (folder / LABELS).is_file():
        raise OutputError(
            f"{folder} holds {what}; give --overwrite to segment "
            "the scan again, or another output folder with -o"
        )
    if content.get("labels_sha256") != file_sha256(folder / LABELS):
        raise OutputError(
            f"{folder} holds {what}, and its {LABELS} was changed since; give --overwrite to "
            "segment the scan again, or another output folder with -o"
        )


def own_labels(folder: Path, scan: Scan) -> Volume:
    """A case's label map on its scan's grid."""
    return scan.volume.like(read_label_map(folder / LABELS, placed=False).array, Kind.LABELS)


def clear(folder: Path) -> None:
    """Remove from a finished case what only an unfinished one needs."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name in (UNFINISHED, FAILURE) or half_written(path):
                path.unlink(missing_ok=True)


def write_failure(folder: Path, text: str) -> None:
    """Leave a traceback in a case's folder; not among files of somebody else."""
    ours = provenance(folder) is not None or not folder.is_dir() or not any(folder.iterdir())
    with contextlib.suppress(RenalisError, OSError):
        if ours or (folder / FAILURE).exists():
            write_text(folder / FAILURE, text)
