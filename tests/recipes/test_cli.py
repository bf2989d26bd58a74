"""``renalis recipe`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from renalis.cli import main
from renalis.recipes import load_system, names
from renalis.recipes.reading import find_recipe

Capture = pytest.CaptureFixture[str]

CHANGES = {
    "seed": "7",
    "optimisation.learning_rate": "1e-3",  # a line with a comment
    "network.attention": "true",  # in the text, a flow value
    "optimisation.betas": "[0.8, 0.9]",  # left to its default
    "sampler.hard_negatives": "{share: 0.1, from_epoch: 2}",  # left to its default
    "optimisation.stop.epochs": "3",  # inside a flow mapping
    "optimisation.stop.minutes": "5",  # not written, inside a flow mapping
    "augmentation.transforms.noise.sigma": "[0.0, 0.1]",
    "loss": "[{term: focal, weight: 1, gamma: 2}]",  # a block with comments inside
    "switches.topk": "false",  # in a section that is not written
    "evaluation.units": "[case, slice]",
    "tiny": "{seed: 3}",  # the last block of the file
}


def test_list_names_every_recipe(capsys: Capture) -> None:
    assert main(["recipe", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(names())
    assert main(["recipe", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(names())


@pytest.mark.parametrize("name", names())
def test_show_prints_the_file_with_its_comments(name: str, capsys: Capture) -> None:
    assert main(["recipe", "show", name]) == 0
    assert capsys.readouterr().out == find_recipe(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("key", CHANGES)
def test_show_puts_a_change_where_it_belongs(key: str, capsys: Capture, tmp_path: Path) -> None:
    change = f"{key}={CHANGES[key]}"
    assert main(["recipe", "show", "unet3d-residual", "--set", change]) == 0
    shown = capsys.readouterr().out
    path = tmp_path / "shown.yaml"
    path.write_text(shown, encoding="utf-8")
    assert load_system(str(path), switches=False) == load_system(
        "unet3d-residual", (change,), switches=False
    )
    before = find_recipe("unet3d-residual").read_text(encoding="utf-8").splitlines()
    kept = set(shown.splitlines())
    lost = [line for line in before if line not in kept]
    assert len(lost) <= {"loss": 6, "tiny": 12}.get(key, 1)


def test_changes_together_are_the_same_recipe(capsys: Capture, tmp_path: Path) -> None:
    changes = tuple(f"{key}={value}" for key, value in CHANGES.items())
    words = [word for change in changes for word in ("--set", change)]
    assert main(["recipe", "show", "unet3d-residual", *words]) == 0
    path = tmp_path / "shown.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_system(str(path)) == load_system("unet3d-residual", changes)


def test_a_changed_line_says_what_it_was(capsys: Capture) -> None:
    assert main(["recipe", "show", "cascade3d", "--set", "optimisation.learning_rate=1e-3"]) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if "learning_rate:" in x)
    assert line == "  learning_rate: 0.001  # learning_rate was 0.0001; [paper]"


@pytest.mark.parametrize("name", names())
def test_show_tiny_is_the_tiny_variant(name: str, capsys: Capture, tmp_path: Path) -> None:
    assert main(["recipe", "show", name, "--tiny"]) == 0
    path = tmp_path / "tiny.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_system(str(path)) == load_system(name, tiny=True)


def test_show_json_has_every_field(capsys: Capture) -> None:
    assert main(["recipe", "show", "quicknat-2d", "--json", "--set", "seed=5"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == load_system("quicknat-2d", ("seed=5",)).model_dump(mode="json")


def test_copy_writes_a_recipe_that_trains_the_same(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "mine.yaml"
    assert main(["recipe", "copy", "multires3d", "-o", str(path), "--set", "seed=9"]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    wanted = load_system("multires3d", ("seed=9", "name=mine", "copied_from=multires3d"))
    assert load_system(str(path)) == wanted
    assert "[paper]" in path.read_text(encoding="utf-8")
    written = path.read_bytes()
    assert main(["recipe", "copy", "cascade3d", "-o", str(path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert path.read_bytes() == written
    assert main(["recipe", "copy", "cascade3d", "-o", str(path), "--overwrite"]) == 0
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["copied_from"] == "cascade3d"
    assert main(["recipe", "copy", "cascade3d", "-o", str(tmp_path / "x.txt")]) == 2
    assert main(["recipe", "copy", "cascade3d", "-o", str(path), "--set", "sed=1"]) == 2


def test_a_copy_does_not_go_by_the_publications_name(tmp_path: Path, capsys: Capture) -> None:
    first, second, named = (tmp_path / f"{name}.yaml" for name in ("mine", "more", "other"))
    change = ("--set", "network.base=16")
    assert main(["recipe", "copy", "unet3d-residual", "-o", str(first), *change]) == 0
    assert main(["recipe", "copy", str(first), "-o", str(second)]) == 0
    assert main(["recipe", "copy", str(first), "-o", str(named), "--set", "name=our own"]) == 0
    capsys.readouterr()
    assert main(["recipe", "list", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["mine", "more", "our own"]
    assert {row["publication"] for row in rows} == {"-"}
    assert all("copy of unet3d-residual" in row["about"] for row in rows)
    # What it is compared with when nothing else is said.
    assert main(["recipe", "diff", str(second)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["name", "more", "->", "unet3d-residual"],
        ["network.base", "16", "->", "24"],
    ]
    assert main(["recipe", "list", str(tmp_path / "nowhere")]) == 2


@pytest.mark.parametrize("noted", [{}, {"copied_from": None}])
def test_a_recipe_in_one_line_can_be_copied(noted: dict[str, None], tmp_path: Path) -> None:
    path, copy = tmp_path / "flow.yaml", tmp_path / "copy.yaml"
    content = load_system("quicknat-2d").model_dump(mode="json", exclude={"copied_from"})
    path.write_text(json.dumps(content | noted), encoding="utf-8")
    assert main(["recipe", "copy", str(path), "-o", str(copy)]) == 0
    copied = load_system(str(copy))
    assert (copied.name, copied.copied_from) == ("copy", "quicknat-2d")


def test_diff_of_two_names(capsys: Capture) -> None:
    assert main(["recipe", "diff", "unet3d-residual", "unet3d-preact"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "unet3d-residual", "->", "unet3d-preact"],
        ["network.variant", "residual", "->", "preact"],
    ]


def test_diff_of_a_run_and_its_name(tmp_path: Path, capsys: Capture) -> None:
    run = load_system("cascade3d", ("optimisation.batch=1", "loss.mse.weight=3"))
    (tmp_path / "recipe.json").write_text(run.model_dump_json(), encoding="utf-8")
    assert main(["recipe", "diff", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"field": "loss.mse.weight", "left": 3.0, "right": 2.0},
        {"field": "optimisation.batch", "left": 1, "right": 2},
    ]


def test_diff_of_equal_recipes_and_of_added_parts(tmp_path: Path, capsys: Capture) -> None:
    assert main(["recipe", "diff", "cascade3d"]) == 0
    assert capsys.readouterr().out == "no field differs\n"
    path = tmp_path / "more.yaml"
    rules = "[{rule: opening, region: renal, radius_mm: 2}]"
    assert main(["recipe", "copy", "cascade3d", "-o", str(path),
                 "--set", f"postprocessing={rules}"]) == 0  # fmt: skip
    capsys.readouterr()
    assert main(["recipe", "diff", "cascade3d", str(path)]) == 0
    fields = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    rules = ("side_largest", "attached", "mask_by_low", "opening")
    assert fields == ["name", *(f"postprocessing.{rule}" for rule in rules)]


def test_bad_calls_end_with_two(capsys: Capture, tmp_path: Path) -> None:
    assert main(["recipe", "show", "nothing"]) == 2
    assert main(["recipe", "show", "cascade3d", "--set", "network.bas=1"]) == 2
    assert "did you mean 'base'" in capsys.readouterr().err
    assert main(["recipe", "diff", str(tmp_path)]) == 2
    assert main(["recipe"]) == 2
