"""The configuration: what is wrong is said in one sentence, and nothing is open by default."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from renalis.cli import main
from renalis.cli.serve import example
from renalis.errors import InputError
from renalis.service.config import Config, Peer, is_loopback, read_config

PEERS = [{"ae_title": "SCANNER", "address": "127.0.0.1"}]


def written(folder: Path, **fields: Any) -> Path:
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump({"folder": "kept", **fields}))
    return path


def test_the_example_shows_the_defaults_of_all_fields(tmp_path: Path) -> None:
    path = tmp_path / "serve.yaml"
    path.write_text(example())
    shown = read_config(path)
    plain = read_config(written(tmp_path, dimse={"peers": PEERS}))

    def fields(part: Any) -> dict[str, Any]:
        return {name: getattr(part, name) for name in type(part).model_fields}

    given = yaml.safe_load(example())
    assert set(given) == set(Config.model_fields)
    for name in ("model", "threads", "max_ram_mb", "device", "write", "report", "rest", "limits"):
        assert getattr(shown, name) == getattr(plain, name), name
    assert shown.dimse is not None
    assert plain.dimse is not None
    assert set(given["dimse"]) == set(fields(shown.dimse))
    differ = {name for name, value in fields(shown.dimse).items()
              if value != getattr(plain.dimse, name)}  # fmt: skip
    assert differ == {"peers", "send_to"}
    assert set(given["archives"][0]) == set(fields(shown.archives[0]))
    assert shown.folder == tmp_path / "renalis-data"


def test_only_this_machine_is_listened_to_unless_told_otherwise(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, dimse={"peers": PEERS}))
    assert is_loopback(config.rest.host)
    assert config.dimse is not None
    assert is_loopback(config.dimse.host)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"fodler": 1}, "no field 'fodler'"),
        ({"rest": {"port": 99999}}, "rest.port: input should be less than or equal to 65535"),
        ({"rest": {"host": "0.0.0.0"}}, "can be reached by other machines"),
        ({"rest": {"tls": {"certificate": "a.pem"}}}, "certificate and key belong together"),
        ({"rest": {"tls": {}}}, "tls needs certificate and key"),
        ({"dimse": {}}, "'dimse.peers' is missing"),
        ({"dimse": {"peers": []}}, "dimse.peers"),
        ({"dimse": {"peers": [{"ae_title": "A", "address": "here"}]}}, "here"),
        ({"dimse": {"peers": PEERS, "ae_title": "A" * 17}}, "dimse.ae_title"),
        ({"dimse": {"peers": PEERS, "send_to": ["pacs"]}}, "send_to names 'pacs'"),
        ({"destinations": {"a": {"kind": "ftp"}}}, "destinations.a"),
        ({"archives": [{"name": "a", "url": "ftp://x"}]}, "http:// or https://"),
        ({"archives": [{"name": "a", "url": "http://u:p@127.0.0.1/"}]}, "holds a password"),
        (
            {"archives": [{"name": "a", "url": "http://pacs/", "token_file": "t"}]},
            "would show the password",
        ),
        ({"limits": {"keep_days": 0}}, "limits.keep_days"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as refused:
        read_config(written(tmp_path, **fields))
    said = str(refused.value)
    assert sentence in said
    assert "\n" not in said
    assert "u:p" not in said


def test_options_stand_for_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path)
    assert main(["serve", "--config", str(path), "--check", "--port", "99999"]) == 2
    assert "rest.port" in capsys.readouterr().err
    assert main(["serve", "--config", str(path), "--check", "--port", "9999"]) == 0


@pytest.mark.parametrize(
    ("title", "address", "allowed"),
    [
        ("SCANNER", "10.1.2.3", True),
        ("SCANNER", "::ffff:10.1.2.3", True),
        ("SCANNER", "10.2.2.3", False),
        ("SCANNER2", "10.1.2.3", False),
        ("scanner", "10.1.2.3", False),
    ],
)
def test_a_peer_is_a_title_from_an_address(title: str, address: str, allowed: bool) -> None:
    peer = Peer(ae_title="SCANNER", address="10.1.0.0/16")
    assert peer.allows(title, address) is allowed


def test_without_a_token_it_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path)
    assert main(["serve", "--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert "holds no token yet" in said
    assert "--new-token" in said
    assert main(["serve", "--config", str(path), "--new-token", "lab"]) == 0
    token = capsys.readouterr().out.strip()
    assert token not in (tmp_path / "kept" / "tokens").read_text()
    assert main(["serve", "--config", str(path), "--new-token", "No Name"]) == 2


def test_without_the_extra_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    assert main(["serve", "--config", str(written(tmp_path))]) == 2
    said = capsys.readouterr().err
    assert "pip install 'renalis[serve]'" in said
    assert said.count("\n") == 1
    assert main(["serve", "--example-config"]) == 0
