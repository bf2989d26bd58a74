"""A cohort: each case through an engine, a line of the manifest for each, one table at the end."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from renalis.cohort.engine import Engine, EngineListener
from renalis.cohort.listing import Listed, Listing
from renalis.cohort.manifest import Manifest, lines_of
from renalis.io.lock import check_there
from renalis.io.source_json import source_to_json
from renalis.pipeline.failures import reason
from renalis.pipeline.folder import sweep, worked_on
from renalis.pipeline.options import Status
from renalis.pipeline.table import COHORT_PAGE, MANIFEST, TABLE, write_table

__all__ = ["CohortListener", "Tally", "page_problem", "run_cohort"]


@dataclass
class Tally:
    """How many cases ended how.

    Attributes
    ----------
    total : int
        All cases.
    statuses : Counter of Status
        Those that have ended.
    causes : Counter of str
        Of failed and incomplete cases.
    internal : int
        Failed by a defect of the program.
    page : Path or str or None
        The page of the cohort, if it was written; of one in a store its URL.
    page_problem : str
        Why it could not be; empty if nothing went wrong.
    """

    total: int
    statuses: Counter[Status] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    internal: int = 0
    page: Path | str | None = None
    page_problem: str = ""

    @property
    def ended(self) -> int:
        """Cases that have ended."""
        return self.statuses.total()

    @property
    def failed(self) -> int:
        """Cases without labels."""
        return self.statuses[Status.FAILED]

    @property
    def good(self) -> int:
        """Cases with all their files."""
        return self.statuses[Status.DONE] + self.statuses[Status.SKIPPED]

    def add(self, result: Mapping[str, Any]) -> None:
        """Count a case that has ended."""
        self.statuses[Status(result["status"])] += 1
        if result["cause"]:
            self.causes[result["cause"]] += 1
        self.internal += result["status"] == Status.FAILED and bool(result["internal"])


class CohortListener(EngineListener):
    """Is told how a cohort goes; this one keeps silent."""

    def problem(self, text: str) -> None:
        """Something went wrong that is no case's own."""

    def cases(self, total: int) -> None:
        """So many scans are listed."""

    def ended(self, result: Mapping[str, Any], tally: Tally) -> None:
        """An attempt has ended, and with it the case unless ``result["again"]``."""


def run_cohort(
    listing: Listing,
    output: Path,
    engine: Callable[[tuple[int, ...]], Engine],
    listener: CohortListener | None = None,
    page: bool = True,
) -> Tally:
    """Do all cases; what is finished stays so, however this ends.

    Parameters
    ----------
    listing : Listing
        From `renalis.cohort.listing.list_cohort`.
    output : Path
        Gets ``<case>/``, ``measurements.csv``, ``manifest.jsonl`` and ``cohort.html``.
    engine : callable
        Makes the engine, given open files that its processes are to keep as long as they live: the
        lock of the folder.
    listener : CohortListener, optional
        Is told how it goes.
    page : bool
        Whether to write the page; the cases' folders must lie in the output then.

    Returns
    -------
    Tally
        How many cases ended how; results themselves are not kept.

    Raises
    ------
    InputError
        If another process works on this output folder.
    OutputError
        If the output folder cannot be written, or is gone in the middle.
    RenalisError
        If the engine cannot work at all.
    """
    listener = listener or CohortListener()
    with worked_on(output) as lock:
        _clear_half(output)
        for remark in listing.remarks:
            listener.remark(remark)
        listener.cases(listing.total)
        tally = Tally(listing.total)
        with Manifest(output) as manifest:
            try:
                _run(listing, output, lock, engine(lock), manifest, listener, tally)
            finally:
                # After Ctrl-C as well: finished cases are kept, and belong in table and manifest.
                check_there(output, lock)
                sweep(output)
                manifest.compact()
                write_table(output)
                if page:
                    _write_page(output, tally, listener)
        return tally


def _run(
    listing: Listing,
    output: Path,
    lock: Sequence[int],
    engine: Engine,
    manifest: Manifest,
    listener: CohortListener,
    tally: Tally,
) -> None:
    jobs = (_job(one, output, manifest) for one in listing.cases)
    with contextlib.closing(engine.run(jobs, listener)) as results:  # type: ignore[type-var]
        for result in results:
            # Before it is counted: whatever failed now did so because the folder is gone.
            check_there(output, lock)
            manifest.append(result)
            if not result.get("again"):
                tally.add(result)
            else:
                sweep(output)
            listener.ended(result, tally)


def _write_page(output: Path, tally: Tally, listener: CohortListener) -> None:
    """Write the page, or say in a sentence why it could not be: results are worth more than it."""
    from renalis.cohort.report.write import write_cohort_page

    if next(lines_of(output), None) is None:
        return  # ended before any case did
    try:
        tally.page = write_cohort_page(output, tally.total)
    except Exception as error:
        tally.page_problem = page_problem(error)
        listener.problem(tally.page_problem)


def page_problem(error: Exception) -> str:
    """Why there is no page, as a sentence."""
    return (
        f"{COHORT_PAGE} could not be made: {reason(error)}; all results are kept, and renalis "
        "cohort report makes it from them"
    )


def _job(listed: Listed, output: Path, manifest: Manifest) -> dict[str, Any]:
    source = listed.source
    job: dict[str, Any] = {
        "source": source_to_json(source),
        "output": str(output),
        "attempt": manifest.attempts(source.case_id) + 1,
    }
    own = {"series": listed.series, "stored": listed.stored}
    return job | {name: value for name, value in own.items() if value is not None}


def _clear_half(output: Path) -> None:
    """Remove what a killed run was writing next to the cases' folders."""
    for name in (TABLE, MANIFEST, COHORT_PAGE):
        for path in _parts(output, name):
            with contextlib.suppress(OSError):
                path.unlink()


def _parts(output: Path, name: str) -> Iterator[Path]:
    return output.glob(f".{name}.????????.part")
