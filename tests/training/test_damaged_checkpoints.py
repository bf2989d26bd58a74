"""Checkpoints that are not what was written are found, and the one before does instead."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_run import PLAN, small_network
from test_engine import metrics, small_batch, small_validation, tensors, train

from renalis.errors import InputError, OutputError
from renalis.training.checkpoint import load_weights, save_weights
from renalis.training.devices import Devices, open_fabric
from renalis.training.engine import CHECKPOINT, WEIGHTS, fit
from renalis.training.stopping import Epochs
from renalis.training.tensor_files import previous, read_tensor_file, write_tensor_file

SHORT = replace(PLAN, stop=(Epochs(2),), checkpoint_steps=None)
LONGER = replace(SHORT, stop=(Epochs(3),))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs in ``short``, and an undisturbed third one in ``longer``."""
    root = tmp_path_factory.mktemp("trained")
    train(root / "short", SHORT)
    train(root / "longer", LONGER)
    return root


def flip(path: Path) -> None:
    """One bit of one number."""
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def other_state(path: Path) -> None:
    """One digit of the state, as valid JSON."""
    path.write_bytes(path.read_bytes().replace(b'\\"steps\\": 6', b'\\"steps\\": 7'))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flipped": flip,
    "other state": other_state,
    "empty": lambda path: os.truncate(path, 0),
    "wrong kind": lambda path: shutil.copyfile(path.with_name(WEIGHTS), path),
    "text": lambda path: path.write_text("not a checkpoint, but long enough to be one"),
    "set aside": lambda path: path.unlink(),
}


def resumed(run: Path) -> list[str]:
    said: list[str] = []
    fabric = open_fabric(Devices("cpu", threads=1))
    fit(fabric, small_network(), LONGER, small_batch, small_validation, run, True, said.append)
    return said


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_does_instead_and_the_bits_are_the_same(
    trained: Path, tmp_path: Path, damage: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "short", run)
    before = (run / CHECKPOINT).read_bytes()
    DAMAGES[damage](run / CHECKPOINT)
    assert not (run / CHECKPOINT).exists() or (run / CHECKPOINT).read_bytes() != before
    said = [line for line in resumed(run) if "checkpoint" in line]
    assert len(said) == 1
    assert said[0].endswith("going on from checkpoint.previous.safetensors, in epoch 2")
    one, two = tensors(trained / "longer"), tensors(run)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert metrics(trained / "longer") == metrics(run)


def test_when_both_are_damaged_nothing_is_trained_over_them(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "short", run)
    for path in (run / CHECKPOINT, previous(run / CHECKPOINT)):
        flip(path)
    with pytest.raises(InputError, match=r"checksum differs.*no earlier one is whole; delete"):
        resumed(run)


def test_what_a_later_version_wrote_is_not_read_as_something_else(
    trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "short", run)
    content, header = read_tensor_file(run / CHECKPOINT)
    state = json.loads(header["state"]) | {"format": 2}
    write_tensor_file(run / CHECKPOINT, content, {"state": json.dumps(state)})
    with pytest.raises(InputError, match="another version of renalis"):
        resumed(run)


def test_a_disk_that_fills_up_leaves_both_as_they_were(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained / "short", run)
    paths = [run / CHECKPOINT, previous(run / CHECKPOINT)]
    before = [path.read_bytes() for path in paths]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        train(run, LONGER, resume=True)
    assert [path.read_bytes() for path in paths] == before
    assert not list(run.glob(".*.part"))


def test_a_drive_that_goes_away_ends_the_training_and_nothing_is_written_in_its_place(
    trained: Path, tmp_path: Path
) -> None:
    drive, away = tmp_path / "drive", tmp_path / "away"
    shutil.copytree(trained / "short", drive / "run")

    def unmounting(*parts: Any) -> dict[str, list[float]]:
        drive.rename(away)
        drive.mkdir()
        return small_validation(*parts)

    fabric = open_fabric(Devices("cpu", threads=1))
    with pytest.raises(OutputError, match="is gone: its drive was unmounted"):
        fit(fabric, small_network(), LONGER, small_batch, unmounting, drive / "run", True)
    assert list(drive.iterdir()) == []
    drive.rmdir()
    away.rename(drive)
    resumed(drive / "run")
    assert (drive / "run" / WEIGHTS).read_bytes() == (trained / "longer" / WEIGHTS).read_bytes()


def test_damaged_weights_are_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS
    save_weights(path, small_network().state_dict(), {"epoch": 1})
    assert load_weights(path, small_network()) == {"epoch": 1}
    flip(path)
    with pytest.raises(InputError, match="checksum differs"):
        load_weights(path, small_network())


def test_files_of_earlier_versions_have_no_checksum_and_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / WEIGHTS, {"about": "{}"})
    assert read_tensor_file(tmp_path / WEIGHTS)[1] == {"about": "{}"}


def test_a_header_that_is_nested_without_end_is_damage(tmp_path: Path) -> None:
    head = b"[" * 100_000
    (tmp_path / "w.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)
    with pytest.raises(InputError, match="cannot be read as a safetensors file"):
        read_tensor_file(tmp_path / "w.safetensors")
