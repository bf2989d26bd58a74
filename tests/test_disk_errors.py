"""Whatever a verb fails with that is no defect of the program is one sentence and exit code 2."""

from __future__ import annotations

import argparse
import errno
import os
import warnings

import pytest

from renalis.cli import BAD_INPUT, INTERNAL, _guarded
from renalis.errors import DamageWarning


def ended(error: Exception, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def run(_: argparse.Namespace) -> int:
        raise error

    code = _guarded(run, argparse.Namespace())
    return code, capsys.readouterr().err


@pytest.mark.parametrize("name", ["EIO", "ESTALE", "EROFS", "ENAMETOOLONG", "EMFILE", "EACCES"])
def test_a_disk_that_fails_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = getattr(errno, name)
    code, said = ended(OSError(number, os.strerror(number), "/far/scan.nii.gz"), capsys)
    assert code == BAD_INPUT
    assert said == (
        f"renalis: /far/scan.nii.gz cannot be read or written ({os.strerror(number)}); check that "
        "its disk is there and may be written to, and run again\n"
    )


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_asks_for_room(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(OSError(number, os.strerror(number)), capsys)
    assert (code, said) == (
        BAD_INPUT,
        "renalis: no space is left to write to; free some, run again\n",
    )


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 64 GB")]
)
def test_memory_that_runs_out_is_no_defect(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = ended(error, capsys)
    assert code == BAD_INPUT
    assert said.startswith("renalis: there is not enough memory; close other programs")


@pytest.mark.parametrize("error", [OSError(errno.ECHILD, "no child"), RuntimeError("shapes")])
def test_a_defect_is_called_one(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(error, capsys)
    assert code == INTERNAL
    assert "this is a defect" in said


def test_a_warning_about_damage_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:

    def run(_: argparse.Namespace) -> int:
        warnings.warn("it is prepared again", DamageWarning, stacklevel=1)
        return 0

    assert _guarded(run, argparse.Namespace()) == 0
    assert capsys.readouterr().err == "renalis: it is prepared again\n"
