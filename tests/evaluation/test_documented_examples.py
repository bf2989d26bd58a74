"""Examples in docstrings and in the documentation give what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import renalis.evaluation

MODULES = [m.name for m in pkgutil.iter_modules(renalis.evaluation.__path__)]
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "evaluation.md"


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    module = importlib.import_module(f"renalis.evaluation.{name}")
    assert doctest.testmod(module).failed == 0


def test_documentation() -> None:
    result = doctest.testfile(str(DOCUMENT), module_relative=False)
    assert result.attempted >= 10
    assert result.failed == 0
