"""Single real slices as a share of the fine network's samples."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from renalis.cli import main
from renalis.model import load_model
from renalis.networks.unet import UNet
from renalis.recipes import load_system


def write_slices(path: Path, cases: tuple[int, ...] = (1, 2, 3, 4)) -> Path:
    """Kidneys that are bright disks in a grey body."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:96, :120]
    images, labels = [], []
    for number in range(len(cases)):
        hu = np.where(np.hypot((y - 48) / 44, (x - 60) / 56) < 1, 40.0, -1000.0)
        label = np.zeros(hu.shape, np.uint8)
        for side in (-1, 1):
            label[np.hypot(y - 52, x - 60 - side * (24 + number)) < 13] = 1
        label[np.hypot(y - 52, x - 86) < 5] = 2
        hu[label == 1], hu[label == 2] = 190, 110
        hu += rng.normal(0, 8, hu.shape)
        images.append(np.clip((hu + 79) / 383 * 255, 0, 255).astype(np.uint8))
        labels.append(label)
    spacing = np.full((len(cases), 3), 3.0)
    arrays = {"image": np.stack(images), "labels": np.stack(labels), "case": np.array(cases)}
    np.savez(path, **arrays, slice=np.zeros(len(cases)), spacing_mm=spacing)
    return path


def command(tmp_path: Path, run: str, *more: str) -> list[str]:
    labels = tmp_path / "labels"
    labels.mkdir(exist_ok=True)
    (labels / "case_00000.nii.gz").touch()
    changes = {
        "network.channels": "[4, 8]",
        "stages.fine.network.channels": "[4, 8]",
        "stages.fine.sampler.slice_sizes": "[[16, 24], [24, 16]]",
        "optimisation.stop.epochs": "1",
        "stages.fine.optimisation.stop.epochs": "2",
    }
    sets = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    place = ["--data", str(labels), "-o", str(tmp_path / run), "--device", "cpu"]
    return ["train", "renalis-kidney", "--tiny", *place, *sets, *more]


def test_the_fine_network_learns_from_slices_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    slices = ["--slices", str(write_slices(tmp_path / "s.npz"))]
    assert main(command(tmp_path, "whole", *slices)) == 0
    for run in ("other", "again"):  # the same bodies, which are not made anew
        bodies = Path("fold_0") / "bodies"
        shutil.copytree(tmp_path / "whole" / bodies, tmp_path / run / bodies)
    half = ["--set", "stages.fine.optimisation.stop.epochs=1"]
    assert main(command(tmp_path, "other", *slices, *half)) == 0
    assert main(command(tmp_path, "again", *slices)) == 0
    whole, again, other = (
        load_file(tmp_path / run / "fold_0" / "fine.safetensors")
        for run in ("whole", "again", "other")
    )
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert any(not torch.equal(whole[name], other[name]) for name in whole)
    model = load_model(tmp_path / "whole" / "renalis-kidney.safetensors")
    assert model.header.training["images"] == "synthetic CT and single real slices"
    assert "No CT" not in model.header.data_credit
    network = model.network("fine")
    assert isinstance(network, UNet)
    assert network.forward_slices(torch.zeros(1, 1, 96, 128)).shape == (1, 4, 96, 128)


def test_slices_of_every_fifth_patient_are_kept_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_back = write_slices(tmp_path / "s.npz", (5, 10, 400, 0))
    assert main(command(tmp_path, "run", "--slices", str(kept_back))) == 2
    told = capsys.readouterr()
    assert "there are no slices to train with" in told.err
    assert "composing" not in told.out + told.err
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_learns_from_no_slices_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--data", str(tmp_path), "-o", str(tmp_path / "run")]
    assert main(["train", "unet3d-plain", *place, "--slices", str(tmp_path / "s.npz")]) == 2
    assert "does not learn from single slices" in capsys.readouterr().err


def test_nine_of_ten_samples_are_slices() -> None:
    system = load_system("renalis-kidney", with_slices=True)
    mix = system.stage("fine").sampler.mix  # type: ignore[union-attr]
    assert (mix.synthetic, mix.slices) == (0.12, 0.88)
    assert not load_system("renalis-kidney").learns_from_slices
    assert system.learns_from_slices
