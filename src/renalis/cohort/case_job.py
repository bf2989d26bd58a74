"""The unit of work of a cohort: one case as JSON in, what became of it as JSON out.

Whatever does the work, a process on this machine or a node of a cluster, calls `open_work` once
and `run_job` for each case. Nothing else is shared but the scans and the output folder.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from renalis.cohort.facts import input_bytes, utc_now
from renalis.cohort.options_json import options_from_json
from renalis.cohort.stored_job import StoredCase, do_stored
from renalis.io import Scan, ScanSource
from renalis.io.source_json import source_from_json
from renalis.pipeline.cases import do_case
from renalis.pipeline.failures import names_in, plain
from renalis.pipeline.folder import PROVENANCE, file_sha256, provenance
from renalis.pipeline.options import CaseResult, Listener, Status
from renalis.pipeline.work import CaseWork
from renalis.pipeline.work import open_work as work_of
from renalis.systems.segmenter import Clock
from renalis.voxel_hash import voxel_hash

__all__ = ["Read", "job_work", "open_work", "read_hashed", "run_job"]

Read = Callable[[ScanSource], tuple[Scan, str]]
"""A scan, and `renalis.voxel_hash.voxel_hash` of it."""


def open_work(options: Mapping[str, Any]) -> CaseWork:
    """Open the model for any number of cases.

    Parameters
    ----------
    options : mapping
        From `renalis.cohort.options_json.options_to_json`.

    Raises
    ------
    RenalisError
        If there is no such model, or options do not fit it.
    """
    chosen = options_from_json(options)
    chosen.check()
    return work_of(chosen)


def job_work(work: CaseWork, job: Mapping[str, Any]) -> CaseWork:
    """The work with what a job chooses for its case alone: its series."""
    series = job.get("series")
    return work if series is None else replace(work, options=replace(work.options, series=series))


def read_hashed(work: CaseWork, source: ScanSource) -> tuple[Scan, str]:
    """A case's scan, and what tells it from all others."""
    scan = work.read(source)
    return scan, voxel_hash(scan.volume)


def run_job(
    work: CaseWork,
    job: Mapping[str, Any],
    listener: Listener | None = None,
    read: Read | None = None,
) -> dict[str, Any]:
    """Do one case; errors do not pass.

    Parameters
    ----------
    work : CaseWork
        From `open_work`.
    job : mapping
        ``source`` (see `renalis.io.source_json`), ``output`` (folder of the cohort), ``attempt``
        (counted from 1), ``series`` where the case has one of its own, and ``stored`` where its
        scan or results lie in a store (`renalis.cohort.stored_job`).
    listener : Listener, optional
        Is told how the work goes.
    read : callable, optional
        Gives the scan where it was read ahead.

    Returns
    -------
    dict
        A line of the manifest (see `renalis.cohort.manifest`), and besides ``row``, ``notes``,
        ``internal``, ``traceback`` and ``folder`` (a name below the output, or None).
    """
    source, output = source_from_json(job["source"]), Path(job["output"])
    own = job_work(work, job)
    seen: dict[str, str] = {}

    def scan_of(source: ScanSource) -> Scan:
        scan, seen["voxels_sha256"] = read(source) if read is not None else read_hashed(own, source)
        return scan

    started, began = utc_now(), time.monotonic()
    told = listener or Listener()
    size = None
    if "stored" in job:
        case = StoredCase.from_job(job)
        size = None if case.scan is None else case.scan.size
        outcome = do_stored(case, own, told, scan_of, _outcome)
    else:
        outcome = _outcome(do_case(source, output, own, Clock(told), scan_of), output)
    if own.options.anonymous and (outcome["status"] == Status.INCOMPLETE or "stored" in job):
        # It may quote where a file could not be written, or a URL; the manifest keeps it.
        outcome["problem"] = plain(outcome["problem"], names_in(source)[1:])
    return {
        **outcome,
        "attempt": int(job.get("attempt", 1)),
        "started": started,
        "ended": utc_now(),
        "elapsed": round(time.monotonic() - began, 3),
        "input": {**seen, "bytes": input_bytes(source) if size is None else size},
    }


def _outcome(result: CaseResult, output: Path) -> dict[str, Any]:
    """What became of the case and which files there are."""
    known = None if result.folder is None else provenance(result.folder)
    model = dict((known or {}).get("model") or {})
    return {
        "case": result.case_id,
        "status": str(result.status),
        "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
        "peak_mb": None if result.peak_mb is None else round(result.peak_mb),
        "problem": result.problem,
        "cause": result.cause,
        "outputs": {} if known is None else _hashes(output / result.case_id, known),
        "versions": {
            "renalis": metadata.version("renalis"),
            "model": " ".join(str(model[n]) for n in ("name", "version") if n in model),
            "model_sha256": str(model.get("sha256", "")),
            "runtime": str((known or {}).get("runtime", "")),
            "python": platform.python_version(),
        },
        "key": str((known or {}).get("key", "")),
        "notes": list(result.notes),
        "row": dict(result.row),
        "internal": result.internal,
        "traceback": result.traceback,
        "folder": None if result.folder is None else result.case_id,
    }


def _hashes(folder: Path, known: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each file of a case that is there."""
    found = {}
    for name in dict.fromkeys((*map(str, known["files"]), PROVENANCE)):
        try:
            found[name] = file_sha256(folder / name)
        except OSError:
            continue
    return found
