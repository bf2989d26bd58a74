"""The package's metadata name the licence of everything that is in it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from renalis.model import available_models, read_header

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_expression_names_code_weights_and_typeface() -> None:
    named = PROJECT["license"].split(" AND ")
    assert "Apache-2.0" in named
    assert "Bitstream-Vera" in named
    assert {read_header(path).licence for path in available_models()} <= set(named)


def test_every_licence_file_is_there_and_listed() -> None:
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("LICENSE")}
    assert set(PROJECT["license-files"]) == there | {"LICENSE"}
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in PROJECT["license-files"]]
    assert "Apache License" in texts[0]
    assert any("Attribution-NonCommercial-ShareAlike 4.0" in text for text in texts)
