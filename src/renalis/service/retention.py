"""Deletes what is kept long enough, with all that was made of it."""

from __future__ import annotations

import logging
import shutil

from renalis.service.collect import drop_series
from renalis.service.jobs import delete_job, outdated
from renalis.service.series import forgotten
from renalis.service.store import Store

__all__ = ["expire"]

_LOG = logging.getLogger(__name__)


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
