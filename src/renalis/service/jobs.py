"""Jobs: what is to be segmented, is being segmented, and was; each kept until it is too old."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from renalis.service.database import Database

__all__ = [
    "ENDED",
    "Job",
    "JobState",
    "add_job",
    "all_jobs",
    "begin_next",
    "count_states",
    "delete_job",
    "end_job",
    "find_job",
    "give_back",
    "new_id",
    "outdated",
    "retry",
    "take_up",
    "waiting",
]


class JobState(StrEnum):
    """How a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    INCOMPLETE = "incomplete"
    """Labels are there, something else could not be made."""
    FAILED = "failed"
    SUPERSEDED = "superseded"
    """Images came late and changed the series before this was finished: a newer job has all."""


ENDED = (JobState.DONE, JobState.INCOMPLETE, JobState.FAILED, JobState.SUPERSEDED)


@dataclass(frozen=True)
class Job:
    """One scan to segment.

    Attributes
    ----------
    id : str
        Random; all that logs say of it.
    origin : str
        ``dimse``, ``upload``, or ``dicomweb:`` and the archive's name.
    source : str
        What the scan is a version of: the series' key, or ``upload``.
    content : str
        A hash of the files' contents.
    version : int
        From 1; higher when late images changed a series.
    state : JobState
        How it stands.
    created, began, ended : float or None
        Seconds since 1970.
    attempts : int
        How often work on it began.
    problem : str
        One sentence, if it failed or is incomplete.
    notes : tuple of str
        What the reader of the result should know.
    superseded_by : str or None
        The job of a later version.
    """

    id: str
    origin: str
    source: str
    content: str
    version: int
    state: JobState
    created: float
    began: float | None
    ended: float | None
    attempts: int
    problem: str
    notes: tuple[str, ...]
    superseded_by: str | None


def new_id() -> str:
    """An id that nobody can guess."""
    return secrets.token_hex(8)


def _job(row: sqlite3.Row) -> Job:
    fields = dict(row)
    fields["state"] = JobState(fields["state"])
    fields["notes"] = tuple(json.loads(fields["notes"]))
    return Job(**fields)


def add_job(
    database: Database,
    job_id: str,
    *,
    origin: str,
    source: str,
    content: str,
    now: float,
    notes: Sequence[str] = (),
) -> Job:
    """Queue a scan; of a content that is known already the job that it has is returned.

    Earlier jobs of the same series are superseded: those not yet begun never begin.
    """
    with database.transaction() as db:
        known = db.execute(
            "SELECT * FROM jobs WHERE source = ? AND content = ?", (source, content)
        ).fetchone()
        if known is not None:
            return _job(known)
        version = 1
        if source != "upload":
            version += db.execute(
                "SELECT coalesce(max(version), 0) FROM jobs WHERE source = ?", (source,)
            ).fetchone()[0]
            db.execute(
                "UPDATE jobs SET superseded_by = ?, ended = coalesce(ended, ?), state = "
                "CASE state WHEN 'queued' THEN 'superseded' ELSE state END "
                "WHERE source = ? AND superseded_by IS NULL AND state != 'running'",
                (job_id, now, source),
            )
            db.execute(
                "UPDATE jobs SET superseded_by = ? WHERE source = ? AND state = 'running'",
                (job_id, source),
            )
        db.execute(
            "INSERT INTO jobs (id, origin, source, content, version, state, created, notes) "
            "VALUES (?, ?, ?, ?, ?, 'queued', ?, ?)",
            (job_id, origin, source, content, version, now, json.dumps(list(notes))),
        )
        return _job(db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())


def find_job(database: Database, job_id: str) -> Job | None:
    """The job of an id."""
    rows = database.rows("SELECT * FROM jobs WHERE id = ?", (job_id,))
    return _job(rows[0]) if rows else None


def all_jobs(
    database: Database, state: JobState | None = None, limit: int = 100, offset: int = 0
) -> list[Job]:
    """Jobs, the newest first."""
    where = "" if state is None else "WHERE state = ?"
    values = () if state is None else (str(state),)
    rows = database.rows(
        f"SELECT * FROM jobs {where} ORDER BY created DESC, id LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return [_job(row) for row in rows]


def begin_next(database: Database, now: float) -> Job | None:
    """The job whose turn it is, now running; None when nothing waits.

    Those during which the program ended come after all others, so that one that ends it again and
    again holds up no other.
    """
    with database.transaction() as db:
        row = db.execute(
            "SELECT id FROM jobs WHERE state = 'queued' ORDER BY attempts, created, id LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        db.execute(
            "UPDATE jobs SET state = 'running', began = ?, attempts = attempts + 1 WHERE id = ?",
            (now, row["id"]),
        )
        return _job(db.execute("SELECT * FROM jobs WHERE id = ?", (row["id"],)).fetchone())


def end_job(
    database: Database,
    job_id: str,
    state: JobState,
    problem: str,
    notes: Sequence[str],
    now: float,
) -> bool:
    """Note how a running job ended; False if it was not running any more.

    One that was superseded meanwhile ends as such, whatever came out.
    """
    changed = database.change(
        "UPDATE jobs SET state = CASE WHEN superseded_by IS NULL THEN ? ELSE 'superseded' END, "
        "problem = ?, notes = ?, ended = ? WHERE id = ? AND state = 'running'",
        (str(state), problem, json.dumps(list(notes)), now, job_id),
    )
    return changed == 1


def give_back(database: Database, job_id: str) -> None:
    """Queue a running job again that was stopped in good order; this attempt does not count."""
    database.change(
        "UPDATE jobs SET state = 'queued', began = NULL, attempts = attempts - 1 "
        "WHERE id = ? AND state = 'running'",
        (job_id,),
    )


def take_up(database: Database, most_attempts: int, now: float) -> tuple[list[str], list[str]]:
    """After a start: jobs that were running are queued again, or given up.

    Returns
    -------
    tuple of list of str
        Ids of those that are queued again, and of those that ended the program too often.
    """
    with database.transaction() as db:
        lost = db.execute(
            "UPDATE jobs SET state = 'failed', ended = ?, problem = 'the program ended ' || "
            "attempts || ' times while it worked on this scan' "
            "WHERE state = 'running' AND attempts >= ? RETURNING id",
            (now, most_attempts),
        ).fetchall()
        # One that was superseded while it ran does not begin again.
        db.execute(
            "UPDATE jobs SET state = 'superseded', ended = ? "
            "WHERE state = 'running' AND superseded_by IS NOT NULL",
            (now,),
        )
        again = db.execute(
            "UPDATE jobs SET state = 'queued', began = NULL WHERE state = 'running' RETURNING id"
        ).fetchall()
    return [row["id"] for row in again], [row["id"] for row in lost]


def retry(database: Database, job_id: str) -> bool:
    """Queue a job again that failed or is incomplete; False if it is neither."""
    changed = database.change(
        "UPDATE jobs SET state = 'queued', began = NULL, ended = NULL, attempts = 0, "
        "problem = '' WHERE id = ? AND state IN ('failed', 'incomplete') "
        "AND superseded_by IS NULL",
        (job_id,),
    )
    return changed == 1


def delete_job(database: Database, job_id: str) -> bool:
    """Forget a job and its deliveries; False if it is running or not known."""
    return database.change("DELETE FROM jobs WHERE id = ? AND state != 'running'", (job_id,)) == 1


def outdated(database: Database, before: float) -> list[str]:
    """Ids of jobs that ended before then and of which nothing waits to be sent."""
    rows = database.rows(
        "SELECT id FROM jobs WHERE ended < ? AND state NOT IN ('queued', 'running') "
        "AND NOT EXISTS (SELECT 1 FROM deliveries WHERE job = id AND deliveries.state = 'waiting')",
        (before,),
    )
    return [row["id"] for row in rows]


def count_states(database: Database) -> dict[JobState, int]:
    """How many jobs there are in each state."""
    rows = database.rows("SELECT state, count(*) AS many FROM jobs GROUP BY state")
    return dict.fromkeys(JobState, 0) | {JobState(row["state"]): row["many"] for row in rows}


def waiting(database: Database) -> int:
    """How many jobs wait or run."""
    found = count_states(database)
    return found[JobState.QUEUED] + found[JobState.RUNNING]
