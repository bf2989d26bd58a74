"""A cohort killed at random moments ends with the files of an undisturbed one.

The proof at full size is ``benchmarks/cohort_kill.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest
from helpers.programs import Program, start_program
from helpers.small_cohort import OPTIONS, deadly_model, environment, write_scan

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
OWN_GROUP = """
import os, sys
from helpers.forked_workers import fork_workers
from renalis.cli import main
os.setsid()
fork_workers()
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_it_is_whole_and_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from cohort_kill import killed_cohort

    scans = tmp_path / "scans"
    for number in range(4):
        write_scan(scans / f"case_{number}.nii.gz", number)
    model = deadly_model(tmp_path / "m")
    words = ["--model", str(model), "--jobs", "1", *OPTIONS]

    def start(command: Sequence[str], log: IO[bytes]) -> Program:
        return start_program(
            "-c", OWN_GROUP, *command, env=environment(model), stdout=log, stderr=log
        )

    found = killed_cohort(scans, tmp_path / "work", words, 1, 1, start, pause_s=1.0)
    assert found["scans"] == 4
    assert found["files"] == 12
    assert found["whole_and_alike"], found
    assert found["commands killed"] == 1  # its worker has to end with it
