"""What is checked before a training begins, and what a run's folder then holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.coarse_grids import COARSE
from safetensors.torch import load_file

from renalis.cli import main
from renalis.dataset import Split, save_splits
from renalis.errors import InputError, OutputError, UsageError
from renalis.recipes import load_system
from renalis.recipes.system import System
from renalis.systems import open_run, train_system
from renalis.systems.training_job import Job
from renalis.training.devices import Devices, devices_for_folds

CPU = Devices("cpu", threads=1)
SMALL = (
    "grids.slices.slice_size=32",
    "network.base=4",
    "optimisation.stop.epochs=1",
    "dataset.exclude=[case_00005, case_00006, case_00007, case_00008, case_00009]",
    "split={kind: holdout, train: 0.6, val: 0.4, test: 0.0, seed: 0}",
)
MASKED = (
    *SMALL[:1],
    "stages.tumor.grids.slices.slice_size=32",
    "network={name: simple_unet, in_channels: 1, out_channels: 1, base: 4, levels: 3}",
    *SMALL[2:],
    "optimisation.learning_rate=0.01",
    "optimisation.batch=12",
    "stages.tumor.input_mask.threshold=0.2",
)


def quiet(_: str) -> None:
    pass


def small(*changes: str) -> System:
    return load_system("simple-unet-2d", SMALL + changes, tiny=True)


def cascade(epochs: int) -> System:
    changes = (
        *COARSE["cascade3d"],
        f"optimisation.stop.epochs={epochs}",
        "optimisation.rounds.low.stop.epochs=1",
    )
    return load_system("cascade3d", changes, tiny=True)


def test_a_cascade_whose_coarse_network_took_all_epochs_is_not_called_trained(
    kits: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run = tmp_path / "run"
    with pytest.raises(InputError, match=r"no epochs are left for round whole.*\(low 1\)"):
        train_system(Job(cascade(1), kits, run, "kits19", cache=cache), None, CPU, quiet)
    fold = run / "fold_0"
    assert not (fold / "main.safetensors").exists()
    assert (fold / "main" / "low" / "checkpoint.safetensors").exists()
    # With more epochs it goes on, to the bits of a training that had them from the start.
    more = Job(cascade(2), kits, run, "kits19", cache=cache, resume=True)
    train_system(more, None, CPU, quiet)
    whole = Job(cascade(2), kits, tmp_path / "whole", "kits19", cache=cache)
    train_system(whole, None, CPU, quiet)
    one, other = (load_file(job.run / "fold_0" / "main.safetensors") for job in (more, whole))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (run / "recipe.json").read_bytes() == (whole.run / "recipe.json").read_bytes()
    # Fewer again would be another training.
    with pytest.raises(InputError, match="another recipe"):
        train_system(Job(cascade(1), kits, run, "kits19", resume=True), None, CPU, quiet)


@pytest.fixture(scope="module")
def synthetic(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two further cases, in a folder whose name tells their kind."""
    folder = tmp_path_factory.mktemp("synthetic") / "kits19"
    for name in ("case_00008", "case_00009"):
        shutil.copytree(kits / name, folder / name)
    return folder


@pytest.mark.parametrize("training", ["predicted", "truth"])
def test_synthetic_cases_have_input_masks_too(
    training: str, kits: Path, synthetic: Path, tmp_path: Path
) -> None:
    changes = (
        *MASKED,
        "optimisation.stop.epochs=2",
        f"stages.tumor.input_mask.training={training}",
        f"dataset.synthetic={{folder: {synthetic}, share: 0.5}}",
    )
    system = load_system("resnet34-2d", changes, tiny=True)
    run = train_system(Job(system, kits, tmp_path / "run", "kits19"), None, CPU, quiet)
    assert (run / "fold_0" / "tumor.safetensors").exists()


def test_synthetic_cases_and_masks_out_of_fold_are_refused_before_anything_is_trained(
    kits: Path, synthetic: Path, tmp_path: Path
) -> None:
    changes = (
        *MASKED,
        "stages.tumor.input_mask.training=out_of_fold",
        "stages.tumor.input_mask.folds=2",
        f"dataset.synthetic={{folder: {synthetic}, share: 0.5}}",
    )
    system = load_system("resnet34-2d", changes, tiny=True)
    with pytest.raises(InputError, match="masks out of fold, but all folds"):
        train_system(Job(system, kits, tmp_path / "run", "kits19"), None, CPU, quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("folds", [[0], [0, 1]])
def test_data_that_cannot_be_used_leaves_no_training_behind(
    folds: list[int], tmp_path: Path
) -> None:
    system = small("split={kind: kfold, k: 2, seed: 0, fold: 0}")
    with pytest.raises(InputError, match="nowhere"):
        train_system(Job(system, tmp_path / "nowhere", tmp_path / "run"), folds, CPU, quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (Split(("case_00000", "other_1", "other_2"), ("case_00001",)), "(other_1, other_2)"),
        (Split(("case_00000",), ("other_1",)), "(other_1)"),
        (Split(("case_00000",)), "no validation cases"),
        (Split((), ("case_00000",)), "no training cases"),
        # Known, but left out by the recipe.
        (Split(("case_00009",), ("case_00000",)), "no training cases"),
    ],
)
def test_a_stored_split_that_does_not_fit_the_data_is_refused(
    split: Split, said: str, kits: Path, tmp_path: Path
) -> None:
    file = tmp_path / "split.json"
    save_splits(file, [split], dataset="kits19")
    job = Job(small(), kits, tmp_path / "run", "kits19", file)
    with pytest.raises(InputError) as caught:
        train_system(job, None, CPU, quiet)
    assert said in str(caught.value)
    assert "split.json" in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_several_folds_do_not_fall_back_from_a_missing_gpu(kits: Path, tmp_path: Path) -> None:
    system = small("split={kind: kfold, k: 2, seed: 0, fold: 0}")
    job = Job(system, kits, tmp_path / "run", "kits19")
    with pytest.raises(InputError, match="--device cuda"):
        train_system(job, [0, 1], Devices("cuda"), quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("devices", [Devices("cpu", 2), Devices("cpu", 1, 2)])
def test_several_folds_on_several_devices_each_are_refused(devices: Devices) -> None:
    with pytest.raises(UsageError, match="--devices and --nodes"):
        devices_for_folds(devices)


@pytest.mark.parametrize("below", ["file", "file/run"])
def test_a_run_cannot_lie_in_a_file(below: str, kits: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file"):
        train_system(Job(small(), kits, tmp_path / below, "kits19"), None, CPU, quiet)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_fold_cannot_lie_in_a_file(kits: Path, tmp_path: Path) -> None:
    (tmp_path / "fold_0").write_text("mine")
    with pytest.raises(OutputError, match="fold_0"):
        train_system(Job(small(), kits, tmp_path, "kits19"), None, CPU, quiet)


def test_copies_of_folds_beside_them_are_not_opened(kits: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train_system(Job(small(), kits, run, "kits19"), None, CPU, quiet)
    shutil.copytree(run / "fold_0", run / "fold_0_backup")
    (run / "fold_1").write_text("a note")
    assert open_run(run).numbers == (0,)


def test_a_corrected_command_trains(kits: Path, tmp_path: Path) -> None:
    words = ["train", "simple-unet-2d", "--tiny", "--kind", "kits19", "--device", "cpu"]
    words += ["-o", str(tmp_path / "run"), *(w for c in SMALL for w in ("--set", c))]
    assert main([*words, "--data", str(tmp_path / "nowhere")]) == 2
    assert main([*words, "--data", str(kits)]) == 0
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["name"] == "simple-unet-2d"
