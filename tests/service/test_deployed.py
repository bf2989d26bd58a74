"""What `deploy/` holds works: both sides fit, and Orthanc sends what its script says."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from helpers.dicom_writer import body, write_series
from helpers.documents import ROOT
from helpers.orthanc import running_orthanc
from helpers.running_service import wait_until

from renalis.service.config import DimseNode, read_config
from renalis.service.metrics import Counters
from renalis.service.store import Store
from renalis.service.store_scp import open_node

DEPLOY = ROOT / "deploy"


def test_both_sides_name_each_other() -> None:
    ours = read_config(DEPLOY / "serve.yaml")
    theirs = json.loads((DEPLOY / "orthanc.json").read_text())
    node = theirs["DicomModalities"]["renalis"]
    assert ours.dimse is not None
    assert (node["AET"], node["Port"]) == (ours.dimse.ae_title, ours.dimse.port)
    assert ours.dimse.peers[0].ae_title == theirs["DicomAet"]
    back = ours.destinations["orthanc"]
    assert (back.ae_title, back.port) == (theirs["DicomAet"], theirs["DicomPort"])  # type: ignore[union-attr]
    assert str(theirs["HttpPort"]) in ours.archives[0].url


def test_orthanc_sends_abdominal_ct_by_itself(store: Store, tmp_path: Path) -> None:
    parts = {"leg": {"BodyPartExamined": "LEG"}, "belly": {"BodyPartExamined": "ABDOMEN"},
             "magnet": {"Modality": "MR", "BodyPartExamined": "ABDOMEN"}}  # fmt: skip
    for number, (name, tags) in enumerate(parts.items()):
        uid = f"1.2.3.{number + 1}"
        write_series(tmp_path / name, body(2), SeriesInstanceUID=uid, **tags)
    settings = {"port": 0, "peers": [{"ae_title": "ORTHANC", "address": "127.0.0.1"}]}
    node = open_node(store, DimseNode.model_validate(settings), Counters())
    more = {"LuaScripts": [str(DEPLOY / "send-to-renalis.lua")], "StableAge": 1}
    try:
        with running_orthanc(
            tmp_path / "orthanc", {"renalis": ("RENALIS", node.port)}, **more
        ) as orthanc:
            for name in parts:
                orthanc.keep(tmp_path / name)
            wait_until(lambda: store.database.rows("SELECT * FROM series WHERE state = 'closed'"))
            time.sleep(1)
    finally:
        node.close()
    rows = store.database.rows("SELECT series_uid FROM series")
    assert [row["series_uid"] for row in rows] == ["1.2.3.2"]


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd-analyze")
    # Of this machine, which need not have the program where the unit has it.
    text = (DEPLOY / "renalis.service").read_text()
    unit = tmp_path / "renalis.service"
    unit.write_text(text.replace("/opt/renalis/bin/renalis", "/bin/true"))
    done = subprocess.run([program, "verify", unit], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "renalis.service" not in done.stderr
