"""An attempt that ended with its worker: what there is to say about it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from renalis.cohort.facts import input_bytes, utc_now
from renalis.io.source_json import source_from_json
from renalis.pipeline.failures import Cause
from renalis.pipeline.finish import write_failure
from renalis.pipeline.options import Status

__all__ = ["lost_attempt"]


def lost_attempt(
    job: Mapping[str, Any],
    cause: Cause,
    why: str,
    last_words: str,
    begun: tuple[str, float],
    again: bool,
) -> dict[str, Any]:
    """The result of a job whose worker died, in the form of `renalis.cohort.case_job.run_job`.

    Parameters
    ----------
    job : mapping
        What the worker had been given.
    cause : Cause
        Class of the failure.
    why : str
        The middle of a sentence.
    last_words : str
        Where in the program it was; empty if it could not say so. Kept in the case's folder.
    begun : tuple of str and float
        When, from `renalis.cohort.facts.utc_now`, and how many seconds ago.
    again : bool
        Whether the case is tried once more.
    """
    source = source_from_json(job["source"])
    problem = f"{source.case_id}: {why}"
    if not again:
        problem += "; it was tried once more alone. " + _advice(cause)
        if last_words:
            write_failure(Path(job["output"]) / source.case_id, last_words + "\n")
    return {
        "case": source.case_id,
        "status": str(Status.FAILED),
        "attempt": int(job.get("attempt", 1)),
        "started": begun[0],
        "ended": utc_now(),
        "elapsed": round(begun[1], 3),
        "seconds": {},
        "peak_mb": None,
        "problem": problem,
        "cause": str(cause),
        "input": {"bytes": input_bytes(source)},
        "outputs": {},
        "versions": {
            "renalis": metadata.version("renalis"),
            "python": platform.python_version(),
        },
        "key": "",
        "notes": [],
        "row": {},
        "internal": cause == Cause.CRASH,
        "traceback": last_words,
        "folder": None,
        "again": again,
    }


def _advice(cause: Cause) -> str:
    if cause == Cause.KILLED:
        return "Close other programs, or cut the scan to the abdomen"
    if cause == Cause.TIMED_OUT:
        return "Allow more with --patience, or look at the scan"
    return "This is a defect, please report it"
