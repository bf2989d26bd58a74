"""One training at a time in a folder, and none that outlives the program that started it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from helpers.programs import start_program

from renalis.errors import InputError
from renalis.io.lock import held
from renalis.recipes import load_system
from renalis.systems import run_folder, train_system
from renalis.systems.training_job import Job
from renalis.training.devices import Devices

FOLDS = """
import os, time
from renalis.training.devices import Devices
from renalis.training.folds import run_folds

def train(fold, devices):
    print(os.getpid(), flush=True)
    time.sleep(600)

if __name__ == "__main__":
    run_folds(train, (0,), [Devices("cpu")], lambda line: None)
"""
HOLDER = """
import sys, time
from pathlib import Path
from renalis.io.lock import held

with held(Path(sys.argv[1]), "busy"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_fold_ends_with_a_parent_that_is_killed_outright(tmp_path: Path) -> None:
    (tmp_path / "its_folds.py").write_text(FOLDS, encoding="utf-8")
    with start_program("-m", "its_folds", cwd=tmp_path, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        # Ends when nobody has the other end any more: the child is gone.
        if not select.select([parent.stdout], [], [], 60)[0]:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the fold trains on without its parent")
        assert parent.stdout.read() == ""


@pytest.mark.slow
def test_a_killed_process_lets_go_of_its_folder(tmp_path: Path) -> None:
    with start_program("-c", HOLDER, tmp_path / "run", stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="busy"), held(tmp_path / "run", "busy"):
            pass
        other.kill()
    with held(tmp_path / "run", "busy"):
        assert (tmp_path / "run" / ".lock").exists()


def test_who_waited_for_a_folder_keeps_others_out_and_nothing_stays_behind(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def second() -> None:
        with held(tmp_path, "busy", patience_s=60):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=second)
    with held(tmp_path, "busy"):
        thread.start()
        assert not inside.wait(0.2)
    assert inside.wait(60)
    # The first has removed the file that the second waited at.
    with pytest.raises(InputError, match="busy"), held(tmp_path, "busy"):
        pass
    leave.set()
    thread.join()
    assert not list(tmp_path.iterdir())


def test_a_second_training_of_a_fold_is_refused(
    kits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "_PATIENCE_S", 0.0)
    changes = ("grids.slices.slice_size=32", "network.base=4", "optimisation.stop.epochs=1")
    system = load_system("simple-unet-2d", changes, tiny=True)
    fold = tmp_path / "run" / "fold_0"
    with held(fold, ""), pytest.raises(InputError, match=r"another training works in .*fold_0"):
        train_system(
            Job(system, kits, tmp_path / "run", "kits19"),
            None,
            Devices("cpu", threads=1),
            lambda _: None,
        )
    assert not list(fold.iterdir())
