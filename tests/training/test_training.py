"""Patches follow from the seed; a killed training ends with the weights of an undisturbed one."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from renalis.cli import main
from renalis.errors import InputError
from renalis.networks import build
from renalis.recipes import Recipe, load_recipe, stored_recipe
from renalis.synthesis.anatomy import compose
from renalis.synthesis.appearance import draw_appearance, mottled
from renalis.synthesis.patches import PatchPlan, draw_patch, load_body, save_body
from renalis.synthesis.shapes import invented_labels
from renalis.synthesis.tissues import Tissue
from renalis.training import run
from renalis.training.checkpoint import load_average
from renalis.training.loop import learning_rate, train_stage
from renalis.training.losses import region_dice, segmentation_loss

TINY = (
    "stages.coarse.patch=[16, 16, 16]",
    "stages.coarse.network={name: unet, in_channels: 1, out_channels: 4, channels: [4, 8]}",
    "stages.coarse.optimisation.steps=4",
    "stages.fine.spacing_mm=2.0",
    "stages.fine.bodies_mm=2.0",
    "stages.fine.patch=[16, 16, 16]",
    "stages.fine.network.channels=[4, 8]",
    "stages.fine.optimisation.steps=4",
)


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bodies")
    for seed in range(2):
        rng = np.random.default_rng(seed)
        body = compose(invented_labels(rng, "normal"), rng, 4.0)
        # Stored as 2 mm so that the recipe's grids fit; only the size of the body is unusual.
        save_body(folder / f"{seed}.body", np.asarray(body.array), 2.0, seed)
    return folder


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("renalis-kidney", TINY)


def quiet(_: str) -> None:
    pass


def test_stored_bodies_come_back(bodies: Path) -> None:
    body = load_body(bodies / "0.body")
    assert body.tissue.ndim == 3
    label = body.tissue[tuple(body.renal.T.astype(int))]
    assert np.isin(label, range(40, 60)).all()


def test_patches_follow_from_the_seed(bodies: Path) -> None:
    pool = [load_body(p) for p in sorted(bodies.glob("*.body"))]
    plan = PatchPlan((16, 24, 16), 2, (-200, 400))
    one = draw_patch(pool, plan, np.random.default_rng(1))
    two = draw_patch(pool, plan, np.random.default_rng(1))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert one[0].shape == one[1].shape == (16, 24, 16)
    assert one[0].min() >= -1
    assert one[0].max() <= 1


def test_every_second_patch_has_another_size_where_a_stage_names_some(bodies: Path) -> None:
    pool = [load_body(p) for p in sorted(bodies.glob("*.body"))]
    plan = PatchPlan((16, 16, 16), 2, (-200, 400), other_patches=((16, 24, 16), (16, 16, 32)))
    shapes = Counter(
        draw_patch(pool, plan, np.random.default_rng(seed))[0].shape for seed in range(40)
    )
    assert set(shapes) == {(16, 16, 16), (16, 24, 16), (16, 16, 32)}
    assert 12 <= shapes[(16, 16, 16)] <= 28


def test_mottled_parenchyma_varies_more_and_nothing_else_does() -> None:
    plain = draw_appearance(np.random.default_rng(0))
    uneven = mottled(plain, np.random.default_rng(1))
    kidney = np.isin(np.arange(256), (Tissue.CORTEX, Tissue.MEDULLA))
    assert (uneven.coarse[kidney] >= 1.5 * plain.coarse[kidney]).all()
    assert np.array_equal(uneven.coarse[~kidney], plain.coarse[~kidney])
    assert np.array_equal(uneven.mean, plain.mean)


def test_shares_of_phases_decide_which_are_drawn(bodies: Path) -> None:
    pool = [load_body(p) for p in sorted(bodies.glob("*.body"))]
    bright = {}
    for name, shares in (("without", (1.0, 0.0, 0.0, 0.0)), ("with", (0.0, 0.0, 1.0, 0.0))):
        plan = PatchPlan((16, 16, 16), 2, (-200, 400), near=1.0, jitter=0.0, phases=shares)
        drawn = [draw_patch(pool, plan, np.random.default_rng(i)) for i in range(20)]
        bright[name] = np.median(np.concatenate([image[label == 1] for image, label in drawn]))
    # The window maps 300 HU to 1; kidneys enhance by about 100 HU.
    assert bright["with"] > bright["without"] + 0.15


@pytest.mark.parametrize(("name", "optimizer"), [("coarse", "adamw"), ("fine", "muon")])
def test_killed_and_resumed_training_gives_the_same_bits(
    bodies: Path, tmp_path: Path, name: str, optimizer: str
) -> None:
    more = (
        f"stages.{name}.optimisation.optimizer={optimizer}",
        "stages.fine.network.channels=[16, 16]",
    )
    recipe = load_recipe("renalis-kidney", (*TINY, *more))
    stage = recipe.stage(name)
    train_stage(recipe, stage, bodies, tmp_path / "whole", quiet, checkpoint_every=4)
    for steps in (1, 3, 4):
        # The learning rate depends on the number of steps in all: stop the same training early.
        class Stop(Exception):
            pass

        def stop(line: str, steps: int = steps) -> None:
            if line.startswith(f"{name} {steps}/") and steps < 4:
                raise Stop

        try:
            train_stage(recipe, stage, bodies, tmp_path / "parts", stop, checkpoint_every=1)
        except Stop:
            continue
    step, whole = load_average(tmp_path / "whole" / f"{name}.safetensors")
    again, parts = load_average(tmp_path / "parts" / f"{name}.safetensors")
    assert step == again == 4
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("keep", [0, 5, 2000])
def test_a_damaged_checkpoint_is_told_in_one_sentence(
    bodies: Path, tmp_path: Path, recipe: Recipe, keep: int
) -> None:
    stage = recipe.stage("coarse")
    train_stage(recipe, stage, bodies, tmp_path, quiet)
    path = tmp_path / "coarse.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"coarse.safetensors is no checkpoint, or a damaged one"):
        load_average(path)
    with pytest.raises(InputError, match=r"coarse.safetensors is no checkpoint, or a damaged one"):
        train_stage(recipe, stage, bodies, tmp_path, quiet)


def test_the_recipe_of_a_run_is_written_once_and_whole(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "training_maps", lambda *_: [])
    monkeypatch.setattr(run, "_together", lambda *_: None)
    monkeypatch.setattr(run, "pack", lambda _, folder: folder / "model")
    run.train(recipe, tmp_path, tmp_path / "run", 1, quiet)
    stored = tmp_path / "run" / "recipe.json"
    assert stored_recipe(stored.parent) == recipe
    stored.chmod(0o444)
    os.utime(stored, (0, 0))
    run.train(recipe, tmp_path, tmp_path / "run", 1, quiet)
    assert stored.stat().st_mtime == 0  # not touched: a kill cannot leave it empty
    with pytest.raises(InputError, match="started with another recipe"):
        run.train(load_recipe("renalis-kidney"), tmp_path, tmp_path / "run", 1, quiet)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--processes", "5"], "--processes 5 is more than a batch"),
        (["--fold", "3"], "--fold does not apply to renalis-kidney"),
        (["--workers", "4"], "--workers does not apply to renalis-kidney"),
        (["--workers", "-4"], "--workers must be at least 0"),
        (["--device", "cuda"], "--device does not apply to renalis-kidney"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    call = ["train", "renalis-kidney", "--data", str(tmp_path), "-o", str(folder)]
    assert main([*call, *words]) == 2
    assert message in capsys.readouterr().err
    assert not folder.exists()


def test_a_stage_starts_from_the_weights_of_another(bodies: Path, tmp_path: Path) -> None:
    same = load_recipe("renalis-kidney", TINY).stage("coarse").network
    more = (f"stages.fine.network={json.dumps(same)}", "stages.fine.start_from=coarse")
    # Nothing is learned at this rate, so the weights stay those of the coarse network.
    slow = ("stages.fine.optimisation.learning_rate=1e-12", "stages.fine.optimisation.steps=1")
    recipe = load_recipe("renalis-kidney", (*TINY, *more, *slow))
    with pytest.raises(InputError, match="has to be trained first"):
        train_stage(recipe, recipe.stage("fine"), bodies, tmp_path, quiet)
    train_stage(recipe, recipe.stage("coarse"), bodies, tmp_path, quiet)
    train_stage(recipe, recipe.stage("fine"), bodies, tmp_path, quiet)
    coarse, fine = (load_average(tmp_path / f"{n}.safetensors")[1] for n in ("coarse", "fine"))
    assert all(torch.allclose(coarse[name], fine[name], atol=1e-6) for name in coarse)


def test_every_term_of_the_loss_has_a_gradient() -> None:
    target = torch.zeros(1, 8, 8, 8, dtype=torch.int64)
    target[0, :4], target[0, 4, :4], target[0, 4, 4:] = 1, 2, 3
    weights = torch.ones(4)
    logits = torch.zeros(1, 4, 8, 8, 8, requires_grad=True)
    segmentation_loss(logits, target, weights).backward()
    assert logits.grad is not None
    entropy = torch.zeros(1, 4, 8, 8, 8, requires_grad=True)
    torch.nn.functional.cross_entropy(entropy, target, weight=weights).backward()
    assert entropy.grad is not None
    assert not torch.allclose(logits.grad, entropy.grad)  # the Dice term contributes
    perfect = torch.nn.functional.one_hot(target, 4).permute(0, 4, 1, 2, 3) * 50.0
    assert float(segmentation_loss(perfect, target, weights)) < 0.02


def test_region_dice_of_a_perfect_and_an_absent_region() -> None:
    target = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    target[0, :2] = 1
    logits = torch.nn.functional.one_hot(target, 4).permute(0, 4, 1, 2, 3).float()
    assert region_dice(logits, target) == [1.0, None, None]


def test_learning_rate_warms_up_stays_and_falls_to_zero(recipe: Recipe) -> None:
    plan = load_recipe("renalis-kidney").stages[0].optimisation
    rates = [learning_rate(step, plan) for step in range(plan.steps)]
    assert rates[0] < rates[plan.warmup] == plan.learning_rate
    assert rates[int(plan.steps * (1 - plan.decay_share)) - 1] == plan.learning_rate
    assert rates[-1] < 0.01 * plan.learning_rate


@pytest.mark.parametrize("config", [s.network for s in load_recipe("renalis-kidney").stages])
def test_networks_keep_the_shape(config: dict[str, object]) -> None:
    network = build(config)
    channels = int(str(config["in_channels"]))
    with torch.no_grad():
        assert network(torch.zeros(1, channels, 16, 32, 16)).shape == (1, 4, 16, 32, 16)


def test_recipes_refuse_what_they_do_not_know() -> None:
    for change, message in (
        ("stages.coarse.patch=[1, 2]", "patch"),
        ("stages.nothing.patch=1", "no field"),
        ("seed", "key=value"),
        ("stages.coarse.optimisation.steps=-1", "steps"),
        ("stages.coarse.optimisation.optimizer=none", "optimizer"),
        ("stages.fine.balance.phases=[0.5, 0.5, 0.5, -0.5]", "phases"),
    ):
        with pytest.raises(InputError, match=message):
            load_recipe("renalis-kidney", (change,))
    with pytest.raises(InputError, match="no recipe"):
        load_recipe("nothing")
