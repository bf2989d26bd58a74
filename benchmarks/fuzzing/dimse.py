"""DIMSE: bytes on a line to the DICOM node, that begin as an association does."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from pathlib import Path
from random import Random

import pydicom
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, Verification

from fuzzing.changed_bytes import changed_bytes
from fuzzing.dicom import changed_dataset, series_seeds
from renalis.service.config import DimseNode, Limits
from renalis.service.metrics import Counters
from renalis.service.store import open_store
from renalis.service.store_scp import open_node

__all__ = ["target"]

_LIMITS = Limits(image_mb=1, series_mb=20, images=100_000, waiting=10**6, free_gb=0.0001)
_CT = "1.2.840.10008.5.1.4.1.1.2"


def _item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def _request() -> bytes:
    """An A-ASSOCIATE-RQ for CT images and echoes (PS3.8 9.3.2)."""

    def context(number: int, uid: str) -> bytes:
        names = _item(0x30, uid.encode()) + _item(0x40, b"1.2.840.10008.1.2.1")
        return _item(0x20, struct.pack(">BBBB", number, 0, 0, 0) + names)

    user = _item(0x51, struct.pack(">I", 16384)) + _item(0x52, b"1.2.3.4.5")
    content = struct.pack(">HH", 1, 0) + b"RENALIS".ljust(16) + b"SCANNER".ljust(16) + b"\0" * 32
    content += _item(0x10, b"1.2.840.10008.3.1.1.1")
    content += context(1, "1.2.840.10008.1.1") + context(3, _CT) + _item(0x50, user)
    return struct.pack(">BBI", 1, 0, len(content)) + content


def _data(context: int, control: int, content: bytes) -> bytes:
    value = struct.pack(">IBB", len(content) + 2, context, control) + content
    return struct.pack(">BBI", 4, 0, len(value)) + value


def _command(instance: str) -> bytes:
    """A C-STORE-RQ (PS3.7 9.3.1.1)."""
    data = pydicom.Dataset()
    data.AffectedSOPClassUID, data.CommandField, data.MessageID = _CT, 1, 1
    data.Priority, data.CommandDataSetType, data.AffectedSOPInstanceUID = 0, 1, instance
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, True
    write_dataset(out, data)
    body = out.getvalue()
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


class Dimse:
    """Bytes for the node; after every tenth the node has to answer an echo."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.images = series_seeds()["explicit"]
        self.tried = 0

    def begin(self) -> None:
        """Listen."""
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
        logging.getLogger("renalis").setLevel(logging.CRITICAL + 1)
        store = open_store(self.scratch / "kept", _LIMITS)
        settings = DimseNode.model_validate(
            {"port": 0, "peers": [{"ae_title": "SCANNER", "address": "127.0.0.1"}],
             "associations_per_minute": 10**6}
        )  # fmt: skip
        # pynetdicom's own thread ends where a peer breaks the protocol; the node has to go on.
        threading.excepthook = lambda told: None
        self.node = open_node(store, settings, Counters())

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write down what is sent, some of it changed."""
        image, words = rng.choice(self.images), []
        if rng.random() < 0.4:
            image, words = changed_dataset(image, rng)
        start = 132 + 12 + int.from_bytes(image[140:144], "little")
        parts = [_request(), _data(3, 3, _command("1.2.3.4.0")), _data(3, 2, image[start:]),
                 struct.pack(">BBII", 5, 0, 4, 0)]  # fmt: skip
        for _ in range(rng.choice((0, 1, 1, 2))):
            at = rng.choice((0, 0, 1, 1, 2, 3))
            parts[at], more = changed_bytes(parts[at], rng, early=80)
            words += [f"{('request', 'command', 'data', 'release')[at]}: {w}" for w in more]
        if rng.random() < 0.1:
            rng.shuffle(parts)
            words.append("another order")
        for index, part in enumerate(parts):
            (folder / f"{index}").write_bytes(part)
        return words or ["nothing"]

    def use(self, folder: Path) -> None:
        """Send all, take what comes back, hang up."""
        self.tried += 1
        with socket.create_connection(("127.0.0.1", self.node.port), timeout=5) as line:
            line.settimeout(0.05)
            try:
                for part in sorted(folder.iterdir()):
                    line.sendall(part.read_bytes())
                    with contextlib.suppress(TimeoutError):
                        line.recv(4096)
            except OSError:  # it hung up
                pass
        if self.tried % 10 == 0:
            entity = AE("SCANNER")
            entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
            for context in (Verification, CTImageStorage):
                entity.add_requested_context(context)
            association = entity.associate("127.0.0.1", self.node.port, ae_title="RENALIS")
            assert association.is_established, "the node does not answer any more"
            assert association.send_c_echo().get("Status") == 0
            association.release()
        assert self.node.listens()


def target(scratch: Path) -> Dimse:
    """What tries the DICOM node."""
    return Dimse(scratch)
