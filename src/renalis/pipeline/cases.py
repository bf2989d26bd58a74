"""One case after another, whatever segments them: finished ones skipped, failures as sentences."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from renalis.disk_failures import check_not_gone
from renalis.errors import InputError, RenalisError, UsageError
from renalis.io import Scan, ScanSource, inventory
from renalis.io.find import Inventory
from renalis.io.lock import check_there
from renalis.io.scan import shown
from renalis.known_cases import SEEN
from renalis.pipeline.failures import (
    cause_of,
    is_internal,
    names_in,
    reason,
    traceback_of,
    unnamed,
)
from renalis.pipeline.finish import (
    begin,
    check_labels,
    clear,
    finish,
    own_labels,
    want,
    write_failure,
)
from renalis.pipeline.folder import missing, provenance, result_folder, worked_on
from renalis.pipeline.options import CaseResult, Listener, Status
from renalis.pipeline.origin import described, nameless, origin
from renalis.pipeline.saved_prediction import load_prediction
from renalis.pipeline.table import next_to_the_table, write_table
from renalis.pipeline.work import CaseWork
from renalis.prediction.runtimes.machine import peak_mb
from renalis.systems.segmenter import Clock, Segmented

__all__ = ["do_case", "failed_case", "input_paths", "is_finished", "run_cases"]

Path_ = str | os.PathLike[str]


def input_paths(inputs: Path_ | Iterable[Path_] | Inventory) -> list[Path_] | Inventory:
    """One path or several as a list; what was found already as it is.

    Raises
    ------
    InputError
        If there is none.
    """
    if isinstance(inputs, Inventory):
        return inputs
    paths = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if not paths:
        raise InputError("no input was given; name a NIfTI file, a DICOM folder or a zip")
    return paths


def run_cases(
    inputs: Iterable[Path_] | Inventory, output: Path, work: CaseWork, listener: Listener
) -> list[CaseResult]:
    """Find the scans, work on each, write the table of all; each case's scan is named.

    Parameters
    ----------
    inputs : iterable of path-like, or Inventory
        Where to find them, or what was found.
    output : Path
        Folder for the results.
    work : CaseWork
        What is done.
    listener : Listener
        Is told how it goes.

    Returns
    -------
    list of CaseResult
        One for each scan found, in that order.

    Raises
    ------
    InputError
        If there is no scan, or another process works on this output folder.
    OutputError
        If the output folder cannot be written, or is gone in the middle.
    """
    found = inputs
    if not isinstance(found, Inventory):
        found = inventory(found, work.options.anonymous)
    sources = [next_to_the_table(source) for source in found.scans]
    with worked_on(output) as lock:
        for remark in found.remarks:
            listener.remark(remark)
        listener.cases(len(sources))
        results = []
        try:
            for number, source in enumerate(sources):
                listener.case(source.case_id, number)
                result = do_case(source, output, work, Clock(listener))
                check_there(output, lock)
                listener.ended(result)
                results.append(result)
        finally:
            # After Ctrl-C as well: finished cases are kept, and belong in the table.
            check_there(output, lock)
            write_table(output)
        return results


def is_finished(source: ScanSource, output: Path, work: CaseWork) -> bool:
    """Whether a case would be skipped, because its results are there already."""
    folder = output / source.case_id
    known = None if work.options.overwrite else provenance(folder)
    if known is None or known.get("key") != work.key(source):
        return False
    return _whole(folder, known, work)


def _whole(folder: Path, known: Mapping[str, Any], work: CaseWork) -> bool:
    """Whether all files are there; some may be of which a killed run could not say so any more."""
    wanted = {*work.formats} <= {*known.get("formats", ())}
    return wanted and not known.get("missing") and not missing(folder, known)


def do_case(
    source: ScanSource,
    output: Path,
    work: CaseWork,
    clock: Clock,
    read: Callable[[ScanSource], Scan] | None = None,
) -> CaseResult:
    """One case; whatever goes wrong becomes a sentence, and what is finished is kept.

    Parameters
    ----------
    source : ScanSource
        The scan, with the case's name.
    output : Path
        Where the case's folder is made.
    work : CaseWork
        What is done.
    clock : Clock
        Keeps the steps' times.
    read : callable, optional
        Instead of ``work.read``, where the scan was read ahead.
    """
    case_id, folder = source.case_id, output / source.case_id
    overwrite = work.options.overwrite
    try:
        _check_scan(source)
        key = work.key(source)
        known = None if overwrite else provenance(folder)
        if known is not None and known.get("key") == key:
            more = not {*work.formats} <= {*known.get("formats", ())}
            if _whole(folder, known, work):
                clear(folder)
                if known.get("source"):
                    clock.listener.note(described(known["source"], _place(source, work)))
                for seen in known.get(SEEN) or ():
                    clock.listener.note(str(seen["sentence"]))
                notes = tuple(str(note) for note in known.get("notes") or ())
                return CaseResult(
                    case_id, Status.SKIPPED, folder, notes=notes, row=known.get("row") or {}
                )
            check_labels(folder, known)
            scan = _read(source, work, clock, read)
            segmented = _taken_up(folder, scan, work, clock)
            if more:
                want(folder, known, work.later, work.formats)
        else:
            with result_folder(output, case_id, overwrite) as part:
                scan = _read(source, work, clock, read)
                segmented = work.segment(scan, clock)
                check_not_gone(part)
                with clock.timed("write"):
                    begin(part, scan, segmented, key, work.later, work.formats)
        ending = finish(folder, scan, segmented, work.finished, clock)
    except Exception as error:
        return failed_case(source, folder, error, work.options.anonymous)
    return CaseResult(
        case_id,
        Status.INCOMPLETE if ending.failures else Status.DONE,
        folder,
        problem=ending.problem,
        internal=any(is_internal(error) for error in ending.failures),
        traceback=ending.traceback,
        notes=ending.notes,
        row=ending.row,
        seconds=dict(clock.seconds),
        peak_mb=peak_mb(),
        cause=str(cause_of(ending.failures[0])) if ending.failures else "",
    )


def _check_scan(source: ScanSource) -> None:
    """Refuse a scan that is gone, also one that was read ahead: its labels would belong to no file.

    Its size and time are a part of the key, by which the case is known as finished.
    """
    if source.kind == "unreadable":
        return  # its reader says why
    try:
        source.path.stat()
    except OSError as error:
        raise InputError(
            f"{shown(source.path)} cannot be read ({error.strerror}); check the path"
        ) from error


def _read(
    source: ScanSource,
    work: CaseWork,
    clock: Clock,
    read: Callable[[ScanSource], Scan] | None,
) -> Scan:
    """The scan, and what there is to know about it."""
    with clock.timed("read"):
        scan = (read or work.read)(source)
    scan = nameless(scan) if work.options.anonymous else scan
    clock.listener.note(described(origin(scan)))
    for warning in scan.warnings:
        clock.listener.note(warning)
    return scan


def _place(source: ScanSource, work: CaseWork) -> str:
    """Where a scan lies, as far as that may be said."""
    return "" if work.options.anonymous else source.place


def _taken_up(folder: Path, scan: Scan, work: CaseWork, clock: Clock) -> Segmented:
    """What the prediction said about a case with labels; predicted again only if that is gone."""
    labels = own_labels(folder, scan)
    segmented = load_prediction(folder, labels)
    if segmented is not None:
        return segmented
    clock.listener.note(
        "what the networks said is no longer kept; it is predicted again for files to be made"
    )
    return replace(work.segment(scan, clock), labels=labels)


def failed_case(
    source: ScanSource, folder: Path | None, error: Exception, anonymous: bool
) -> CaseResult:
    """A case without labels; where the program failed is left in its folder, if there is one."""
    case_id = source.case_id
    if isinstance(error, UsageError):
        # Of a limit that this scan does not keep: in a batch, the reader wants to know which.
        problem = f"{case_id}: {error}"
    elif isinstance(error, RenalisError):
        problem = str(error)
    elif isinstance(error, MemoryError):
        problem = f"{case_id}: {reason(error)}, or cut the scan to the abdomen"
    else:
        problem = f"{case_id}: {reason(error, names_in(source)[1:])}"
    if anonymous:
        problem = f"{case_id}: {unnamed(problem.removeprefix(f'{case_id}: '), source)}"
    found = traceback_of(error, names_in(source))
    if is_internal(error) and folder is not None:
        write_failure(folder, found)
    return CaseResult(
        case_id,
        Status.FAILED,
        problem=problem,
        internal=is_internal(error),
        traceback=found,
        cause=str(cause_of(error)),
    )
