"""The manifest: lines whole or ignored, written anew without what is superfluous."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from renalis.cohort.manifest import Manifest, lines_of
from renalis.pipeline.table import MANIFEST


def record(case: str, status: str = "done", attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"case": case, "status": status, "attempt": attempt, "key": "k", "outputs": {},
            "input": {}, "row": {"not": "kept"}, **more}  # fmt: skip


def test_a_line_cut_short_is_no_line_and_spoils_no_other(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append(record("a"))
    with (tmp_path / MANIFEST).open("ab") as file:
        file.write(b'{"case": "b", "status": "do')
    with Manifest(tmp_path) as manifest:
        assert manifest.attempts("a") == 1
        assert manifest.attempts("b") == 0
        manifest.append(record("c"))
    assert [line["case"] for line in lines_of(tmp_path)] == ["a", "c"]
    assert all("row" not in line for line in lines_of(tmp_path))


def test_a_skipped_case_keeps_what_was_known_of_it(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        manifest.append(record("a", "failed"))
        manifest.append(record("a", attempt=2, input={"bytes": 7}))
        line = manifest.append(record("a", "skipped", attempt=3))
        other = manifest.append(record("a", "skipped", attempt=3, key="other options"))
    assert (line["attempt"], line["input"]) == (2, {"bytes": 7})
    assert other["input"] == {}


def test_compacted_it_says_each_attempt_once(tmp_path: Path) -> None:
    with Manifest(tmp_path) as manifest:
        for case, status, attempt in (
            ("a", "failed", 1), ("b", "done", 1), ("a", "done", 2), ("b", "skipped", 2),
            ("c", "skipped", 1), ("c", "skipped", 1), ("d", "failed", 1), ("d", "skipped", 2),
        ):  # fmt: skip
            manifest.append(record(case, status, attempt))
        manifest.compact()
    text = (tmp_path / MANIFEST).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["case"], line["status"]) for line in lines] == [
        ("a", "failed"), ("b", "done"), ("a", "done"), ("c", "skipped"),
        ("d", "failed"), ("d", "skipped"),
    ]  # fmt: skip
