"""How long a message of the DICOM network protocol may be before a byte of it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pynetdicom.events import Event

__all__ = ["LONGEST_PDU", "limit_pdus"]

LONGEST_PDU = 1 << 20
"""Bytes. Peers are told that data come in PDUs of at most 16 kB; a request for an association with
all its contexts is shorter than that too."""


def limit_pdus(event: Event) -> None:
    """Close a connection whose peer claims a longer PDU, as soon as it has said so.

    pynetdicom reads what a PDU's header claims, up to 4 GB, before anything looks at it (its issue
    1086). For ``EVT_CONN_OPEN``, which comes before the first byte is read.
    """
    connection = event.assoc.dul.socket
    assert connection is not None
    read = connection.recv

    def limited(nr_bytes: int) -> bytearray:
        if nr_bytes > LONGEST_PDU:
            connection.close()
            raise ConnectionAbortedError("a PDU longer than is taken")
        return read(nr_bytes)

    connection.recv = limited  # type: ignore[method-assign]
