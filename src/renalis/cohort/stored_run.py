"""A cohort whose scans or results lie in stores: driven from here like any other."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renalis.cohort.engine import Engine, EngineListener
from renalis.cohort.listing import Listed, Listing, list_cohort
from renalis.cohort.report.stored_page import write_stored_page
from renalis.cohort.run import CohortListener, Tally, page_problem, run_cohort
from renalis.errors import UsageError
from renalis.io import ScanSource
from renalis.io.natural_order import by_number
from renalis.pipeline.failures import Cause
from renalis.pipeline.table import MANIFEST, TABLE, next_to_the_table, table_bytes
from renalis.remote.attempts import UnreachableError, attempted
from renalis.remote.listing import folder_at
from renalis.remote.locations import Location, is_url, open_location
from renalis.remote.results import check_writable, put_file, read_bytes
from renalis.remote.scans import StoredScan, scans_below
from renalis.remote.staging import staging_folder

__all__ = ["list_stored", "run_stored"]

_KINDS = {"zip": "dicom"}


def list_stored(
    inputs: Iterable[str | Path], output: str | Path, anonymous: bool, staging: Path | None
) -> Listing:
    """List a cohort of which inputs, output or both are URLs.

    Parameters
    ----------
    inputs : iterable of str or Path
        All URLs, or all paths of this machine.
    output : str or Path
        Gets the cases' folders.
    anonymous : bool
        Name cases after hashes.
    staging : Path or None
        Where copies are kept.

    Raises
    ------
    InputError, UnreachableError
        If an input cannot be read or holds no scan.
    UsageError
        If a URL cannot be understood, or URLs and paths are mixed.
    """
    places = list(inputs)
    urls = [place for place in places if is_url(place)]
    given = open_location(output).given
    stored: dict[str, Any] = {"output": given}
    if staging is not None:
        stored["staging"] = str(staging.absolute())
    if not urls:
        listing = list_cohort(places, anonymous)
        return replace(listing, cases=(replace(one, stored=stored) for one in listing.cases))
    if len(urls) < len(places):
        raise UsageError("inputs are URLs or paths of this machine, not both in one command")
    scans, remarks = scans_below(map(open_location, map(str, urls)), anonymous)
    cases = (Listed(_source(scan), stored={**stored, "scan": scan.to_json()}) for scan in scans)
    return Listing(len(scans), cases, tuple(remarks))


def _source(scan: StoredScan) -> ScanSource:
    """A scan in a store as others see it: its case, and where it lies below the input."""
    path = Path(scan.below.rpartition("/")[2] or scan.place.name)
    kind = _KINDS.get(scan.kind, scan.kind)
    return next_to_the_table(
        ScanSource(scan.case_id, path, kind, place=scan.below or scan.place.name)
    )


def run_stored(
    listing: Listing,
    output: str | Path,
    engine: Callable[[tuple[int, ...]], Engine],
    listener: CohortListener,
    staging: Path | None = None,
) -> Tally:
    """Do all cases of `list_stored`; manifest and table are kept with the results.

    Raises
    ------
    UnreachableError
        If a store does not answer any more; what is finished is kept.
    OutputError
        If the output cannot be written.
    RenalisError
        If the engine cannot work at all.
    """
    place = open_location(output)

    def watched(kept: tuple[int, ...]) -> Engine:
        return _Watched(engine(kept), place, rows)

    rows: dict[str, Mapping[str, str]] = {}
    if not is_url(output):
        return run_cohort(listing, Path(output), watched, listener)
    check_writable(place)
    with staging_folder(staging) as folder:
        earlier = read_bytes(place / MANIFEST)
        if earlier is not None:
            (folder / MANIFEST).write_bytes(earlier)
        try:
            tally = run_cohort(listing, folder, watched, listener, page=False)
        except UnreachableError:
            raise  # nothing more can be written there
        except BaseException:
            # After Ctrl-C as well: finished cases belong in table and manifest.
            _keep(place, folder, rows)
            raise
        _keep(place, folder, rows)
        _write_page(place, folder / "page", tally, listener)
        return tally


def _write_page(output: Location, folder: Path, tally: Tally, listener: CohortListener) -> None:
    """Write the page, or say in a sentence why it could not be: results are worth more than it."""
    if not tally.ended:
        return
    try:
        folder.mkdir()
        tally.page = write_stored_page(output, folder, tally.total)
    except Exception as error:
        tally.page_problem = page_problem(error)
        listener.problem(tally.page_problem)


def _keep(output: Location, folder: Path, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Write manifest and table of all cases: of this run, and of earlier ones still there."""
    if (folder / MANIFEST).is_file():
        put_file(output, MANIFEST, (folder / MANIFEST).read_bytes())
    text = (read_bytes(output / TABLE) or b"").decode("utf-8", "replace")
    earlier = {row["case"]: row for row in csv.DictReader(io.StringIO(text)) if row.get("case")}
    there = {*folder_at(output).folders}
    known = {case: row for case, row in {**earlier, **rows}.items() if case in there}
    if known:
        ordered = [known[case] for case in sorted(known, key=by_number)]
        put_file(output, TABLE, table_bytes(ordered))


@dataclass(eq=False)
class _Watched:
    """An engine that stops when the store is gone: else each case would wait for it in vain."""

    engine: Engine
    output: Location
    rows: dict[str, Mapping[str, str]]

    def run(
        self, jobs: Iterable[Mapping[str, Any]], listener: EngineListener
    ) -> Iterator[dict[str, Any]]:
        """See `renalis.cohort.engine.Engine`; keeps the rows of measured cases."""
        with contextlib.closing(self.engine.run(jobs, listener)) as results:  # type: ignore[type-var]
            for result in results:
                if result["row"]:
                    self.rows[result["case"]] = result["row"]
                yield result
                if result["cause"] == Cause.UNREACHABLE and not self._answers():
                    raise UnreachableError(result["problem"])

    def _answers(self) -> bool:
        try:
            attempted(lambda: self.output.filesystem.exists(self.output.path), self.output.url)
        except UnreachableError:
            return False
        return True
