"""TLS on every line: the REST API, the DICOM node, and the way back to a node."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from helpers.dicom_writer import body, ct_slice
from helpers.orthanc import free_port
from helpers.running_service import wait_until
from helpers.service_api import Api
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    Verification,
)

from renalis.errors import InputError
from renalis.service.config import DimseDestination, DimseNode, Rest, Tls
from renalis.service.encryption import client_context, server_context
from renalis.service.metrics import Counters
from renalis.service.rest_server import listening, serving
from renalis.service.sender import opened_destinations
from renalis.service.store import Store
from renalis.service.store_scp import open_node


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for this machine that signs itself."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl, which makes the certificates")
    folder = tmp_path_factory.mktemp("tls")
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
               "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "key.pem",
               "-out", folder / "own.pem"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    own = folder / "own.pem"
    return Tls(certificate=own, key=folder / "key.pem", authority=own)


def trusting(own: Tls) -> Tls:
    """What a client has that trusts the certificate and has none itself."""
    return Tls(authority=own.authority)


def test_the_rest_api_speaks_tls_alone(api: Api, own: Tls) -> None:
    rest = Rest(port=0, tls=Tls(certificate=own.certificate, key=own.key))
    api.service.__dict__["config"] = api.service.config.model_copy(update={"rest": rest})
    with closing(listening(rest)) as listener, serving(api.service, listener):
        port = listener.getsockname()[1]

        def health() -> bool:
            try:
                url = f"https://127.0.0.1:{port}/health"
                return requests.get(url, verify=str(own.authority), timeout=10).ok
            except requests.ConnectionError:
                return False

        wait_until(health)
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"https://127.0.0.1:{port}/health", timeout=10)
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/health", timeout=10)


@pytest.fixture
def port(store: Store, own: Tls) -> Iterator[int]:
    peer = {"ae_title": "SCANNER", "address": "127.0.0.1"}
    settings = DimseNode.model_validate({"port": 0, "peers": [peer], "tls": own.model_dump()})
    node = open_node(store, settings, Counters())
    yield node.port
    node.close()


@pytest.mark.parametrize("way", ["with certificate", "without certificate", "without TLS"])
def test_the_dicom_node_takes_only_peers_with_a_known_certificate(
    port: int, own: Tls, way: str
) -> None:
    entity = AE("SCANNER")
    entity.acse_timeout = entity.network_timeout = 5
    entity.add_requested_context(Verification)
    context = client_context(own if way == "with certificate" else trusting(own))
    more = {} if way == "without TLS" else {"tls_args": (context, "localhost")}
    association = entity.associate("127.0.0.1", port, ae_title="RENALIS", **more)  # type: ignore[arg-type]
    known = association.is_established and association.send_c_echo().get("Status") == 0
    assert known == (way == "with certificate")
    if association.is_established:
        association.release()


@pytest.mark.parametrize("trusted", [True, False])
def test_results_go_to_destinations_with_a_known_certificate_alone(
    own: Tls, tmp_path: Path, trusted: bool
) -> None:
    path = tmp_path / "object.dcm"
    ct_slice(body(1)[0], (0, 0, 0)).save_as(path, enforce_file_format=True)
    received: list[str] = []

    def keep(event: evt.Event) -> int:
        received.append(str(event.dataset.SOPInstanceUID))
        return 0

    entity = AE("ARCHIVE")
    entity.add_supported_context(CTImageStorage)
    port = free_port()
    entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)],
        ssl_context=server_context(Tls(certificate=own.certificate, key=own.key)),
    )  # fmt: skip
    try:
        tls = trusting(own) if trusted else Tls()
        there = DimseDestination(
            kind="dimse", ae_title="ARCHIVE", host="localhost", port=port, tls=tls
        )
        send = opened_destinations({"there": there}, "RENALIS")["there"]
        if trusted:
            send(path)
        else:
            with pytest.raises(ConnectionError, match="nobody answers"):
                send(path)
    finally:
        entity.shutdown()
    assert len(received) == trusted


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("nothing")
    with pytest.raises(InputError, match=r"no\.pem"):
        server_context(Tls(certificate=tmp_path / "no.pem", key=tmp_path / "no.pem"))
    with pytest.raises(InputError, match=r"missing\.pem"):
        client_context(Tls(authority=tmp_path / "missing.pem"))
    assert client_context(None) is None
    context = client_context(Tls())
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED
