"""The DICOM node: answers C-ECHO, and takes CT images by C-STORE from those who may send."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    Verification,
)

from renalis.errors import InputError, RenalisError
from renalis.pipeline.failures import traceback_of
from renalis.service.access import Rate
from renalis.service.config import DimseNode
from renalis.service.encryption import server_context
from renalis.service.incoming import take_image
from renalis.service.metrics import Counters
from renalis.service.pdu_limit import limit_pdus
from renalis.service.series import SeriesState, close_series
from renalis.service.store import Refused, Store

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.events import Event

__all__ = ["Node", "open_node"]

_LOG = logging.getLogger(__name__)

_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND, _FAILURE = 0x0000, 0xA700, 0xC000, 0x0110
_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_SYNTAXES = (
    "1.2.840.10008.1.2.1", "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5",
)  # fmt: skip
"""PS3.5 10, those that `renalis.io` reads, without the deflated ones, which may unpack to anything,
and big endian, which is retired."""
_WAIT_S = 60.0
_ASK_S = 10.0
"""For the request that begins an association: until it comes, the line takes one of the places."""
_REJECTED, _BY_USER, _CALLER = 0x01, 0x01, 0x03
"""PS3.8 9.3.4: rejected for good by the service user, who does not know the calling AE title."""


@dataclass(frozen=True, eq=False)
class Node:
    """A DICOM node that listens."""

    port: int
    _entity: AE
    _server: Any

    def listens(self) -> bool:
        """Whether it is at work."""
        return bool(self._server.socket.fileno() >= 0)

    def close(self) -> None:
        """Break off what is coming in, and listen no more."""
        self._entity.shutdown()


class _Receiving:
    """What each association has brought, and which series that leaves whole or broken."""

    def __init__(self, store: Store, node: DimseNode, counters: Counters) -> None:
        self._store, self._node, self._counters = store, node, counters
        self._rate = Rate(node.associations_per_minute)
        self._lock = threading.Lock()
        self._brought: dict[Association, set[str]] = {}
        self._held: Counter[str] = Counter()
        self._bytes: dict[Association, int] = {}

    def opened(self, event: Event) -> None:
        """Close connections from addresses that may not send, before a byte of them is read."""
        address = str(event.address[0])  # type: ignore[attr-defined]
        known = any(peer.allows(peer.ae_title, address) for peer in self._node.peers)
        if known and self._rate.allows(address):
            limit_pdus(event)
            with self._lock:
                self._brought[event.assoc] = set()
            return
        self._refuse("rate" if known else "address")
        connection = event.assoc.dul.socket
        assert connection is not None
        connection.close()

    def requested(self, event: Event) -> None:
        """Reject AE titles that may not send, or not from there."""
        asked = event.assoc.requestor
        assert asked.primitive is not None
        title = str(asked.primitive.calling_ae_title).strip()
        if not any(peer.allows(title, asked.address) for peer in self._node.peers):
            self._refuse("ae_title")
            event.assoc.acse.send_reject(_REJECTED, _BY_USER, _CALLER)
            event.assoc.kill()

    def data(self, event: Event) -> None:
        """Break off when one object does not end."""
        with self._lock:
            size = self._bytes.get(event.assoc, 0) + len(event.data)
            self._bytes[event.assoc] = size
        if size > self._store.limits.image_mb * 1.01e6 + 1e6:
            self._refuse("image_mb")
            event.assoc.abort()

    def stored(self, event: Event) -> int:
        """Keep an image; the status for its sender."""
        assoc = event.assoc
        try:
            key = take_image(self._store, event.encoded_dataset(), "dimse")
        except Refused as refused:
            self._refuse(refused.reason)
            return _OUT_OF_RESOURCES if refused.for_now else _CANNOT_UNDERSTAND
        except RenalisError:
            self._refuse("space")
            return _OUT_OF_RESOURCES
        except Exception as error:
            _LOG.error("an image could not be kept\n%s", traceback_of(error))
            return _FAILURE
        with self._lock:
            self._bytes[assoc] = 0
            brought = self._brought.get(assoc)
            if brought is not None and key not in brought:
                brought.add(key)
                self._held[key] += 1
            nobody = brought is None and not self._held[key]
        if nobody:  # its connection was lost meanwhile
            close_series(self._store.database, key, SeriesState.BROKEN, self._store.clock.now())
        self._counters.add("renalis_images_received_total", origin="dimse")
        return _SUCCESS

    def ended(self, event: Event) -> None:
        """Note how the series stand that an association brought, and free its place."""
        requests: Any = event.assoc.dul.to_user_queue
        requests.put(None)  # ends waiting for them
        well = bool(event.assoc.is_released)
        state = SeriesState.CLOSED if well else SeriesState.BROKEN
        with self._lock:
            brought = self._brought.pop(event.assoc, set())
            self._bytes.pop(event.assoc, None)
            self._held.subtract(brought)
            free = [key for key in brought if not self._held[key]]
        for key in free:
            close_series(self._store.database, key, state, self._store.clock.now())
        if brought and not well:
            self._refuse("broken_off")

    def _refuse(self, reason: str) -> None:
        self._counters.add("renalis_refused_total", door="dimse", reason=reason)
        _LOG.warning("the DICOM node refused something (%s)", reason)


def open_node(store: Store, node: DimseNode, counters: Counters) -> Node:
    """Begin to listen.

    Raises
    ------
    InputError
        If its address cannot be listened on.
    """
    entity = AE(node.ae_title)
    entity.require_called_aet = True
    entity.maximum_associations = node.associations
    entity.dimse_timeout = entity.network_timeout = _WAIT_S
    entity.acse_timeout = _ASK_S
    for each in _CLASSES:
        entity.add_supported_context(each, list(_SYNTAXES))
    entity.add_supported_context(Verification)
    receiving = _Receiving(store, node, counters)
    handlers = [
        (evt.EVT_CONN_OPEN, receiving.opened),
        (evt.EVT_REQUESTED, receiving.requested),
        (evt.EVT_DATA_RECV, receiving.data),
        (evt.EVT_C_ECHO, lambda _: _SUCCESS),
        (evt.EVT_C_STORE, receiving.stored),
        (evt.EVT_CONN_CLOSE, receiving.ended),
    ]
    try:
        server = entity.start_server(
            (node.host, node.port),
            block=False,
            ssl_context=server_context(node.tls),
            evt_handlers=handlers,  # type: ignore[arg-type]
        )
    except OSError as error:
        raise InputError(
            f"the DICOM node cannot listen on {node.host} port {node.port} ({error.strerror}); "
            "choose another port"
        ) from error
    assert server is not None
    return Node(int(server.server_address[1]), entity, server)
