"""Series that are to be fetched from archives: each once, repeated until it arrives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from renalis.service.database import Database
from renalis.service.retries import next_try

__all__ = ["Fetch", "FetchState", "all_fetches", "due_fetches", "fetched", "missed", "seen", "want"]


class FetchState(StrEnum):
    """How a fetch stands."""

    NOTICED = "noticed"
    """Found once; fetched when the archive has as many images at the next look."""
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Fetch:
    """A series of an archive.

    Attributes
    ----------
    archive : str
        Name in the configuration.
    study_uid, series_uid : str
        Its UIDs.
    seen : str
        Number of images that the archive has, if it said so.
    state : FetchState
        How it stands.
    attempts : int
        That failed.
    due : float
        When to try, in seconds since 1970.
    problem : str
        Why the last attempt failed.
    """

    archive: str
    study_uid: str
    series_uid: str
    seen: str
    state: FetchState
    attempts: int
    due: float
    problem: str


def _found(database: Database, rest: str, values: tuple[object, ...]) -> list[Fetch]:
    rows = database.rows(f"SELECT * FROM fetches {rest}", values)
    return [Fetch(**{**dict(row), "state": FetchState(row["state"])}) for row in rows]


def seen(
    database: Database, archive: str, study_uid: str, series_uid: str, images: str, now: float
) -> None:
    """The archive has a series, with so many images.

    It is fetched when two looks in a row see as many, and again when there are others later.
    """
    database.change(
        "INSERT INTO fetches (archive, study_uid, series_uid, seen, state, due) "
        "VALUES (?, ?, ?, ?, 'noticed', ?) ON CONFLICT (archive, series_uid) DO UPDATE SET "
        "state = CASE WHEN seen != excluded.seen THEN 'noticed' "
        "WHEN state = 'noticed' THEN 'waiting' ELSE state END, "
        "attempts = CASE WHEN seen != excluded.seen THEN 0 ELSE attempts END, "
        "due = CASE WHEN state = 'noticed' THEN excluded.due ELSE due END, "
        "seen = excluded.seen",
        (archive, study_uid, series_uid, images, now),
    )


def want(database: Database, archive: str, study_uid: str, series_uid: str, now: float) -> Fetch:
    """Fetch a series now, whatever was fetched before."""
    database.change(
        "INSERT INTO fetches (archive, study_uid, series_uid, seen, state, due) "
        "VALUES (?, ?, ?, '', 'waiting', ?) ON CONFLICT (archive, series_uid) DO UPDATE SET "
        "state = 'waiting', attempts = 0, due = excluded.due, problem = ''",
        (archive, study_uid, series_uid, now),
    )
    where = "WHERE archive = ? AND series_uid = ?"
    return _found(database, where, (archive, series_uid))[0]


def due_fetches(database: Database, archive: str, now: float) -> list[Fetch]:
    """What is to be fetched from an archive now."""
    where = "WHERE archive = ? AND state = 'waiting' AND due <= ? ORDER BY due, series_uid"
    return _found(database, where, (archive, now))


def all_fetches(database: Database, limit: int) -> list[Fetch]:
    """All that is known, what is due last first."""
    return _found(database, "ORDER BY due DESC, series_uid LIMIT ?", (limit,))


def fetched(database: Database, one: Fetch) -> None:
    """All of it has arrived."""
    _set(database, one, FetchState.DONE, one.attempts, one.due, "")


def missed(database: Database, one: Fetch, problem: str, most: int, now: float) -> None:
    """It did not arrive; it is tried again later, ever less often, and given up at last."""
    attempts = one.attempts + 1
    state = FetchState.FAILED if attempts >= most else FetchState.WAITING
    _set(database, one, state, attempts, next_try(attempts, now), problem)


def _set(
    database: Database, one: Fetch, state: FetchState, attempts: int, due: float, problem: str
) -> None:
    database.change(
        "UPDATE fetches SET state = ?, attempts = ?, due = ?, problem = ? "
        "WHERE archive = ? AND series_uid = ? AND seen = ?",
        (str(state), attempts, due, problem, one.archive, one.series_uid, one.seen),
    )
