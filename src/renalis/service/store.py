"""The service's folder: who may read it, what lies where, and when it is full."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from renalis.errors import OutputError, RenalisError
from renalis.service.config import Limits
from renalis.service.database import Database, open_database
from renalis.service.jobs import waiting

__all__ = ["Refused", "SteadyClock", "Store", "check_room", "open_clock", "open_store"]

_FOLDERS = ("series", "jobs", "arriving")


class Refused(RenalisError):
    """What came in is not taken.

    Attributes
    ----------
    reason : str
        One word for statistics.
    for_now : bool
        Whether it may be taken later.
    """

    def __init__(self, reason: str, sentence: str, for_now: bool = False) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.for_now = for_now


@dataclass(frozen=True)
class Store:
    """Where everything is.

    Attributes
    ----------
    folder : Path
        ``series/KEY`` holds images as they come, ``jobs/ID/input`` the scan of a job,
        ``jobs/ID/result`` what came out, ``arriving`` what is not whole yet.
    database : Database
        What is known about them.
    limits : Limits
        What is too much.
    clock : SteadyClock
        What time it is.
    """

    folder: Path
    database: Database
    limits: Limits
    clock: SteadyClock

    def series(self, key: str) -> Path:
        """The images of a series."""
        return self.folder / "series" / key

    def job(self, job_id: str) -> Path:
        """A job's folder."""
        return self.folder / "jobs" / job_id

    def result(self, job_id: str) -> Path:
        """What ``renalis segment`` would write with ``-o``."""
        return self.job(job_id) / "result"

    @property
    def arriving(self) -> Path:
        """What is not whole yet; emptied at each start."""
        return self.folder / "arriving"


def open_store(folder: Path, limits: Limits) -> Store:
    """Open the folder or make it.

    Raises
    ------
    OutputError
        If it cannot be made or written.
    InputError
        If its queue cannot be opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.chmod(folder, 0o700)
        shutil.rmtree(folder / "arriving", ignore_errors=True)
        for name in _FOLDERS:
            (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be written ({error.strerror}); choose another one"
        ) from error
    database = open_database(folder / "queue.sqlite")
    return Store(folder, database, limits, open_clock(database))


def check_room(store: Store) -> None:
    """Refuse new scans while there is too much to do, or too little space.

    Raises
    ------
    Refused
        For now.
    """
    if not (store.folder / "series").is_dir():  # an unmounted drive leaves an empty folder
        raise Refused("gone", "the service's folder is gone; try again later", for_now=True)
    if waiting(store.database) >= store.limits.waiting:
        raise Refused("waiting", "too many scans wait already; try again later", for_now=True)
    if shutil.disk_usage(store.folder).free < store.limits.free_gb * 1e9:
        raise Refused("space", "there is too little space left; try again later", for_now=True)


@dataclass(frozen=True)
class SteadyClock:
    """The time of day at the start, and what has passed since by a clock that nobody sets.

    Attributes
    ----------
    begin : float
        Seconds since 1970.
    """

    begin: float = field(default_factory=time.time)
    _since: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since 1970."""
        return self.begin + time.monotonic() - self._since


def open_clock(database: Database) -> SteadyClock:
    """A clock that begins no earlier than the last thing that the queue knows to have happened."""
    (row,) = database.rows(
        "SELECT max(coalesce((SELECT max(heard) FROM series), 0), coalesce((SELECT "
        "max(max(created, coalesce(began, 0), coalesce(ended, 0))) FROM jobs), 0)) AS last"
    )
    return SteadyClock(max(time.time(), float(row["last"])))
