"""The DICOM node: who may send, what is refused, and peers that stop in the middle."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from helpers.dicom_writer import body, ct_slice, write_series
from helpers.running_service import wait_until
from helpers.service_api import LIMITS
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    MRImageStorage,
    Verification,
)

from renalis.service.collect import Patience, collect
from renalis.service.config import DimseNode
from renalis.service.jobs import add_job, all_jobs
from renalis.service.logs import plain_log
from renalis.service.metrics import Counters
from renalis.service.series import due_series
from renalis.service.store import Store
from renalis.service.store_scp import Node, open_node

SCANNER = {"ae_title": "SCANNER", "address": "127.0.0.1"}
ELSEWHERE = {"ae_title": "ELSEWHERE", "address": "192.0.2.0/24"}
QUICK = Patience(0.0, 0.0)


@pytest.fixture
def node(store: Store) -> Iterator[Node]:
    settings = DimseNode.model_validate({"port": 0, "peers": [SCANNER, ELSEWHERE]})
    opened = open_node(store, settings, Counters())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_series(tmp_path_factory.mktemp("series"), body(5))


def call(node: Node, title: str = "SCANNER", called: str = "RENALIS") -> Association:
    entity = AE(title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    for context in (Verification, CTImageStorage, MRImageStorage):
        entity.add_requested_context(context)
    return entity.associate("127.0.0.1", node.port, ae_title=called)


def states(store: Store) -> list[str]:
    return [row["state"] for row in store.database.rows("SELECT state FROM series")]


def test_a_peer_may_ask_whether_it_listens_and_send(
    node: Node, store: Store, images: list[Path]
) -> None:
    association = call(node)
    assert association.send_c_echo().Status == 0
    for path in images:
        assert association.send_c_store(path).Status == 0
    assert collect(store, QUICK, time.time() + 1) == []  # it may send more
    association.release()
    wait_until(lambda: states(store) == ["closed"])
    (job,) = collect(store, QUICK, time.time() + 1)
    kept = sorted((store.job(job) / "input" / job).iterdir())
    sent = {pydicom.dcmread(path).SOPInstanceUID: path for path in images}
    for path in kept:
        found = pydicom.dcmread(path)
        assert found == pydicom.dcmread(sent[found.SOPInstanceUID])


@pytest.mark.parametrize(
    ("title", "called"),
    [("STRANGER", "RENALIS"), ("SCANNER", "OTHER"), ("ELSEWHERE", "RENALIS")],
    ids=["unknown title", "another node", "right title from a wrong address"],
)
def test_strangers_are_rejected(node: Node, title: str, called: str) -> None:
    association = call(node, title, called)
    assert association.is_rejected
    assert not association.is_established
    assert call(node).is_established


def test_an_unknown_address_is_not_even_listened_to(store: Store) -> None:
    settings = DimseNode.model_validate({"port": 0, "peers": [ELSEWHERE]})
    counters = Counters()
    node = open_node(store, settings, counters)
    try:
        with socket.create_connection(("127.0.0.1", node.port), timeout=10) as line:
            assert line.recv(1) == b""
        assert not call(node, "ELSEWHERE").is_established
    finally:
        node.close()
    ((_, labels),) = counters.values()
    assert dict(labels) == {"door": "dimse", "reason": "address"}


def test_too_many_associations_from_an_address_are_refused_for_a_while(store: Store) -> None:
    settings = DimseNode.model_validate(
        {"port": 0, "peers": [SCANNER], "associations_per_minute": 2}
    )
    node = open_node(store, settings, Counters())
    try:
        assert [call(node).is_established for _ in range(3)] == [True, True, False]
    finally:
        node.close()


def test_what_is_no_ct_or_damaged_or_too_much_is_refused(
    node: Node, store: Store, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    association = call(node)
    nameless = pydicom.dcmread(images[0])
    nameless.SeriesInstanceUID = ""
    assert association.send_c_store(nameless).Status == 0xC000
    other = pydicom.dcmread(images[0])
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = MRImageStorage
    with pytest.raises(ValueError, match="context"):
        association.send_c_store(other)
    for number in range(LIMITS.waiting):
        add_job(store.database, str(number), origin="upload", source="upload",
                content=str(number), now=0.0)  # fmt: skip
    assert association.send_c_store(images[0]).Status == 0xA700
    assert states(store) == []
    assert list((store.folder / "series").iterdir()) == []


def test_a_peer_that_aborts_in_the_middle_leaves_nothing_behind(
    node: Node, store: Store, images: list[Path]
) -> None:
    association = call(node)
    for path in images[:3]:
        association.send_c_store(path)
    association.abort()
    wait_until(lambda: states(store) == ["broken"])
    collect(store, Patience(0.0, 100.0), time.time() + 1)
    assert states(store) == ["broken"]  # it may come again
    collect(store, QUICK, time.time() + 1)
    assert states(store) == []
    assert list((store.folder / "series").iterdir()) == []
    assert all_jobs(store.database) == []


def test_a_connection_that_is_lost_within_an_image_leaves_the_series_broken(
    node: Node, store: Store, images: list[Path]
) -> None:
    association = call(node)
    association.send_c_store(images[0])
    line = association.dul.socket.socket  # type: ignore[union-attr]
    assert line is not None
    # The beginning of a P-DATA-TF PDU that says it has 1000 bytes (PS3.8 9.3.5).
    line.sendall(struct.pack(">BBL", 4, 0, 1000) + b"\0" * 100)
    line.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: states(store) == ["broken"])
    assert len(list((store.folder / "series").rglob("*.dcm"))) == 1
    assert call(node).is_established


def test_an_image_that_does_not_end_is_broken_off(node: Node, store: Store) -> None:
    association = call(node)
    huge = ct_slice(body(1)[0], (0, 0, 0))
    huge.Rows, huge.Columns = 2048, 2048
    huge.PixelData = b"\0" * (2048 * 2048 * 2)
    answer = association.send_c_store(huge)
    assert answer.get("Status") != 0
    wait_until(lambda: not association.is_established)
    assert states(store) == []
    assert call(node).is_established


def test_lines_that_are_hung_up_without_a_request_take_no_place(store: Store) -> None:
    settings = DimseNode.model_validate({"port": 0, "peers": [SCANNER], "associations": 2})
    node = open_node(store, settings, Counters())
    release = struct.pack(">BBLL", 5, 0, 4, 0)
    try:
        for said in (b"", release, b"\x00" * 30, struct.pack(">BBL", 1, 0, 1000)) * 2:
            with socket.create_connection(("127.0.0.1", node.port), timeout=10) as line:
                line.sendall(said)
                time.sleep(0.05)
        wait_until(lambda: call(node).is_established, 5)
    finally:
        node.close()


@pytest.mark.parametrize("kind", range(1, 8))
def test_a_line_that_claims_more_than_a_message_is_closed_at_once(node: Node, kind: int) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=5) as line:
        line.sendall(struct.pack(">BBL", kind, 0, (1 << 20) + 1))
        assert line.recv(1) == b""
    wait_until(lambda: call(node).is_established, 5)


def test_what_ends_a_thread_is_said_without_names(capsys: pytest.CaptureFixture[str]) -> None:
    secret = "Muster^Erika has no /data/Muster/1.2.3.4.5"

    def fails() -> None:
        raise AttributeError(secret)

    before = threading.excepthook
    with plain_log():
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()
    said = capsys.readouterr().err
    assert "a thread ended with an error" in said
    assert "AttributeError" in said
    assert "Muster" not in said
    assert "1.2.3.4.5" not in said
    assert threading.excepthook is before


def test_two_associations_may_bring_one_series(
    node: Node, store: Store, images: list[Path]
) -> None:
    one, two = call(node), call(node)
    one.send_c_store(images[0])
    two.send_c_store(images[1])
    one.release()
    time.sleep(0.5)
    assert states(store) == ["open"]
    two.release()
    wait_until(lambda: states(store) == ["closed"])
    assert len(due_series(store.database, "closed", time.time())) == 1  # type: ignore[arg-type]


def test_the_log_names_nobody(
    node: Node, images: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "renalis"):
        association = call(node)
        association.send_c_store(images[0])
        broken = pydicom.dcmread(images[1])
        broken.StudyInstanceUID = ""
        association.send_c_store(broken)
        association.abort()
        call(node, "STRANGER")
        time.sleep(0.5)
    said = " ".join(r.getMessage() for r in caplog.records if r.name.startswith("renalis"))
    assert "refused" in said
    for secret in ("Muster", "4711", "1.2.3.1", "STRANGER"):
        assert secret not in said
