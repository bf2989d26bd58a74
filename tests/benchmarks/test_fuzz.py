"""A few hundred hostile inputs of every kind; `benchmarks/fuzz.py` tries many more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzzing.changed_bytes import changed_bytes
from fuzzing.isolated import Limits, outcome_of, tried
from fuzzing.kinds import KINDS, Kind, random_of

from renalis.errors import InputError

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"
COUNT = 120


def test_nothing_crashes_hangs_or_takes_too_much(tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    words = [sys.executable, str(PROGRAM), "--count", str(COUNT), "--output", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280)
    facts = json.loads((tmp_path / "fuzz.json").read_text())
    assert facts["findings"] == []
    assert done.returncode == 0
    assert facts["inputs"] == pytest.approx(COUNT, abs=5)
    assert set(facts["kinds"]) == set(KINDS)
    assert all(found["accepted"] + found["refused"] > 0 for found in facts["kinds"].values())


class Told:
    """Does what it is told."""

    def __init__(self, does: str) -> None:
        self.does = does

    def begin(self) -> None:
        """Nothing has to be started."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        return [self.does]

    def use(self, folder: Path) -> None:
        exec(self.does)


@pytest.mark.parametrize(
    ("does", "finding"),
    [
        ("pass", ""),
        ("raise InputError('no')", ""),
        ("raise InputError('a\\nb')", "sentence"),
        ("raise IndexError('x')", "exception: "),
        ("import os; os.kill(os.getpid(), 9)", "crash: SIGKILL"),
        ("while True: pass", "hang: "),
        ("bytes(1 << 31)", "exception: "),
        ("open('/dev/shm/../../tmp/fuzz-outside', 'w').close()", "outside: open /tmp/fuzz-outside"),
        ("open('/tmp/../x', 'w')", "outside"),
        ("open(folder / 'x', 'w').close()", ""),
        ("import subprocess; subprocess.run(['true'])", "outside: subprocess.Popen"),
    ],
    ids=["accepted", "refused", "two lines", "exception", "crash", "hang", "memory", "outside",
         "above", "inside", "program"],
)  # fmt: skip
def test_what_goes_wrong_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, finding: str
) -> None:
    monkeypatch.setitem(KINDS, "told", Kind("told", 1))
    monkeypatch.setattr(Kind, "target", lambda kind, scratch: Told(does))
    assert InputError  # for what is told
    (found,) = tried("told", 1, [7], Limits(0.5, 500), tmp_path)
    assert found.finding.startswith(finding)
    assert (found.finding == "") == (finding == "")
    assert (tmp_path / "findings" / "told-7" / "finding.txt").exists() == (finding != "")
    Path("/tmp/fuzz-outside").unlink(missing_ok=True)


def test_an_input_follows_from_kind_seed_and_number() -> None:
    one, two = (changed_bytes(bytes(range(256)) * 9, random_of("nifti", 1, 5)) for _ in range(2))
    assert one == two
    assert one != changed_bytes(bytes(range(256)) * 9, random_of("nifti", 2, 5))


def test_a_sentence_is_what_is_allowed(tmp_path: Path) -> None:
    assert outcome_of(Told("raise InputError('wrong')"), tmp_path) == ("wrong", "")
    assert outcome_of(Told("pass"), tmp_path) == ("accepted", "")
