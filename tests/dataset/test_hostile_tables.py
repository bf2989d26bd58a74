"""Tables and records that are made to do harm: refused with a short sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from renalis.conventions import Convention
from renalis.dataset import load_splits, open_dataset
from renalis.errors import InputError
from renalis.evaluation.evaluated_systems import read_system
from renalis.pipeline.folder import provenance
from renalis.recipes import load_system
from renalis.recipes.reading import stored_system

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("split.json", load_splits),
        ("metrics.json", lambda path: read_system(str(path))),
        ("dataset.json", lambda path: open_dataset(path.parent, "nnunet")),
        ("recipe.json", lambda path: stored_system(path.parent)),
    ],
    ids=["split", "scores", "nnU-Net", "run"],
)
def test_json_that_is_nested_without_end_is_refused(
    tmp_path: Path, name: str, read: Callable[[Path], Any]
) -> None:
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    (tmp_path / name).write_text(DEEP)
    with pytest.raises(InputError, match=name.removesuffix(".json")):
        read(tmp_path / name)


def test_a_record_that_is_nested_without_end_is_none(tmp_path: Path) -> None:
    (tmp_path / "provenance.json").write_text(DEEP)
    assert provenance(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["case,image\nc," + "1" * 400 + "\n", "a" * 5000 + ",b\n1,2\n"],
    ids=["a name that no file has", "a long column"],
)  # fmt: skip
def test_a_table_of_impossible_names_is_refused_in_short(tmp_path: Path, text: str) -> None:
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError) as refused:
        open_dataset(tmp_path / "cases.csv", "csv", Convention.KITS23)
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize("value", ["!!binary aGVsbG8=", "2020-01-01", "!!set {a, b}"])
def test_values_that_json_does_not_have_are_no_fields_of_a_recipe(
    tmp_path: Path, value: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"name: x\ntiny: {{name: {value}}}\n")
    with pytest.raises(InputError):
        load_system(str(path), tiny=True)
