"""The viewer's server: this machine only, this address only, nothing from other pages."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.view_case import result

from renalis.cli import main
from renalis.errors import UsageError
from renalis.viewer import App, Cases
from renalis.viewer.app import MOST_BYTES
from renalis.viewer.server import HOST, start


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """Port and path of a running server."""
    folder = tmp_path_factory.mktemp("served")
    result(folder)
    server = start(App(Cases.of(folder / "out")))
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    port = server.http.server_address[1]
    yield int(port), server.address.split(str(port), 1)[1]
    server.http.shutdown()
    server.http.server_close()


def ask(
    address: tuple[int, str],
    path: str = "",
    *,
    method: str = "GET",
    whole: str | None = None,
    **headers: str,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    port, base = address
    link = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, base + path if whole is None else whole, headers=named)
        answer = link.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        link.close()


def test_the_address_leads_to_the_page_and_the_cases(address: tuple[int, str]) -> None:
    status, page, headers = ask(address)
    assert status == 200
    assert b"renalis" in page
    assert headers["Content-Type"].startswith("text/html")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, listed, _ = ask(address, "api/cases")
    assert status == 200
    assert json.loads(listed)[0]["name"] == "patient"


@pytest.mark.parametrize("path", ["/", "/api/cases", "/x/api/cases", "/%2e/api/cases", ""])
def test_without_the_token_nothing_is_shown(address: tuple[int, str], path: str) -> None:
    status, content, _ = ask(address, whole=path or "/" + "A" * 32 + "/")
    assert status == 404
    assert b"patient" not in content


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": f"evil.example.{HOST}"}, 421),
        ({"Host": HOST}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_other_hosts_and_pages_are_refused(
    address: tuple[int, str], headers: dict[str, str], status: int
) -> None:
    found, content, _ = ask(address, "api/cases", **headers)
    assert found == status
    assert b"patient" not in content


def test_the_name_localhost_is_this_machine(address: tuple[int, str]) -> None:
    assert ask(address, "api/cases", Host=f"localhost:{address[0]}")[0] == 200


def test_too_much_is_refused_before_it_is_read(address: tuple[int, str]) -> None:
    path = "api/cases/patient/corrections"
    status, _, _ = ask(address, path, method="POST", Content_Length=str(MOST_BYTES + 1))
    assert status == 413
    status, _, _ = ask(address, path, method="POST", Transfer_Encoding="chunked")
    assert status == 411


def test_other_methods_are_not_known(address: tuple[int, str]) -> None:
    assert ask(address, method="DELETE")[0] == 501


def test_it_listens_on_loopback_only_with_another_token_each_time(tmp_path: Path) -> None:
    result(tmp_path)
    app = App(Cases.of(tmp_path / "out"))
    first, second = start(app), start(app)
    try:
        assert first.http.server_address[0] == "127.0.0.1"
        tokens = {server.address.split("/")[-2] for server in (first, second)}
        assert len(tokens) == 2
        assert min(map(len, tokens)) >= 32
        with pytest.raises(UsageError, match="choose another --port"):
            start(app, int(first.http.server_address[1]))
    finally:
        first.http.server_close()
        second.http.server_close()


@pytest.mark.parametrize(
    "words",
    [["nowhere"], [".", "--port", "70000"], [".", "--reference", "nowhere"]],
)
def test_what_cannot_be_shown_ends_with_two(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["view", "--no-browser", *words]) == 2
