"""What is locked with hashes is what is constrained, and all of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")
EXTRAS = ("dicom", "fast", "itk", "onnx", "pdf", "serve")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(text: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)", text, re.MULTILINE)
    return {plain(name): version for name, version in found}


def test_versions_are_those_that_are_constrained() -> None:
    constrained = pinned((ROOT / "constraints.txt").read_text("utf-8"))
    locked = pinned(LOCK)
    assert {name: constrained.get(name, v) for name, v in locked.items()} == locked


def test_every_file_has_its_hash() -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", "\n".join(
        line for line in LOCK.splitlines() if not line.lstrip().startswith("#")
    ))  # fmt: skip
    for block in filter(None, blocks):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block[:60]


def test_all_that_is_declared_is_there_but_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"]]
    for extra in EXTRAS:
        declared += project["optional-dependencies"][extra]
    names = {plain(re.match(r"[A-Za-z0-9_.-]+", one)[0]) for one in declared}  # type: ignore[index]
    assert names - set(pinned(LOCK)) == {"torch"}
