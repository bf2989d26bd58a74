"""The table of 2D recipes on real slices: what is trained on what, and what the page says."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import real_slices_page as page
import real_slices_table as table
import torch
from real_slices_trainings import (
    BAD_INPUT,
    CHANGES,
    SPAWN,
    Sources,
    Stopped,
    Training,
    Workshop,
    begun,
    so_far,
    trainings,
)

from renalis.dataset.slices import SliceSet
from renalis.networks import build
from renalis.training.checkpoint import load_weights


def workshop(folder: Path) -> tuple[Workshop, list[list[str]]]:
    """One whose commands are only noted."""
    labels = folder / "labels"
    labels.mkdir(parents=True)
    for number in range(12):
        (labels / f"case_{number:05d}.nii.gz").touch()
    shop, said = Workshop(folder / "out", Sources(folder, labels, 3, 2, 7)), []
    (folder / "out").mkdir()

    def call(name: str, *words: str) -> None:
        said.append([name, *words])
        if words[0] == "train":
            run = Path(words[words.index("-o") + 1])
            run.mkdir(parents=True, exist_ok=True)
            (run / f"{words[1]}.safetensors").touch()

    shop.call = call  # type: ignore[method-assign]
    return shop, said


def option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


def test_every_recipe_is_trained_on_three_kinds_of_slices() -> None:
    assert [one.name for one in trainings()][:3] == [
        "simple-unet-2d-real",
        "simple-unet-2d-synthetic",
        "simple-unet-2d-both",
    ]
    assert len(trainings()) == 9
    for one in trainings():
        for change in CHANGES[one.recipe]:
            field = change.key.split(".")[-1]
            assert f"{field}" in one.system().model_dump_json()


def test_synthetic_slices_show_no_patient_that_is_tested_with(tmp_path: Path) -> None:
    shop, said = workshop(tmp_path)
    shop.data("synthetic")
    maps = tmp_path / "out" / "training-maps"
    assert option(said[0], "--labels") == str(maps)
    numbers = sorted(int(path.name[5:10]) for path in maps.iterdir())
    assert numbers == [n for n in range(12) if n % 5]
    assert "--test-every" not in said[-1]
    shop.data("real")
    assert option(said[-1], "--test-every") == "5"


def test_the_third_row_goes_on_from_the_second_one_at_half_its_minutes(tmp_path: Path) -> None:
    shop, said = workshop(tmp_path)
    shop.train(Training("simple-unet-2d", "both"), 40)
    shop.train(Training("simple-unet-2d", "synthetic"), 40)
    trained = [words for words in said if words[1] == "train"]
    names = [words[0].rsplit("-", 1)[1] for words in trained]
    stops = [words[words.index("--set") :] for words in trained]
    minutes = [next(w for w in words if "cpu_minutes" in w).split("=")[1] for words in stops]
    assert list(zip(names, minutes, strict=True)) == [
        ("synthetic", "20"),
        ("both", "20"),
        ("synthetic", "40"),
    ]
    assert "--start-from" in trained[1]
    assert "--resume" in trained[2]
    # Repeated, the half is not trained again.
    shop.train(Training("simple-unet-2d", "both"), 40)
    assert said[-1][0] == "simple-unet-2d-both"
    assert "--resume" in said[-1]


def test_a_stage_that_is_not_trained_yet_has_its_first_weights(tmp_path: Path) -> None:
    one, run = Training("resnet34-2d", "synthetic"), tmp_path / "run"
    (run / "fold_0").mkdir(parents=True)
    (run / "recipe.json").write_text("{}")
    (run / "fold_0" / "kidney.safetensors").write_bytes(b"trained")
    (run / "fold_0" / "kidney.plan.json").write_text('{"stage": "kidney", "statistics": {}}')
    folder = begun(one, run, tmp_path / "begun") / "fold_0"
    assert (folder / "kidney.safetensors").read_bytes() == b"trained"
    assert json.loads((folder / "tumor.plan.json").read_text())["stage"] == "tumor"
    torch.manual_seed(one.system().seed)
    network = build(one.system().all_stages()[1].network.config())
    first = {name: each.clone() for name, each in network.state_dict().items()}
    load_weights(folder / "tumor.safetensors", network)
    assert all(torch.equal(first[name], each) for name, each in network.state_dict().items())


def test_two_stages_share_the_minutes() -> None:
    assert Training("resnet34-2d", "real").stage_minutes(40) == 20
    assert Training("quicknat-2d", "real").stage_minutes(40) == 40


def epoch(number: int, minutes: float) -> str:
    return json.dumps({"epoch": number, "steps": 6 * number, "cpu_seconds": 60 * minutes}) + "\n"


def test_a_training_is_finished_with_the_epoch_nearest_to_its_minutes(tmp_path: Path) -> None:
    shop, _ = workshop(tmp_path)
    one = Training("simple-unet-2d", "real")
    stage = shop.run_folder(one) / "fold_0" / "main"
    (stage / "main").mkdir(parents=True)
    assert not table.finished(one, shop, 10)
    (stage / "main" / "metrics.jsonl").write_text(epoch(1, 4) + epoch(2, 4))
    stage.with_name("main.safetensors").touch()
    assert table.finished(one, shop, 10)
    assert not table.finished(one, shop, 11)
    assert table.progress(shop)[one.name] == pytest.approx(8)


def result(recipe: str, learned: str, kidney: float) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for region, dice in (("kidney", kidney), ("tumor", 0.3), ("cyst", None)):
        scores |= {
            f"{region}_dice": dice,
            f"{region}_dice_median": dice,
            f"{region}_dice_interval": None if dice is None else [dice - 0.1, dice + 0.1],
        }
    sizes = [{"from": 0.0, "to": None, "slices": 9, "touched": 5, "found": 4}]
    return {
        "about": {
            "recipe": recipe,
            "learned": learned,
            "minutes": 40.0,
            "synthetic": {"scans": 80, "per_scan": 16},
        },
        "training": {"main": {"minutes": 39.8, "epochs": 50, "steps": 300}},
        "commit": "abc",
        "date": "2026-11-29",
        "table": scores
        | {"by_size_mm": sizes, "false_tumor_slices": 2, "slices_without_tumor": 11},
    }


def test_the_page_is_made_of_result_files_and_names_what_is_not_trained(tmp_path: Path) -> None:
    for learned, dice in (("real", 0.8), ("synthetic", 0.6)):
        content = json.dumps(result("simple-unet-2d", learned, dice))
        (tmp_path / f"simple-unet-2d-{learned}.json").write_text(content)
    content = json.dumps(result("resnet34-2d", "real", 0.9))
    (tmp_path / "resnet34-2d-real.json").write_text(content)
    made = tmp_path / "page.md"
    page.write_page(tmp_path, made, {"quicknat-2d-real": 12.3})
    text = made.read_text()
    assert "no\ntarget here" in text.replace("**no", "no").replace("target here**", "target here")
    assert "0.800 (0.700–0.900), median 0.800 | – | – |" in text
    assert "| `resnet34-2d` | (a) real slices | 0.900 (0.800–1.000), median 0.900 | 0.300" in text
    assert "`quicknat-2d` | (a) real slices | not trained yet (12 minutes so far)" in text
    assert "give **75%** of the Dice" in text
    assert "2 of 11 | 5 / 4 of 9 |" in text
    assert "| `simple-unet-2d` | (b) synthetic slices | main | 39.8 | 50 | 300 | abc |" in text


def test_the_page_without_any_result(tmp_path: Path) -> None:
    page.write_page(tmp_path, tmp_path / "page.md", {})
    assert (tmp_path / "page.md").read_text().count("not trained yet") == 9 + 3


def test_a_training_that_has_not_ended_is_opened_by_what_it_keeps_so_far(tmp_path: Path) -> None:
    one, run = Training("resnet34-2d", "real"), tmp_path / "run"
    for stage in ("kidney", "tumor"):
        assert not so_far(one, run, tmp_path / "none")
        (run / "fold_0" / stage / "main").mkdir(parents=True)
        (run / "fold_0" / stage / "main" / "weights.safetensors").write_text(stage)
    (run / "recipe.json").write_text("{}")
    (run / "fold_0" / "split.json").write_text("{}")
    assert so_far(one, run, tmp_path / "copy")
    assert (tmp_path / "copy" / "fold_0" / "tumor.safetensors").read_text() == "tumor"
    assert (tmp_path / "copy" / "fold_0" / "split.json").exists()
    content = result("resnet34-2d", "real", 0.5)
    content["about"]["so_far"] = True
    (tmp_path / "resnet34-2d-real.json").write_text(json.dumps(content))
    page.write_page(tmp_path, tmp_path / "page.md", {})
    assert "**after 40 of 40 minutes** | 0.500" in (tmp_path / "page.md").read_text()


def test_what_is_at_work_ends_when_the_command_is_ended(tmp_path: Path) -> None:
    shop = Workshop(tmp_path, Sources(tmp_path, tmp_path, 1, 1, 0))
    asleep = SPAWN.Process(target=time.sleep, args=(60,))
    asleep.start()
    shop.working.add(asleep)
    shop.close()
    asleep.join(20)
    assert asleep.exitcode == -signal.SIGTERM
    with pytest.raises(Stopped):
        shop.call("more", "recipe", "list")


def test_a_command_runs_in_a_process_of_its_own_and_its_lines_go_to_a_log(tmp_path: Path) -> None:
    shop = Workshop(tmp_path, Sources(tmp_path, tmp_path, 1, 1, 0))
    shop.call("names", "recipe", "list")
    assert "quicknat-2d" in (tmp_path / "logs" / "names.txt").read_text()
    with pytest.raises(Stopped, match="renalis recipe ended with 2") as stopped:
        shop.call("names", "recipe", "show", "none")
    assert stopped.value.code == BAD_INPUT
    assert shop.working == set()


def test_a_result_names_what_made_it_and_holds_every_slice(tmp_path: Path) -> None:
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[:2, 2:5, 2:5] = 1
    spacing = np.full((3, 3), 2.0)
    places = np.arange(3.0)
    cases = np.array([5, 6, 10])
    test = [SliceSet("s", labels * 40, labels, cases, places, spacing, (-79.0, 304.0))]
    path = tmp_path / "results" / "one.json"
    table.keep(path, "one", {"minutes": 40}, {}, test, lambda s, n: s.labels[n], tmp_path)
    content = json.loads(path.read_text())
    assert content["about"] == {"minutes": 40}
    assert {"commit", "date", "machine", "training"} <= content.keys()
    # The patient whose number 5 does not divide is not tested with.
    assert content["table"]["slices"] == 2
    lines = path.with_suffix(".csv").read_text().splitlines()
    assert lines == ["file,number,case,kidney,tumor,cyst", "s,0,5,1.0,,", "s,2,10,,,"]
