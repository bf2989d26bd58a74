"""``renalis segment`` with many scans, or with processes of their own."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.cli.closed_pipes import until_pipe_closes
from renalis.cli.cohort_progress import CohortLines
from renalis.cohort.run import Tally

if TYPE_CHECKING:
    from renalis.cohort.engine import Engine
    from renalis.cohort.listing import Listing
    from renalis.pipeline import SegmentOptions

__all__ = ["segment_cohort"]


def segment_cohort(listing: Listing, arguments: argparse.Namespace, options: SegmentOptions) -> int:
    """Segment all scans of a listing; the exit code of `renalis.cli.segment.run`."""
    from renalis.cohort.local import LocalEngine
    from renalis.cohort.options_json import options_to_json
    from renalis.cohort.ray_engine import RayEngine
    from renalis.cohort.run import run_cohort
    from renalis.cohort.shares import worker_options
    from renalis.cohort.stored_run import run_stored

    options.check()
    workers = max(1, min(arguments.jobs or 1, listing.total))
    silence_s = 60.0 * arguments.patience
    lines = _Lines(arguments)
    output = arguments.output

    def engine(kept: tuple[int, ...]) -> Engine:
        if arguments.engine == "ray":
            own = options_to_json(options)
            return RayEngine(own, arguments.ray_address, arguments.jobs, silence_s)
        own = options_to_json(worker_options(options, workers))
        return LocalEngine(own, workers, silence_s, kept)

    try:
        if any(isinstance(place, str) for place in (*arguments.input, output)):
            tally = run_stored(listing, output, engine, lines, arguments.staging)
        else:
            tally = run_cohort(listing, output, engine, lines)
    finally:
        lines.close()
    if not arguments.json:
        with until_pipe_closes(sys.stdout):
            _summarize(tally, arguments.output)
    if tally.good == tally.total:
        return 1 if tally.page_problem else 0
    if tally.failed < tally.total:
        return 1
    return 3 if tally.internal == tally.failed else 2


class _Lines(CohortLines):
    """With the results as JSON, each as soon as it is there."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__(sys.stderr, quiet=arguments.json)
        self._arguments = arguments
        self._print_json: Callable[[str], None] | None = _printed if arguments.json else None
        self._first = True

    def ended(self, result: Mapping[str, Any], tally: Tally) -> None:
        """A case has ended."""
        super().ended(result, tally)
        if self._arguments.debug and result["traceback"]:
            with until_pipe_closes(sys.stderr):
                print(result["traceback"], file=sys.stderr)
        if self._print_json is not None and not result.get("again"):
            text = json.dumps(_as_json(result, self._arguments.output), indent=1)
            self._print_json(f"{'[' if self._first else ','}\n{text}")
            self._first = False

    def close(self) -> None:
        """End what was begun."""
        self.clear()
        if self._print_json is not None:
            self._print_json("[]\n" if self._first else "\n]\n")


def _printed(text: str) -> None:
    with until_pipe_closes(sys.stdout):
        sys.stdout.write(text)
        sys.stdout.flush()


def _below(output: Path | str, name: str) -> str:
    """A place in the output, as it may be shown."""
    if isinstance(output, Path):
        return str(output / name)
    from renalis.remote.locations import open_location

    return (open_location(output) / name).url


def _as_json(result: Mapping[str, Any], output: Path | str) -> dict[str, Any]:
    from renalis.pipeline.folder import PROVENANCE

    return {
        "case": result["case"],
        "status": result["status"],
        "folder": None if result["folder"] is None else _below(output, result["folder"]),
        "files": [name for name in result["outputs"] if name != PROVENANCE],
        "problem": result["problem"],
        "notes": result["notes"],
        "measurements": result["row"],
        "seconds": result["seconds"],
    }


def _summarize(tally: Tally, output: Path | str) -> None:
    """The last lines: how many, why others failed, and what to open."""
    print(f"{tally.good} of {tally.total} scans done; results in {_below(output, '').rstrip('/')}")
    if tally.causes:
        causes = ", ".join(f"{count} {cause}" for cause, count in tally.causes.most_common())
        manifest = _below(output, "manifest.jsonl")
        print(f"failed or incomplete by cause: {causes}; {manifest} names them")
    if tally.good:
        print(f"all measurements: {_below(output, 'measurements.csv')}")
    if tally.page is not None:
        print(f"what to look at first: {tally.page}")
