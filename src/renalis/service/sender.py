"""Sends results to their destinations, and again when they do not answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

import pydicom
import requests
from pynetdicom import AE, evt

from renalis.service.config import Destination, DimseDestination
from renalis.service.deliveries import Delivery, due_deliveries, failed_again, sent
from renalis.service.dicomweb import open_client, stow
from renalis.service.encryption import client_context
from renalis.service.metrics import Counters
from renalis.service.pdu_limit import limit_pdus
from renalis.service.store import Store

__all__ = ["Send", "opened_destinations", "send_due"]

_LOG = logging.getLogger(__name__)
_WAIT_S = 60.0

Send = Callable[[Path], None]
"""Sends one object; raises OSError or ValueError with a sentence if it did not arrive."""


def opened_destinations(destinations: Mapping[str, Destination], ae_title: str) -> dict[str, Send]:
    """How to send to each destination.

    Raises
    ------
    InputError
        If a file with a password or a certificate cannot be read.
    """
    found: dict[str, Send] = {}
    for name, one in destinations.items():
        if isinstance(one, DimseDestination):
            client_context(one.tls)  # what is wrong with certificates is said at the start
            found[name] = _by_store(one, ae_title)
        else:
            client = open_client(one)
            found[name] = lambda path, client=client: stow(client, [path])  # type: ignore[misc]
    return found


def send_due(store: Store, sends: Mapping[str, Send], counters: Counters) -> None:
    """Send what is due, a job and destination after the other."""
    due = due_deliveries(store.database, store.clock.now())
    for (job, name), group in groupby(due, key=lambda one: (one.job, one.destination)):
        for one in group:
            problem = _tried(store, one, sends.get(name))
            if not problem:
                sent(store.database, one)
                counters.add("renalis_objects_sent_total", destination=name)
                _LOG.info("job=%s sent to %s", job, name)
                continue
            counters.add("renalis_send_failures_total", destination=name)
            _LOG.warning("job=%s not sent to %s, attempt %d", job, name, one.attempts + 1)
            failed_again(store.database, one, problem, store.limits.tries, store.clock.now())


def _tried(store: Store, one: Delivery, send: Send | None) -> str:
    """Why it did not arrive; empty if it did."""
    if send is None:
        return "the configuration has no such destination any more"
    path = store.result(one.job) / one.file
    if not path.is_file():
        return "the object is not there any more"
    try:
        send(path)
    except (OSError, ValueError, requests.RequestException) as error:
        plain = isinstance(error, ValueError | ConnectionError) and not isinstance(
            error, requests.RequestException
        )
        return str(error) if plain else f"no answer ({type(error).__name__})"
    return ""


def _by_store(destination: DimseDestination, ae_title: str) -> Send:
    """C-STORE, in an association of its own for each object."""

    def send(path: Path) -> None:
        found = pydicom.dcmread(path, defer_size=1 << 20)
        entity = AE(ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _WAIT_S
        entity.connection_timeout = 10.0
        entity.add_requested_context(found.SOPClassUID, found.file_meta.TransferSyntaxUID)
        context = client_context(destination.tls)
        association = entity.associate(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            tls_args=None if context is None else (context, destination.host),
            evt_handlers=[(evt.EVT_CONN_OPEN, limit_pdus)],
        )
        if not association.is_established:
            refused = association.is_rejected or bool(association.rejected_contexts)
            association.abort()
            raise ConnectionError("it was refused" if refused else "nobody answers")
        try:
            status = association.send_c_store(path)
        finally:
            association.release()
        code = status.get("Status")
        # 0xBxxx are warnings: it was kept, if not in every detail.
        if code is None or (code != 0 and code >> 12 != 0xB):
            raise ValueError(
                "no answer" if code is None else f"it was refused with status {code:04X}"
            )

    return send
