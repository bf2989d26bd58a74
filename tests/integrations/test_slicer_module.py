"""The 3D Slicer module as far as it goes without 3D Slicer: its command line and its files."""

from __future__ import annotations

import py_compile
from pathlib import Path
from types import ModuleType

import pytest
from helpers.modules_outside import module_of

from renalis.cli import verb_parser
from renalis.pipeline.formats import SEG_NRRD

MODULE = Path(__file__).resolve().parents[2] / "integrations" / "slicer" / "Renalis"


@pytest.fixture(scope="module")
def command_line() -> ModuleType:
    return module_of(MODULE / "RenalisLib" / "command_line.py")


def test_the_module_compiles(tmp_path: Path) -> None:
    for number, path in enumerate(sorted(MODULE.rglob("*.py"))):
        py_compile.compile(str(path), str(tmp_path / f"{number}.pyc"), doraise=True)


def test_the_command_line_is_one_that_renalis_takes(command_line: ModuleType) -> None:
    words = command_line.command(
        "/x/renalis", Path("scan.nii.gz"), Path("out"), threads=2, fast=True
    )
    parsed = verb_parser(words[1]).parse_args(words[2:])
    assert words[0] == "/x/renalis"
    assert parsed.input == [Path("scan.nii.gz")]
    assert (parsed.output, parsed.threads, parsed.mirror) == (Path("out"), 2, "none")
    assert "nrrd" in parsed.write.split(",")


def test_the_result_is_found_and_an_error_is_one_sentence(
    command_line: ModuleType, tmp_path: Path
) -> None:
    assert command_line.segmentation_of(tmp_path) is None
    assert command_line.SEGMENTATION == SEG_NRRD
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / SEG_NRRD).touch()
    assert command_line.segmentation_of(tmp_path) == tmp_path / "scan" / SEG_NRRD
    said = "[1/1] scan\nrenalis: the scan is empty; give the CT itself\n"
    assert command_line.sentence_of(said) == "the scan is empty; give the CT itself"


def test_the_program_does_not_load_the_libraries_of_slicer(command_line: ModuleType) -> None:
    known = {"PATH": "/bin", "PYTHONHOME": "/slicer", "LD_LIBRARY_PATH": "/slicer/lib"}
    assert command_line.environment(known) == {"PATH": "/bin"}
