"""An audit that compared nothing is no success."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers.modules_outside import module_of

AUDIT = Path(__file__).parents[1] / ".ci" / "audit.py"

GOOD = {"name": "numpy", "version": "2.4.6", "vulns": []}
LEFT = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
WEAK = {
    "name": "pillow",
    "version": "9.0",
    "vulns": [{"id": "PYSEC-2022-9", "fix_versions": ["9.0.1"]}, {"id": "PYSEC-2023-175"}],
}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    return module_of(AUDIT)


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        ([GOOD, GOOD], 0, ["2 packages audited, none"]),
        ([], 2, ["was not audited: no advisories can be reached"]),
        ([LEFT, LEFT], 2, ["was not audited: no advisories can be reached"]),
        ([GOOD, LEFT], 2, ["1 of 2 packages were not audited, .*: torch"]),
        ([GOOD, WEAK], 1, ["pillow 9.0 .*PYSEC-2022-9, PYSEC-2023-175.*take 9.0.1"]),
        ([LEFT, WEAK], 1, ["pillow 9.0", "1 of 2 packages were not audited"]),
    ],
    ids=["all", "no answer", "none known", "one unknown", "weak", "weak and unknown"],
)
def test_the_exit_code_says_whether_everything_was_compared(
    audit: ModuleType, found: list[dict[str, Any]], code: int, words: list[str]
) -> None:
    said = audit.verdict(found, "requirements.lock")
    assert said[0] == code
    assert len(said[1]) == len(words)
    for sentence, expected in zip(said[1], words, strict=True):
        assert re.search(expected, sentence)


@pytest.mark.parametrize("program", ["true", "false"])
def test_a_program_that_says_nothing_has_audited_nothing(
    audit: ModuleType, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([program, "requirements.lock"]) == 2
    assert "requirements.lock was not audited" in capsys.readouterr().err
