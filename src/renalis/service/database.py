"""The queue's file: SQLite, whose commits outlive the process at any moment."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from renalis.errors import InputError

__all__ = ["Database", "open_database"]

_VERSION = 1
_TABLES = """
CREATE TABLE series (
    key TEXT PRIMARY KEY, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL,
    origin TEXT NOT NULL, state TEXT NOT NULL, heard REAL NOT NULL
);
CREATE TABLE images (
    series TEXT NOT NULL REFERENCES series(key) ON DELETE CASCADE, file TEXT NOT NULL,
    sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (series, file)
);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, origin TEXT NOT NULL, source TEXT NOT NULL, content TEXT NOT NULL,
    version INTEGER NOT NULL, state TEXT NOT NULL, created REAL NOT NULL, began REAL, ended REAL,
    attempts INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '',
    notes TEXT NOT NULL DEFAULT '[]', superseded_by TEXT
);
CREATE UNIQUE INDEX one_job_for_one_content ON jobs (source, content);
CREATE INDEX jobs_by_state ON jobs (state, attempts, created);
CREATE TABLE deliveries (
    job TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, file TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL, problem TEXT NOT NULL DEFAULT '', PRIMARY KEY (job, file, destination)
);
CREATE TABLE fetches (
    archive TEXT NOT NULL, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL, seen TEXT NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL,
    problem TEXT NOT NULL DEFAULT '', PRIMARY KEY (archive, series_uid)
);
"""


class Database:
    """One connection for all threads, one transaction at a time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What the block does is there as a whole and for good, or not at all."""
        with self._lock:
            if self._connection.in_transaction:  # within another one, and a part of it
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.commit()

    def change(self, query: str, values: tuple[Any, ...] = ()) -> int:
        """Make one change, whole or not at all; how many rows it met."""
        with self.transaction() as db:
            return db.execute(query, values).rowcount

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """The rows that a query finds."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def open_database(path: Path) -> Database:
    """Open the queue's file, or make it.

    Raises
    ------
    InputError
        If it cannot be opened, or is of a later version.
    """
    try:
        path.touch(mode=0o600)
        # Autocommit: transactions are begun by hand.
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=30.0
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit outlives a power cut, too
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # UIDs of deleted scans do not stay behind
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;"
            )
    except (OSError, sqlite3.Error) as error:
        raise InputError(
            f"the queue {path} cannot be opened ({error}); check the folder"
        ) from error
    if version not in (0, _VERSION):
        raise InputError(f"the queue {path} is of another version of renalis; take another folder")
    return Database(connection)
