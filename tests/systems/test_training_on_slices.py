"""2D recipes learn from single slices: whole, killed, and refused where numbers are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from renalis.cli import main
from renalis.dataset.slices import SliceSet, slice_image, write_slices
from renalis.recipes import load_system
from renalis.systems import open_run, predict_scan, train_stage, train_system
from renalis.systems.training_job import Job
from renalis.training.devices import Devices

CPU = Devices("cpu", threads=1)
SMALL = (
    "grids.slices.slice_size=32",
    "network={name: simple_unet, in_channels: 1, out_channels: 1, base: 4, levels: 3}",
    "optimisation.batch=4",
    "optimisation.stop.epochs=2",
)


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> SliceSet:
    """Twenty-two slices of eleven patients, 0 to 10, with a bright kidney in most."""
    rng = np.random.default_rng(0)
    image = rng.normal(60, 4, (22, 40, 40))
    labels = np.zeros((22, 40, 40), np.uint8)
    labels[:18, 10:22, 8:18] = 1
    labels[:18:2, 12:16, 10:14] = 2
    image[labels > 0] += 60
    spacing = np.full((22, 3), (5.0, 0.8, 0.8))
    case = np.repeat(np.arange(11), 2)
    grey = np.clip(image, 0, 255).astype(np.uint8)
    return SliceSet("s", grey, labels, case, np.arange(22.0), spacing, (-79.0, 304.0))


@pytest.fixture(scope="module")
def data(slices: SliceSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slices")
    write_slices(folder / "s.npz", slices)
    out = str(folder / "split.json")
    common = ["dataset", "split", str(folder / "s.npz"), "--test-every", "5", "--seed", "0"]
    assert main([*common, "--holdout", "75/25", "-o", out]) == 0
    return folder


def job(data: Path, run: Path, *changes: str, recipe: str = "simple-unet-2d", **more: Any) -> Job:
    system = load_system(recipe, changes, tiny=True)
    more = {"cache": data / "cache", **more}
    return Job(system, data / "s.npz", run, split=data / "split.json", **more)


def weights(run: Path, stage: str = "main") -> dict[str, torch.Tensor]:
    return load_file(run / "fold_0" / f"{stage}.safetensors")


def test_patients_that_are_kept_back_are_never_drawn(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    own = train_stage.prepared

    def watched(cases: Any, *rest: Any) -> Any:
        seen.update(int(case.patient[-5:]) for case in cases)
        return own(cases, *rest)

    monkeypatch.setattr(train_stage, "prepared", watched)
    train_system(job(data, tmp_path / "run", *SMALL), None, CPU, lambda _: None)
    assert seen
    assert not [number for number in seen if number % 5 == 0]
    noted = json.loads((tmp_path / "run" / "fold_0" / "cases.json").read_text())["scans"]
    patients = {int(name[-5:]) // 2 for name in noted}  # two slices of each, in order
    assert patients == {1, 2, 3, 4, 6, 7, 8, 9}


def test_killed_and_resumed_it_ends_with_the_same_bits(data: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_system(job(data, whole, *SMALL), None, CPU, lambda _: None)

    def kill(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_system(job(data, killed, *SMALL, on_epoch=kill), None, CPU, lambda _: None)
    train_system(job(data, killed, *SMALL, resume=True), None, CPU, lambda _: None)
    one, other = weights(whole), weights(killed)
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_two_stages_learn_from_slices_and_label_one(
    slices: SliceSet, data: Path, tmp_path: Path
) -> None:
    changes = (
        *SMALL,
        "stages.tumor.grids.slices.slice_size=32",
        "optimisation.stop.epochs=10",
        "optimisation.learning_rate=0.02",
    )
    run = tmp_path / "run"
    train_system(job(data, run, *changes, recipe="resnet34-2d"), None, CPU, lambda _: None)
    scan = slice_image(slices, 0)
    said = predict_scan(open_run(run), scan).tidied.labels
    assert said.same_grid(scan)
    found, truth = said.array[0] > 0, slices.labels[0] > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


QUICK = ("grids.slices.slice_size=32", "network.filters=4", "optimisation.stop.epochs=1")
TOLD = ("dataset.tumor_ml_max=null", "grids.slices.drop_far_slices=null")


def test_numbers_that_slices_do_not_tell_have_to_be_left_out(data: Path, tmp_path: Path) -> None:
    for missing, sentence in zip(TOLD, ("volume of their tumors", "how far they are"), strict=True):
        rest = tuple(change for change in TOLD if change != missing)
        with pytest.raises(Exception, match=sentence) as refused:
            train_system(
                job(data, tmp_path / "run", *QUICK, *rest, recipe="quicknat-2d"), None, CPU
            )
        assert f"--set {missing}" in str(refused.value)
        assert not (tmp_path / "run").exists()
    train_system(
        job(data, tmp_path / "run", *QUICK, *TOLD, recipe="quicknat-2d"), None, CPU, lambda _: None
    )
    assert weights(tmp_path / "run")


@pytest.mark.parametrize("recipe", ["unet3d-residual", "multires3d", "cascade3d"])
def test_3d_recipes_are_refused(recipe: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="needs whole scans"):
        train_system(job(data, tmp_path / "run", recipe=recipe), None, CPU)
    assert not (tmp_path / "run").exists()


def test_three_planes_need_whole_scans(data: Path, tmp_path: Path) -> None:
    changes = (*SMALL, "prediction.planes=[axial, coronal, sagittal]")
    with pytest.raises(Exception, match="needs whole scans"):
        train_system(job(data, tmp_path / "run", *changes), None, CPU)
