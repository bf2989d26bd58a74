"""Series that come in image by image, until they are whole."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from enum import StrEnum

from renalis.service.database import Database

__all__ = [
    "Series",
    "SeriesState",
    "add_image",
    "close_series",
    "content_of",
    "due_series",
    "forget_series",
    "forgotten",
    "interrupt_open",
    "mark_queued",
    "postpone",
    "series_key",
    "series_size",
]


class SeriesState(StrEnum):
    """How a series stands."""

    OPEN = "open"
    """An association or a fetch is bringing it."""
    CLOSED = "closed"
    """What brought it ended in good order."""
    BROKEN = "broken"
    """What brought it broke off: its sender knows, and sends it again."""
    INTERRUPTED = "interrupted"
    """This program ended meanwhile: its sender may believe that all has arrived."""
    QUEUED = "queued"
    """Its job has all that came."""


@dataclass(frozen=True)
class Series:
    """A series, by the hash of its UIDs."""

    key: str
    origin: str
    state: SeriesState
    heard: float


def series_key(study_uid: str, series_uid: str) -> str:
    """A name for a series that may stand in the file system."""
    return hashlib.sha256(f"{study_uid}/{series_uid}".encode()).hexdigest()[:32]


def add_image(
    database: Database,
    study_uid: str,
    series_uid: str,
    origin: str,
    file: str,
    sha256: str,
    size: int,
    now: float,
) -> None:
    """Note an image whose file is whole on disk; its series is open again if it was not."""
    key = series_key(study_uid, series_uid)
    with database.transaction() as db:
        db.execute(
            "INSERT INTO series (key, study_uid, series_uid, origin, state, heard) "
            "VALUES (?, ?, ?, ?, 'open', ?) ON CONFLICT (key) DO UPDATE SET "
            "state = 'open', heard = excluded.heard, origin = excluded.origin",
            (key, study_uid, series_uid, origin, now),
        )
        db.execute(
            "INSERT INTO images (series, file, sha256, bytes) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (series, file) DO UPDATE SET "
            "sha256 = excluded.sha256, bytes = excluded.bytes",
            (key, file, sha256, size),
        )


def series_size(database: Database, key: str) -> tuple[int, int]:
    """Images and bytes of a series so far."""
    (row,) = database.rows(
        "SELECT count(*) AS images, coalesce(sum(bytes), 0) AS bytes FROM images WHERE series = ?",
        (key,),
    )
    return row["images"], row["bytes"]


def close_series(database: Database, key: str, state: SeriesState, now: float) -> None:
    """Note how what brought a series ended."""
    database.change(
        "UPDATE series SET state = ?, heard = ? WHERE key = ? AND state = 'open'",
        (str(state), now, key),
    )


def interrupt_open(database: Database, now: float) -> None:
    """After a start: what was coming in when the program ended, and waits for some time from now.

    Series that were whole but for the quiet after them go on waiting for that.
    """
    with database.transaction() as db:
        db.execute(
            "UPDATE series SET state = 'interrupted', heard = ? WHERE state = 'open'", (now,)
        )
        db.execute("UPDATE series SET heard = ? WHERE state = 'closed' AND heard > ?", (now, now))


def due_series(database: Database, state: SeriesState, before: float) -> list[Series]:
    """Series in a state since before then."""
    rows = database.rows(
        "SELECT key, origin, state, heard FROM series WHERE state = ? AND heard <= ? "
        "ORDER BY heard",
        (str(state), before),
    )
    return [_series(row) for row in rows]


def _series(row: sqlite3.Row) -> Series:
    return Series(row["key"], row["origin"], SeriesState(row["state"]), row["heard"])


def content_of(database: Database, key: str) -> tuple[str, list[str]]:
    """A hash of all images of a series, and their files."""
    rows = database.rows("SELECT file, sha256 FROM images WHERE series = ? ORDER BY file", (key,))
    whole = hashlib.sha256("".join(f"{row['file']} {row['sha256']}\n" for row in rows).encode())
    return whole.hexdigest(), [row["file"] for row in rows]


def mark_queued(database: Database, key: str, heard: float) -> bool:
    """Note that a job has all of a series; False if more has come since ``heard``."""
    changed = database.change(
        "UPDATE series SET state = 'queued' WHERE key = ? AND heard = ? AND state != 'open'",
        (key, heard),
    )
    return changed == 1


def postpone(database: Database, key: str, until: float) -> None:
    """Look at a series again later."""
    database.change("UPDATE series SET heard = ? WHERE key = ?", (until, key))


def forget_series(database: Database, key: str) -> bool:
    """Forget a series and its images, unless it is coming in."""
    return database.change("DELETE FROM series WHERE key = ? AND state != 'open'", (key,)) == 1


def forgotten(database: Database) -> list[str]:
    """Keys of queued series of which there is no job any more."""
    rows = database.rows(
        "SELECT key FROM series WHERE state = 'queued' "
        "AND NOT EXISTS (SELECT 1 FROM jobs WHERE source = key)"
    )
    return [row["key"] for row in rows]
