"""Names of cases in pictures, whatever they are written in."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import renalis
from renalis.measurement import Measurements
from renalis.report import ReportContent, write_preview
from renalis.report.typeface import fitted, legible
from renalis.volume import Volume

Patient = tuple[Volume, Volume, Measurements]


def header_of(patient: Patient, case_id: str, folder: Path) -> np.ndarray:
    """Rows of the preview in which the case's name stands."""
    written = write_preview(folder / "preview.png", ReportContent(case_id, *patient))
    return np.asarray(Image.open(written).convert("L")).astype(int)[8:36, :1250]


@pytest.mark.parametrize("names", [("Müller", "Möller"), ("Пациент", "Рещенки"), ("Ασθ", "Λδψ")])
def test_letters_of_europe_are_drawn_as_themselves(
    healthy: Patient, tmp_path: Path, names: tuple[str, str]
) -> None:
    one, two = (header_of(healthy, name, tmp_path) for name in names)
    assert not np.array_equal(one, two)
    assert all(legible(name, 21)[0] == name for name in names)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("患者_1", r"\u60a3\u8005_1"),
        ("홍길동", r"\ud64d\uae38\ub3d9"),
        ("Łódź_患", r"Łódź_\u60a3"),
        ("חולה", r"\u05d7\u05d5\u05dc\u05d4"),
        ("case_7", "case_7"),
    ],
)
def test_what_the_typeface_lacks_is_escaped(
    healthy: Patient, tmp_path: Path, name: str, shown: str
) -> None:
    assert legible(name, 21)[0] == shown
    one, two = (header_of(healthy, text, tmp_path) for text in (name, shown))
    assert np.array_equal(one, two)


def test_a_name_that_is_too_long_leaves_room_for_the_warning() -> None:
    text, typeface = legible("患" * 80, 21)
    cut = fitted(text, typeface, 900)
    assert cut.endswith("…")
    assert 850 < typeface.getlength(cut) <= 900


def test_the_package_holds_every_file_that_it_needs() -> None:
    package = Path(renalis.__file__).parent
    project = tomllib.loads((package.parents[1] / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["renalis"]
    files = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    ]
    assert "report/fonts/DejaVuSans.ttf" in files
    assert "report/fonts/LICENSE" in files
    assert [name for name in files if not any(fnmatch(name, p) for p in patterns)] == []
