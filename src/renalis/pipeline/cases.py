"""One case after another, whatever segments them: finished ones skipped, failures as sentences."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from renalis.errors import InputError, RenalisError, UsageError
from renalis.io import ScanSource, inventory
from renalis.pipeline.folder import make_output, provenance, result_folder
from renalis.pipeline.options import CaseResult, Listener, Status
from renalis.pipeline.table import TABLE, write_table
from renalis.prediction.machine import peak_mb

__all__ = ["CaseWork", "Clock", "Filled", "input_paths", "run_cases"]

Path_ = str | os.PathLike[str]


@dataclass(eq=False)
class Clock:
    """Tells a listener about a case's steps and keeps their time.

    Attributes
    ----------
    listener : Listener
        Is told.
    seconds : dict
        Wall time of each step so far.
    """

    listener: Listener
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """A step of the current case."""
        self.listener.step(step, 0, 1)
        began = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - began
        self.listener.step(step, 1, 1)


@dataclass(frozen=True)
class Filled:
    """What is known about a case whose files are written: notes, and its row of the table."""

    notes: tuple[str, ...]
    row: Mapping[str, str]


class CaseWork(Protocol):
    """What is done with each scan."""

    def key(self, source: ScanSource) -> str:
        """Changes whenever the result could; kept as ``key`` in ``provenance.json``."""

    def fill(self, folder: Path, source: ScanSource, key: str, clock: Clock) -> Filled:
        """Compute a case and write its files, ``provenance.json`` among them.

        Raises
        ------
        RenalisError
            If the case cannot be segmented.
        """


def input_paths(inputs: Path_ | Iterable[Path_]) -> list[Path_]:
    """One path or several as a list.

    Raises
    ------
    InputError
        If there is none.
    """
    paths = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if not paths:
        raise InputError("no input was given; name a NIfTI file, a DICOM folder or a zip")
    return paths


def run_cases(
    paths: Iterable[Path_], output: Path, work: CaseWork, *, overwrite: bool, listener: Listener
) -> list[CaseResult]:
    """Find the scans, work on each, write the table of all.

    Returns
    -------
    list of CaseResult
        One for each scan found, in that order.

    Raises
    ------
    InputError
        If there is no scan.
    OutputError
        If the output folder cannot be written.
    """
    found = inventory(paths)
    sources = [_beside_the_table(source) for source in found.scans]
    make_output(output)
    for remark in found.remarks:
        listener.remark(remark)
    listener.cases(len(sources))
    results = []
    try:
        for number, source in enumerate(sources):
            listener.case(source.case_id, number)
            result = _case(source, output, work, overwrite, Clock(listener))
            listener.ended(result)
            results.append(result)
    finally:
        # After Ctrl-C as well: finished cases are kept, and belong in the table.
        write_table(output)
    return results


def _beside_the_table(source: ScanSource) -> ScanSource:
    """A case whose folder would take the name of the table of all cases gets another name."""
    return replace(source, case_id=f"{source.case_id}_") if source.case_id == TABLE else source


def _case(
    source: ScanSource, output: Path, work: CaseWork, overwrite: bool, clock: Clock
) -> CaseResult:
    """One case; whatever goes wrong becomes a sentence."""
    case_id, folder = source.case_id, output / source.case_id
    try:
        key = work.key(source)
        known = provenance(folder)
        if known is not None and known.get("key") == key and not overwrite:
            notes = tuple(str(note) for note in known.get("notes") or ())
            return CaseResult(
                case_id, Status.SKIPPED, folder, notes=notes, row=known.get("row") or {}
            )
        with result_folder(output, case_id, overwrite) as part:
            filled = work.fill(part, source, key, clock)
    except UsageError as error:
        # Of a limit that this scan does not keep: in a batch, the reader wants to know which.
        return CaseResult(case_id, Status.FAILED, problem=f"{case_id}: {error}")
    except RenalisError as error:
        return CaseResult(case_id, Status.FAILED, problem=str(error))
    except MemoryError:
        problem = (
            f"{case_id}: there is not enough memory for this scan; close other programs, or cut "
            "the scan to the abdomen"
        )
        return CaseResult(case_id, Status.FAILED, problem=problem)
    except Exception as error:
        problem = (
            f"{case_id}: internal error ({type(error).__name__}: {error}); "
            "this is a defect, please report it"
        )
        return CaseResult(case_id, Status.FAILED, problem=problem, internal=True)
    return CaseResult(
        case_id,
        Status.DONE,
        folder,
        notes=filled.notes,
        row=filled.row,
        seconds=dict(clock.seconds),
        peak_mb=peak_mb(),
    )
