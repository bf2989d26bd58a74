"""Recipes whose parts do not fit each other are refused before anything is trained or written."""

from __future__ import annotations

from pathlib import Path

import pytest

from renalis.cli import main
from renalis.errors import InputError
from renalis.networks.unet import UNet
from renalis.recipes import load_system, published
from renalis.systems.recipe_check import check_system

SYSTEMS = list(published())

MISFITS = [
    ("quicknat-2d", ("network.kernel=4",), "kernel must be odd, not 4"),
    ("resnet34-2d", ("network.base=6",), "base must be a positive multiple of 4"),
    ("unet3d-plain", ("network.levels=9",), "levels must be 2 to 8"),
    ("unet3d-plain", ("network.levels=8",), "sampler.patch 80 x 160 x 160 does not fit"),
    ("unet3d-plain", ("sampler.patch=[16, 30, 32]",), "sampler.patch 16 x 30 x 32 does not fit"),
    ("unet3d-plain", ("prediction.tile=[16, 30, 32]",), "prediction.tile 16 x 30 x 32"),
    (
        "resnet34-2d",
        ("grids.slices.slice_size=100", "stages.tumor.grids.slices.slice_size=100"),
        "slice_size of the grid 100 x 100 does not fit",
    ),
    ("cascade3d", ("sampler.patch=50", "network.patch=50"), "a patch side of 50 does not fit"),
    ("cascade3d", ("sampler.output=22",), "sampler.output is 22 x 22 x 22"),
    ("cascade3d", ("sampler.output=21",), "no common center"),
    ("cascade3d", ("sampler.low_target=labels",), "more than one class"),
    ("cascade3d", ("grids.mm4.spacing_mm=[20, 20, 20]",), "is not 4 times grids.mm1.spacing_mm"),
    ("cascade3d", ("prediction.output=8",), "prediction.output is 8 x 8 x 8"),
    ("cascade3d", ("prediction.output=18",), "no even multiple of 4"),
    ("cascade3d", ("prediction.coarse=null",), "prediction.coarse needs a grid"),
    ("cascade3d", ("network.classify=false",), r"loss.2 \(mse\) is about the output cls"),
    ("cascade3d", ("optimisation.rounds.low.outputs=[cls]",), "cls comes with seg alone"),
    ("cascade3d", ("loss.3.output=seg",), "rounds.low: no term of the loss"),
    ("unet3d-plain", ("optimisation.stop.monitor=low_dice",), "stop.monitor low_dice"),
    ("unet3d-plain", ("optimisation.deep_weights=[0.5]",), "each of the 0 lower resolutions"),
    ("unet3d-plain", ("network.deep_supervision=2",), "each of the 2 lower resolutions"),
    ("unet3d-plain", ("loss.ce.class_weights=[1, 2]",), "loss.0.class_weights has 2 numbers"),
    ("unet3d-plain", ("loss.1.regions=[[5]]",), "name classes from 1 to 2"),
    ("unet3d-plain", ("loss.1.regions=[]",), "name classes from 1 to 2"),
    ("unet3d-plain", ("loss=[]",), "the loss has no term"),
    ("unet3d-plain", ("loss=[{term: bce, weight: 1}]",), "take ce"),
    ("simple-unet-2d", ("loss=[{term: ce, weight: 1}]",), "take bce"),
    (
        "simple-unet-2d",
        ("loss=[{term: bce, weight: 1, pixel_weights: true}]",),
        "pixel_weights needs a weight_map",
    ),
]


@pytest.mark.parametrize(("name", "changes", "words"), MISFITS)
def test_parts_that_do_not_fit_are_told_with_the_field(
    name: str, changes: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        check_system(load_system(name, changes))
    message = str(caught.value)
    assert message.startswith(f"recipe {name}, stage ")
    assert "\n" not in message


@pytest.mark.parametrize("tiny", [False, True])
@pytest.mark.parametrize("name", SYSTEMS)
def test_every_shipped_recipe_fits(name: str, tiny: bool) -> None:
    check_system(load_system(name, (), tiny))


def test_members_of_the_ablation_fit() -> None:
    for switch in ("multires", "augment", "topk", "spatial_dropout", "postprocess"):
        for name in ("cascade3d", "multires3d"):
            check_system(load_system(name, (f"switches.{switch}=false",)))


def test_deep_supervision_with_its_weights_fits() -> None:
    both = ("network.deep_supervision=2", "optimisation.deep_weights=[0.5, 0.25]")
    check_system(load_system("unet3d-residual", both))


def test_a_network_that_knows_no_slices_does_not_learn_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = load_system("renalis-kidney", tiny=True, with_slices=True)
    check_system(system)
    monkeypatch.delattr(UNet, "forward_slices")
    with pytest.raises(InputError, match="stage fine: network unet has no forward_slices"):
        check_system(system)


def test_nothing_is_written_for_a_recipe_that_does_not_fit(
    kits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["train", "unet3d-plain", "--tiny", "--data", str(kits), "--kind", "kits19"]
    words += ["--device", "cpu", "-o", str(run)]
    assert main([*words, "--set", "optimisation.deep_weights=[0.5]"]) == 2
    assert "optimisation.deep_weights" in capsys.readouterr().err
    assert main([*words, "--workers", "-1"]) == 2
    assert "--workers must be at least 0" in capsys.readouterr().err
    assert main([*words, "--processes", "2"]) == 2
    assert "1 micro-batches of a step cannot be shared by 2" in capsys.readouterr().err
    assert not run.exists()
