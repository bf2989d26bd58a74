"""What is scored after an epoch: which slices, and how much each sample counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from renalis.networks import build
from renalis.preparation import PreparedCase, prepare_case
from renalis.recipes import load_system
from renalis.recipes.system import Stage
from renalis.systems import validation
from renalis.systems.case_batches import case_batches
from renalis.systems.inference import StagePrediction
from renalis.systems.recipe_cases import grid_specs, with_specs
from renalis.systems.training_plans import loss_terms
from renalis.systems.validation import StageValidation
from renalis.training.devices import ProcessRank
from renalis.volume import Kind, Volume

AFFINE = np.array([[0, 0, -2, 0], [0, -2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1.0]])
HERE = ProcessRank(0, 1, torch.device("cpu"))
LABELLED = range(3, 7)


def stage_of(recipe: str, *changes: str) -> Stage:
    return load_system(recipe, changes, tiny=True).all_stages()[0]


def case_of(stage: Stage) -> PreparedCase:
    """27 slices, a kidney in four of them."""
    labels = np.zeros((27, 40, 40), np.uint8)
    labels[LABELLED.start : LABELLED.stop, 8:22, 9:23] = 1
    hu = np.random.default_rng(0).normal(40, 30, labels.shape).astype(np.int16)
    image, truth = Volume(hu, AFFINE), Volume(labels, AFFINE, Kind.LABELS)
    return prepare_case(image, truth, list(grid_specs(stage).values()))


@pytest.mark.parametrize(("kept", "dice"), [("5", 1.0), ("null", 2 / 3)])
def test_slices_that_the_recipe_drops_do_not_choose_the_weights(
    kept: str, dice: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of("quicknat-2d", f"grids.slices.drop_far_slices={kept}")
    case, specs = case_of(stage), grid_specs(stage)
    label = case.grid("slices").label
    assert label is not None
    found = (label > 0).astype(np.float32)
    # As large a kidney where there is none, further away than the recipe looks.
    z = np.flatnonzero(found.any(axis=(1, 2)))
    far = z + 12 if z[0] < 12 else z - 12
    found[far] = found[z]

    def said(*_: Any, **__: Any) -> StagePrediction:
        return StagePrediction(np.stack([1 - found, found]), case.grid("slices").affine)

    monkeypatch.setattr(validation, "predict_stage", said)
    scores = StageValidation(stage, [case], specs, None, {"val_dice"})
    (value,) = scores(torch.nn.Identity(), HERE)["val_dice"]
    assert value == pytest.approx(dice)


def test_every_sample_counts_as_much_as_any_other_in_the_validation_loss() -> None:
    statistics = {"slices": (40.0, 60.0)}
    means = []
    for micro in (4, 1):
        stage = stage_of(
            "simple-unet-2d", "optimisation.batch=4", f"optimisation.micro_batch={micro}"
        )
        specs = grid_specs(stage, statistics)
        (case,) = with_specs([case_of(stage)], specs)
        still = case_batches(stage, [case], seed=0, specs=specs, augment=False)
        torch.manual_seed(0)
        network = build(stage.network.config()).eval()
        scores = StageValidation(
            stage, [case], specs, None, {"val_loss"}, still, loss_terms(stage.loss)
        )
        with torch.no_grad():
            values = scores(network, HERE)["val_loss"]
        assert len(values) == 27
        means.append(np.mean(values))
    # 27 is no multiple of 4.
    assert means[0] == pytest.approx(means[1], rel=1e-5)


def test_the_publications_own_scores_stand_beside_the_shared_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R1: mean over slices with kidney. R2: a Dice that adds 1 above and below."""
    for recipe, name in (("resnet34-2d", "val_slice_dice"), ("quicknat-2d", "val_smooth_dice")):
        system = load_system(recipe, tiny=True)
        stage = system.all_stages()[0]
        specs = grid_specs(stage, {"slices": (40.0, 60.0)})
        (case,) = with_specs([case_of(stage)], specs)
        label = case.grid("slices").label
        assert label is not None
        found = (label > 0).astype(np.float32)
        z = np.flatnonzero(found.any(axis=(1, 2)))
        # Of four slices with kidney one is missed whole, and one more is found where there is none.
        found[z[0]] = 0
        found[z[-1] + 1] = found[z[-1]]

        def said(
            *_: Any,
            found: np.ndarray = found,
            **__: Any,
        ) -> StagePrediction:
            return StagePrediction(np.stack([1 - found, found]), AFFINE)

        monkeypatch.setattr(validation, "predict_stage", said)
        scores = StageValidation(
            stage, [case], specs, None, {"val_dice"}, evaluation=system.evaluation
        )
        values = scores(torch.nn.Identity(), HERE)
        assert set(values) == {"val_dice", name}
        overlap, sizes = 2 * np.sum((found > 0) & (label > 0)), np.sum(found) + np.sum(label > 0)
        wanted = 3 / 4 if name == "val_slice_dice" else (overlap + 1) / (sizes + 1)
        assert values[name] == [pytest.approx(wanted)]
        assert values["val_dice"] == [pytest.approx(overlap / sizes)]
