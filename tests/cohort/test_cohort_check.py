"""``renalis cohort check``: what is missing or altered is named."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from renalis.cli import main
from renalis.cohort.manifest import Manifest


def _case(out: Path, case: str, **more: Any) -> None:
    (out / case).mkdir()
    content = case.encode()
    (out / case / "segmentation.nii.gz").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    record = {"case": case, "status": "done", "attempt": 1, "key": "k",
              "outputs": {"segmentation.nii.gz": digest}, **more}  # fmt: skip
    with Manifest(out) as manifest:
        manifest.append(record)


def _checked(out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    code = main(["cohort", "check", str(out), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_results_as_they_were_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _case(tmp_path, "a")
    _case(tmp_path, "b")
    code, found = _checked(tmp_path, capsys)
    assert (code, found["cases"], found["files"], found["findings"]) == (0, 2, 2, [])


def test_what_is_gone_or_changed_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for case in "abc":
        _case(tmp_path, case)
    (tmp_path / "a" / "segmentation.nii.gz").unlink()
    (tmp_path / "b" / "segmentation.nii.gz").write_bytes(b"other")
    code, found = _checked(tmp_path, capsys)
    assert code == 1
    assert [(f["case"], f["what"]) for f in found["findings"]] == [
        ("a", "missing"), ("b", "altered"),
    ]  # fmt: skip


def test_the_last_results_count_and_failures_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _case(tmp_path, "a")
    with Manifest(tmp_path) as manifest:
        manifest.append({"case": "a", "status": "failed", "attempt": 2, "problem": "a: no",
                         "outputs": {}})  # fmt: skip
        manifest.append({"case": "b", "status": "failed", "attempt": 1, "problem": "b: no"})
    code, found = _checked(tmp_path, capsys)
    assert (code, found["files"], found["failed"]) == (0, 1, {"a": "a: no", "b": "b: no"})


def test_a_manifest_leads_nowhere_outside_of_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "secret").write_text("x")
    with Manifest(out) as manifest:
        manifest.append({"case": "..", "status": "done", "attempt": 1,
                         "outputs": {"secret": "0"}})  # fmt: skip
    code, found = _checked(out, capsys)
    assert code == 1
    assert [f["what"] for f in found["findings"]] == ["unreadable"]


def test_a_folder_without_manifest_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cohort", "check", str(tmp_path)]) == 2
    assert "holds no manifest.jsonl" in capsys.readouterr().err
