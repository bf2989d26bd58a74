"""Pages of the viewer that are open: each shows one job, below an address that nobody can guess."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field

from renalis.service.store import Store
from renalis.viewer import App, Cases

__all__ = ["Page", "Pages"]

_HOURS = 8.0
_MOST = 8
"""Pages at a time: each may hold a scan in memory."""


@dataclass(frozen=True, eq=False)
class Page:
    """An open page.

    Attributes
    ----------
    job : str
        The job's id.
    app : App
        What answers.
    until : float
        Seconds since 1970.
    closes : float
        The same moment by `time.monotonic`, which nobody sets.
    """

    job: str
    app: App
    until: float
    closes: float


@dataclass(frozen=True, eq=False)
class Pages:
    """All open pages by their keys; the oldest gives way to one too many."""

    _open: dict[str, Page] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, store: Store, job_id: str, who: str) -> tuple[str, Page]:
        """Open a page for a job with results; its key and the page.

        Raises
        ------
        InputError
            If the job has no results to show.
        """
        cases = Cases.of(store.result(job_id), scans=[store.job(job_id) / "input"], who=who)
        open_s = _HOURS * 3600
        now, passed = store.clock.now(), time.monotonic()
        page = Page(job_id, App(cases), now + open_s, passed + open_s)
        key = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._open) >= _MOST:
                del self._open[next(iter(self._open))]
            self._open[key] = page
        return key, page

    def named(self, key: str) -> Page | None:
        """The page of a key, while it is open."""
        with self._lock:
            page = self._open.get(key)
            if page is not None and page.closes < time.monotonic():
                del self._open[key]
                return None
            return page
