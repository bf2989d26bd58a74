"""The DICOMweb client: finds series by QIDO-RS, fetches them by WADO-RS, sends by STOW-RS."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path

import pydicom
import requests
from dicomweb_client.web import DICOMwebClient

from renalis.errors import InputError
from renalis.service.config import Archive, WebDestination
from renalis.service.fetches import Fetch, due_fetches, fetched, missed, seen
from renalis.service.incoming import take_image
from renalis.service.metrics import Counters
from renalis.service.series import SeriesState, close_series
from renalis.service.store import Refused, Store

__all__ = ["fetch_due", "look", "open_client", "stow"]

_LOG = logging.getLogger(__name__)

_WAIT_S = (10.0, 120.0)
"""For a connection, and for the next piece of an answer."""
_STUDY, _SERIES, _IMAGES = "0020000D", "0020000E", "00201209"
_PAGE = 500


def open_client(server: Archive | WebDestination) -> DICOMwebClient:
    """A client with the server's password and certificates.

    Raises
    ------
    InputError
        If a file with a password cannot be read.
    """
    session = requests.Session()
    session.trust_env = False  # no proxies and passwords from elsewhere
    try:
        if server.token_file is not None:
            token = server.token_file.read_text(encoding="utf-8").strip()
            session.headers["Authorization"] = f"Bearer {token}"
        elif server.login_file is not None:
            name, _, password = server.login_file.read_text("utf-8").strip().partition(":")
            session.auth = (name, password)
    except (OSError, UnicodeDecodeError) as error:
        path = server.token_file or server.login_file
        raise InputError(f"{path} cannot be read; check who may read it") from error
    if server.tls is not None:
        if server.tls.authority is not None:
            session.verify = str(server.tls.authority)
        if server.tls.certificate is not None:
            session.cert = (str(server.tls.certificate), str(server.tls.key))
    client = DICOMwebClient(server.url.rstrip("/"), session=session, timeout=_WAIT_S)
    client.set_http_retry_params(retry=False)  # the queue has its own patience
    return client


def look(store: Store, archive: Archive, client: DICOMwebClient, now: float) -> int:
    """Ask an archive for series, and note what it has; their number.

    Raises
    ------
    Exception
        Whatever the client raises when the archive does not answer.
    """
    offset = 0
    while True:
        page = client.search_for_series(
            search_filters=dict(archive.find or {}), limit=_PAGE, offset=offset
        )
        for found in page:
            study, series = _value(found, _STUDY), _value(found, _SERIES)
            if study and series:
                images = _value(found, _IMAGES)
                seen(store.database, archive.name, study, series, images, now)
        offset += len(page)
        if len(page) < _PAGE:
            return offset


def _value(found: dict[str, dict[str, object]], tag: str) -> str:
    """The first value of an element in DICOM JSON (PS3.18 F.2), as text."""
    values = found.get(tag, {}).get("Value")
    return str(values[0]) if isinstance(values, list) and values else ""


def fetch_due(store: Store, archive: Archive, client: DICOMwebClient, counters: Counters) -> None:
    """Fetch what is due from an archive."""
    for one in due_fetches(store.database, archive.name, store.clock.now()):
        try:
            _fetch(store, one, client, counters)
        except Refused as refused:
            counters.add("renalis_refused_total", door="dicomweb", reason=refused.reason)
            problem = str(refused)
        except (requests.RequestException, OSError, ValueError) as error:
            problem = f"the archive {archive.name} did not give it ({type(error).__name__})"
        else:
            fetched(store.database, one)
            continue
        _LOG.warning("archive=%s a series could not be fetched, attempt %d", archive.name,
                     one.attempts + 1)  # fmt: skip
        missed(store.database, one, problem, store.limits.tries, store.clock.now())


def _fetch(store: Store, one: Fetch, client: DICOMwebClient, counters: Counters) -> None:
    """Keep all images of a series; what breaks off leaves it broken."""
    keys: set[str] = set()
    state, images = SeriesState.BROKEN, 0
    try:
        # As they are stored: decoding is `renalis.io`'s work.
        stream = client.iter_series(one.study_uid, one.series_uid, (("application/dicom", "*"),))
        for dataset in stream:
            content = io.BytesIO()
            pydicom.dcmwrite(content, dataset, enforce_file_format=True)
            keys.add(take_image(store, content.getvalue(), f"dicomweb:{one.archive}"))
            counters.add("renalis_images_received_total", origin="dicomweb")
            images += 1
        if not images or (one.seen.isdigit() and images < int(one.seen)):
            raise ValueError("fewer images than the archive said")
        state = SeriesState.CLOSED
    finally:
        for key in keys:
            # Nothing more is to come of what was fetched whole, so it need not be quiet first.
            now = 0.0 if state == SeriesState.CLOSED else store.clock.now()
            close_series(store.database, key, state, now)


def stow(client: DICOMwebClient, paths: Sequence[Path]) -> None:
    """Send objects.

    Raises
    ------
    Exception
        If one did not arrive.
    """
    answer = client.store_instances([pydicom.dcmread(path) for path in paths])
    failed = answer.get("FailedSOPSequence")
    if failed:
        code = int(failed[0].get("FailureReason", 0))
        raise ValueError(f"the server refused it with code {code:04X}")
