"""Series that are whole become jobs; those that broke off and do not come again are dropped."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from renalis.service.jobs import add_job, delete_job, find_job, new_id, outdated
from renalis.service.series import (
    Series,
    SeriesState,
    content_of,
    due_series,
    forget_series,
    forgotten,
    mark_queued,
    postpone,
)
from renalis.service.store import Store

__all__ = ["Patience", "collect", "drop_series", "expire", "sweep"]

_LOG = logging.getLogger(__name__)

_INTERRUPTED = (
    "the service was stopped while this series came in, and nothing more of it came later; "
    "check that it is whole"
)


_AGAIN_S = 60.0


@dataclass(frozen=True)
class Patience:
    """Seconds to wait for more of a series: after a good end, and after a bad one."""

    quiet_s: float
    broken_s: float


def collect(store: Store, patience: Patience, now: float) -> list[str]:
    """Make jobs of what is whole, and drop what is not and was waited for long enough.

    Returns
    -------
    list of str
        Ids of the new jobs.
    """
    made = []
    for series in due_series(store.database, SeriesState.CLOSED, now - patience.quiet_s):
        made.append(_queue(store, series, now, ()))
    for series in due_series(store.database, SeriesState.INTERRUPTED, now - patience.broken_s):
        made.append(_queue(store, series, now, (_INTERRUPTED,)))
    for series in due_series(store.database, SeriesState.BROKEN, now - patience.broken_s):
        # Its sender was told; half a series would be measured wrong.
        if drop_series(store, series.key):
            _LOG.warning("a series that broke off did not come again and was dropped")
    return [job_id for job_id in made if job_id is not None]


def _queue(store: Store, series: Series, now: float, notes: tuple[str, ...]) -> str | None:
    """A job of the images as they are now; None where there is one, or more images are coming."""
    content, files = content_of(store.database, series.key)
    job_id = new_id()
    place = store.job(job_id) / "input" / job_id
    try:
        _link(store.series(series.key), files, place)
    except OSError as error:
        _LOG.error("a series cannot be queued (%s); it is tried again", error.strerror)
        postpone(store.database, series.key, now + _AGAIN_S)
        shutil.rmtree(store.job(job_id), ignore_errors=True)
        return None
    kept = False
    try:
        with store.database.transaction():
            if mark_queued(store.database, series.key, series.heard):
                job = add_job(
                    store.database,
                    job_id,
                    origin=series.origin,
                    source=series.key,
                    content=content,
                    now=now,
                    notes=notes,
                )
                kept = job.id == job_id
    finally:
        if not kept:
            shutil.rmtree(store.job(job_id), ignore_errors=True)
    if not kept:
        return None
    _LOG.info("job=%s queued: %d images", job_id, len(files))
    return job_id


def drop_series(store: Store, key: str) -> bool:
    """Forget a series with its files, unless it is coming in."""
    with store.database.transaction():
        dropped = forget_series(store.database, key)
        if dropped:
            shutil.rmtree(store.series(key), ignore_errors=True)
    return dropped


def _link(folder: Path, files: list[str], place: Path) -> None:
    """The same files in another folder, which later images do not change."""
    place.mkdir(parents=True)
    for name in files:
        try:
            os.link(folder / name, place / name)
        except FileNotFoundError:
            raise
        except OSError:  # a drive without links
            shutil.copy2(folder / name, place / name)
    for each in (place, place.parent, place.parent.parent, place.parent.parent.parent):
        _flush(each)


def _flush(folder: Path) -> None:
    """Make a folder's entries outlive a power cut, where that can be asked for."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(store: Store) -> None:
    """After a start: remove files of which the queue knows nothing."""
    for folder in (store.folder / "jobs").iterdir():
        if find_job(store.database, folder.name) is None:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in (store.folder / "series").iterdir():
        _, known = content_of(store.database, folder.name)
        if not known:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        for path in folder.iterdir():
            # Images that were being written: their sender was not told that they are kept.
            if path.name not in known:
                path.unlink(missing_ok=True)


def expire(store: Store, now: float) -> list[str]:
    """Delete jobs that ended ``limits.keep_days`` ago, and series of which no job is left.

    The queue forgets first: a folder that is left behind when the program ends in between is
    removed at its next start.

    Returns
    -------
    list of str
        Ids of the deleted jobs.
    """
    gone = []
    for job_id in outdated(store.database, now - store.limits.keep_days * 86400):
        if delete_job(store.database, job_id):
            shutil.rmtree(store.job(job_id), ignore_errors=True)
            _LOG.info("job=%s deleted after limits.keep_days", job_id)
            gone.append(job_id)
    for key in forgotten(store.database):
        drop_series(store, key)
    return gone
