"""Objects that are to be sent: each to each destination once, repeated until it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from renalis.service.database import Database
from renalis.service.retries import next_try

__all__ = [
    "Delivery",
    "DeliveryState",
    "add_deliveries",
    "count_deliveries",
    "deliveries_of",
    "due_deliveries",
    "failed_again",
    "sent",
]


class DeliveryState(StrEnum):
    """How a delivery stands."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True)
class Delivery:
    """One object for one destination.

    Attributes
    ----------
    job : str
        Its id.
    file : str
        Below the job's results.
    destination : str
        Name in the configuration.
    state : DeliveryState
        How it stands.
    attempts : int
        That failed.
    due : float
        When to try, in seconds since 1970.
    problem : str
        Why the last attempt failed.
    """

    job: str
    file: str
    destination: str
    state: DeliveryState
    attempts: int
    due: float
    problem: str


def _found(database: Database, where: str, values: tuple[object, ...]) -> list[Delivery]:
    rows = database.rows(f"SELECT * FROM deliveries WHERE {where}", values)
    return [Delivery(**{**dict(row), "state": DeliveryState(row["state"])}) for row in rows]


def add_deliveries(
    database: Database, job: str, files: Sequence[str], destinations: Sequence[str], now: float
) -> None:
    """Queue each file for each destination; what was queued before stays as it is."""
    with database.transaction() as db:
        db.executemany(
            "INSERT OR IGNORE INTO deliveries (job, file, destination, state, due) "
            "VALUES (?, ?, ?, 'waiting', ?)",
            [(job, file, name, now) for file in files for name in destinations],
        )


def due_deliveries(database: Database, now: float) -> list[Delivery]:
    """What is to be sent now, by job and destination."""
    where = "state = 'waiting' AND due <= ? ORDER BY job, destination, file LIMIT 100"
    return _found(database, where, (now,))


def deliveries_of(database: Database, job: str) -> list[Delivery]:
    """All of a job."""
    return _found(database, "job = ? ORDER BY destination, file", (job,))


def sent(database: Database, one: Delivery) -> None:
    """It arrived."""
    _set(database, one, DeliveryState.SENT, one.attempts, one.due, "")


def failed_again(database: Database, one: Delivery, problem: str, most: int, now: float) -> None:
    """It did not; it is tried again later, ever less often, and given up at last."""
    attempts = one.attempts + 1
    state = DeliveryState.FAILED if attempts >= most else DeliveryState.WAITING
    _set(database, one, state, attempts, next_try(attempts, now), problem)


def _set(
    database: Database,
    one: Delivery,
    state: DeliveryState,
    attempts: int,
    due: float,
    problem: str,
) -> None:
    database.change(
        "UPDATE deliveries SET state = ?, attempts = ?, due = ?, problem = ? "
        "WHERE job = ? AND file = ? AND destination = ?",
        (str(state), attempts, due, problem, one.job, one.file, one.destination),
    )


def count_deliveries(database: Database) -> dict[DeliveryState, int]:
    """How many there are in each state."""
    rows = database.rows("SELECT state, count(*) AS many FROM deliveries GROUP BY state")
    found = dict.fromkeys(DeliveryState, 0)
    return found | {DeliveryState(row["state"]): row["many"] for row in rows}
