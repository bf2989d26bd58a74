"""The whole service in one process: opened, at work, and ended in good order."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from dicomweb_client.web import DICOMwebClient

from renalis.io.lock import check_there, held
from renalis.pipeline import SegmentOptions
from renalis.service.access import TokenFile
from renalis.service.collect import Patience, collect, expire, sweep
from renalis.service.config import Archive, Config
from renalis.service.dicomweb import fetch_due, look, open_client
from renalis.service.encryption import server_context
from renalis.service.jobs import take_up
from renalis.service.loops import Loop
from renalis.service.metrics import Counters
from renalis.service.progress import Progress
from renalis.service.rest import Service
from renalis.service.rest_server import listening, serving
from renalis.service.sender import opened_destinations, send_due
from renalis.service.series import interrupt_open
from renalis.service.store import Store, open_store
from renalis.service.store_scp import open_node
from renalis.service.worker import open_worker

__all__ = ["serve"]

_LOG = logging.getLogger(__name__)

_QUIET_S, _PATIENCE_S = 10.0, 600.0
"""Where there is no DICOM node to say so."""
_COLLECT_S, _SEND_S, _FETCH_S, _EXPIRE_S, _WORK_S = 0.5, 1.0, 1.0, 60.0, 0.25
_ENDING_S = 20.0
_THERE_S = 1.0
"""How often to look whether the folder is still there."""


def serve(config: Config, options: SegmentOptions, stopping: threading.Event) -> None:
    """Serve until ``stopping`` is set.

    Parameters
    ----------
    config : Config
        What to do.
    options : SegmentOptions
        How to segment.
    stopping : Event
        Set from outside, such as by a signal.

    Raises
    ------
    RenalisError
        If something that the configuration names cannot be used, another process serves the
        folder, or its drive goes away.
    """
    tokens = TokenFile(config.tokens)
    server_context(config.rest.tls)
    busy = f"another process serves {config.folder} already; stop it, or take another folder"
    with contextlib.ExitStack() as ending:
        lock = ending.enter_context(held(config.folder, busy, patience_s=5.0))
        store = open_store(config.folder, config.limits)
        ending.callback(store.database.close)
        _take_up(store)
        counters, progress = Counters(), Progress()
        worker = open_worker(store, options, _send_to(config), progress, counters, stopping)
        title = config.dimse.ae_title if config.dimse else "RENALIS"
        sends = opened_destinations(config.destinations, title)
        patience = Patience(
            config.dimse.quiet_s if config.dimse else _QUIET_S,
            config.dimse.patience_s if config.dimse else _PATIENCE_S,
        )
        listener = listening(config.rest)
        ending.callback(listener.close)
        clients = [(archive, open_client(archive)) for archive in config.archives]
        loops: dict[str, Loop] = {}
        ending.callback(_wait_for, loops)
        ending.callback(stopping.set)  # before that, whatever ends the service

        def loop(name: str, work: Callable[[], object], every_s: float) -> None:
            loops[name] = Loop(name, work, every_s, stopping)

        # What was coming in when the last process ended may come again from now on.
        interrupt_open(store.database, store.clock.now())
        parts: dict[str, Callable[[], bool]] = {}
        if config.dimse is not None:
            node = open_node(store, config.dimse, counters)
            ending.callback(node.close)
            parts["dimse"] = node.listens
            _LOG.info("the DICOM node %s listens on port %d", config.dimse.ae_title, node.port)
        loop("worker", worker.one, _WORK_S)
        loop("collect", lambda: collect(store, patience, store.clock.now()), _COLLECT_S)
        loop("expire", lambda: expire(store, store.clock.now()), _EXPIRE_S)
        loop("send", lambda: send_due(store, sends, counters), _SEND_S)
        for archive, client in clients:
            fetch = partial(fetch_due, store, archive, client, counters)
            loop(f"fetch {archive.name}", fetch, _FETCH_S)
            if archive.find is not None:
                loop(
                    f"look {archive.name}", partial(_look, store, archive, client), archive.every_s
                )
        parts |= {name: one.alive for name, one in loops.items()}
        service = Service(config, store, progress, counters, tokens, parts, stopping)
        ending.enter_context(serving(service, listener))
        while not stopping.wait(_THERE_S):
            check_there(config.folder, lock)
        _LOG.info("ending")


def _send_to(config: Config) -> dict[str, tuple[str, ...]]:
    """Destinations by origin."""
    found = {f"dicomweb:{archive.name}": archive.send_to for archive in config.archives}
    return found | ({"dimse": config.dimse.send_to} if config.dimse else {})


def _take_up(store: Store) -> None:
    """Go on where the last process stopped, however it did."""
    now = store.clock.now()
    again, lost = take_up(store.database, store.limits.attempts, now)
    sweep(store)
    for job_id in again:
        _LOG.info("job=%s was not finished and is queued again", job_id)
    for job_id in lost:
        _LOG.error("job=%s given up: the program ended too often while it worked on it", job_id)


def _look(store: Store, archive: Archive, client: DICOMwebClient) -> None:
    try:
        look(store, archive, client, store.clock.now())
    except Exception as error:  # an archive that does not answer is asked again
        _LOG.warning("archive=%s does not answer (%s)", archive.name, type(error).__name__)


def _wait_for(loops: dict[str, Loop]) -> None:
    """Let the threads end; what does not is taken up at the next start."""
    end = time.monotonic() + _ENDING_S
    for loop in loops.values():
        loop.join(max(0.1, end - time.monotonic()))
