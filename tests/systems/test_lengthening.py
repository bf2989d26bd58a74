"""A run that is trained on: the bits of one that was that long from the start, or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

import renalis
from renalis.dataset import Case
from renalis.errors import InputError
from renalis.recipes import load_system
from renalis.recipes.system import Stage, System
from renalis.systems import open_run, predict_scan, stage_masks, train_system
from renalis.systems.longer_training import dependents, with_longer_training
from renalis.systems.recipe_cases import grid_specs, prepared
from renalis.systems.training_job import Job
from renalis.training.devices import Devices

Mask = NDArray[np.uint8]
CPU = Devices("cpu", threads=1)
SMALL = (
    "network={name: simple_unet, in_channels: 1, out_channels: 1, base: 4, levels: 3}",
    "grids.slices.slice_size=32",
    "optimisation.batch=12",
    "optimisation.learning_rate=0.01",
    "dataset.exclude=[case_00004, case_00005, case_00006, case_00007, case_00008, case_00009]",
    "split={kind: holdout, train: 0.6, val: 0.4, test: 0.0, seed: 0}",
)
MASKED = (
    *SMALL,
    "stages.tumor.grids.slices.slice_size=32",
    "stages.tumor.input_mask.threshold=0.2",
    "stages.tumor.input_mask.training=predicted",
    "stages.tumor.optimisation={optimizer: adam, learning_rate: 0.01, schedule: {kind: constant}, "
    "batch: 12, stop: {epochs: 2}, keep: best_loss}",
)


def two_stages(*changes: str) -> System:
    return load_system("resnet34-2d", (*MASKED, *changes), tiny=True)


def trained(
    system: System, kits: Path, run: Path, resume: bool = False
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """All weights of the run's stages, and what was said."""
    said: list[str] = []
    job = Job(system, kits, run, "kits19", cache=run.parent / "cache", resume=resume)
    train_system(job, None, CPU, said.append)
    files = {
        stage.name: run / "fold_0" / f"{stage.name}.safetensors" for stage in system.all_stages()
    }
    weights = {
        f"{name} {key}": value
        for name, path in files.items()
        for key, value in load_file(path).items()
    }
    return weights, said


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


@pytest.mark.parametrize("rule", ["optimisation.stop.epochs=3", "optimisation.stop.rises=null"])
def test_a_run_trained_on_has_the_bits_of_one_that_was_longer_from_the_start(
    rule: str, kits: Path, tmp_path: Path
) -> None:
    name = rule.split("=", maxsplit=1)[0].rsplit(".", maxsplit=1)[-1]
    # The validation loss rises at once with such a rate.
    first = {"epochs": ("optimisation.stop.epochs=1",), "rises": ("optimisation.learning_rate=1",)}
    second = {"epochs": (rule,), "rises": ("optimisation.learning_rate=1", rule)}
    common = ("optimisation.stop.epochs=3", "optimisation.stop.rises=1", "optimisation.keep=last")
    short = load_system("simple-unet-2d", (*SMALL, *common, *first[name]), tiny=True)
    long = load_system("simple-unet-2d", (*SMALL, *common, *second[name]), tiny=True)
    trained(short, kits, tmp_path / "run")
    on, _ = trained(long, kits, tmp_path / "run", resume=True)
    whole, _ = trained(long, kits, tmp_path / "whole")
    assert equal(on, whole)
    stored = [(tmp_path / run / "recipe.json").read_bytes() for run in ("run", "whole")]
    assert stored[0] == stored[1]


def test_a_stage_whose_masks_have_changed_is_trained_anew(kits: Path, tmp_path: Path) -> None:
    long = two_stages("optimisation.stop.epochs=2")
    before, _ = trained(two_stages("optimisation.stop.epochs=1"), kits, tmp_path / "run")
    on, said = trained(long, kits, tmp_path / "run", resume=True)
    assert "stage tumor is trained anew, since its input masks have changed" in said
    whole, _ = trained(long, kits, tmp_path / "whole")
    assert not equal(before, on)
    assert equal(on, whole)


def test_a_stage_goes_on_whose_masks_are_the_same(kits: Path, tmp_path: Path) -> None:
    long = two_stages("stages.tumor.optimisation.stop.epochs=3")
    trained(two_stages(), kits, tmp_path / "run")
    on, said = trained(long, kits, tmp_path / "run", resume=True)
    assert not any("anew" in line for line in said)
    assert sum("epoch 3/3" in line for line in said) == 1
    assert not any("epoch 1/3" in line for line in said)
    whole, _ = trained(long, kits, tmp_path / "whole")
    assert equal(on, whole)


def test_networks_that_make_masks_out_of_fold_are_trained_on_too(
    kits: Path, tmp_path: Path
) -> None:
    changes = ("stages.tumor.input_mask.training=out_of_fold", "stages.tumor.input_mask.folds=2")
    short, long = (two_stages(*changes, f"optimisation.stop.epochs={n}") for n in (1, 2))
    trained(short, kits, tmp_path / "run")
    on, _ = trained(long, kits, tmp_path / "run", resume=True)
    whole, _ = trained(long, kits, tmp_path / "whole")
    assert equal(on, whole)


def test_a_first_stage_that_finds_nothing_does_not_end_the_small_variant(
    kits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(before: Stage, network: object, cases: list[Case], *_: object) -> Iterator[Mask]:
        for case in prepared(cases, list(grid_specs(before).values()), tmp_path / "cache"):
            yield np.zeros(case.grid(before.prediction.grid).shape, np.uint8)

    monkeypatch.setattr(stage_masks, "predicted_masks", nothing)
    changes = (*SMALL, "stages.tumor.grids.slices.slice_size=32", "optimisation.stop.epochs=1")
    system = load_system("resnet34-2d", changes, tiny=True)
    trained(system, kits, tmp_path / "run")
    scan = renalis.read_scan(kits / "case_00006" / "imaging.nii.gz").volume
    assert predict_scan(open_run(tmp_path / "run"), scan).raw.same_grid(scan)


@pytest.mark.parametrize(
    ("recipe", "change", "said"),
    [
        ("renalis-kidney", "optimisation.stop.epochs=300", "learning rate falls to zero over all"),
        ("cascade3d", "optimisation.rounds.low.stop.epochs=40", "round whole begins from the"),
        ("cascade3d", "optimisation.rounds.low.stop.reach=0.95", "reach was 0.9"),
        ("quicknat-2d", "optimisation.stop.epochs=10", "epochs was 50 .* another recipe"),
        ("quicknat-2d", "optimisation.stop.rises=1", "rises was 2 .* another recipe"),
        ("cascade3d", "optimisation.stop.patience=3", "patience was not set"),
    ],
)
def test_what_cannot_be_reached_from_here_is_refused(recipe: str, change: str, said: str) -> None:
    stored = load_system(recipe)
    with pytest.raises(InputError, match=said):
        with_longer_training(stored, load_system(recipe, (change,)))


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("quicknat-2d", ("optimisation.stop.rises=4", "optimisation.stop.epochs=60")),
        ("cascade3d", ("optimisation.stop.epochs=60", "optimisation.rounds.whole.stop.epochs=60")),
        ("cascade3d", ("optimisation.rounds.whole.stop.patience=null",)),
        ("resnet34-2d", ("optimisation.stop.epochs=200",)),
    ],
)
def test_an_end_may_come_later(recipe: str, changes: tuple[str, ...]) -> None:
    wanted = load_system(recipe, changes)
    assert with_longer_training(load_system(recipe), wanted) == wanted


def test_another_recipe_stays_another_one() -> None:
    stored = load_system("quicknat-2d")
    other = load_system("quicknat-2d", ("optimisation.stop.epochs=60", "seed=3"))
    assert with_longer_training(stored, other) == stored


def test_stages_depend_on_those_whose_masks_they_look_through() -> None:
    assert dependents(load_system("resnet34-2d"), "kidney") == ["tumor"]
    assert dependents(load_system("resnet34-2d"), "tumor") == []
    assert dependents(load_system("renalis-kidney"), "coarse") == []
