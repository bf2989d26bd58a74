"""A service whose drive goes away takes nothing more, and ends with a sentence."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from helpers.orthanc import free_port
from helpers.vanishing import bring_back, take_away

from renalis.errors import OutputError
from renalis.pipeline import SegmentOptions
from renalis.service.config import read_config
from renalis.service.run import serve
from renalis.service.store import Refused, Store, check_room
from renalis.service.tokens import add_token


def test_it_ends_and_writes_nothing_where_the_drive_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    worker = SimpleNamespace(one=lambda: take_away(kept))
    monkeypatch.setattr("renalis.service.run.open_worker", lambda *_: worker)
    monkeypatch.setattr("renalis.service.run._THERE_S", 0.01)
    path = tmp_path / "serve.yaml"
    path.write_text(yaml.safe_dump({"folder": "kept", "rest": {"port": free_port()}}))
    config = read_config(path)
    add_token(config.tokens, "tests")
    with pytest.raises(OutputError, match="its drive was unmounted"):
        serve(config, SegmentOptions(), threading.Event())
    bring_back(kept)


def test_nothing_is_taken_meanwhile(store: Store) -> None:
    take_away(store.folder)
    with pytest.raises(Refused, match="the service's folder is gone") as refused:
        check_room(store)
    assert refused.value.for_now
    bring_back(store.folder)
