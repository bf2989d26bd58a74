"""How the folds of a run differ is kept, as of the members of an ensemble."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.coarse_grids import COARSE

from renalis.networks import build
from renalis.recipes import load_system
from renalis.systems import open_run, predict_scan
from renalis.systems.label_classes import lesion_classes
from renalis.systems.predict import stage_predictions
from renalis.training.checkpoint import save_weights
from renalis.volume import Volume

SCAN = Volume(
    np.random.default_rng(1).integers(-200, 300, (40, 36, 30)).astype(np.int16),
    np.diag([-8.0, -8.0, 12.0, 1.0]),
)


def untrained(run: Path, name: str, folds: int, alike: bool = True) -> Path:
    """A run whose folds have learned nothing, each something else."""
    # The folds would open a gate together.
    gate = ("prediction.gate=null",) if name == "cascade3d" else ()
    system = load_system(name, (*COARSE[name], "prediction.ensemble_folds=true", *gate), tiny=True)
    run.mkdir()
    (run / "recipe.json").write_text(system.model_dump_json())
    for fold in range(folds):
        torch.manual_seed(fold)
        folder = run / f"fold_{fold}"
        folder.mkdir()
        for stage in system.all_stages():
            weights = build(stage.network.config()).state_dict()
            save_weights(folder / f"{stage.name}.safetensors", weights, {})
            grids = {} if alike else {one.name: (9.0 * fold, 90.0) for one in stage.grids}
            plan = json.dumps({"stage": stage.name, "statistics": grids})
            (folder / f"{stage.name}.plan.json").write_text(plan)
    return run


@pytest.mark.parametrize(
    ("name", "alike"),
    [("unet3d-plain", True), ("simple-unet-2d", False), ("cascade3d", True)],
    ids=["windows", "other intensities in each fold", "tiles"],
)
def test_folds_are_compared_with_each_other(tmp_path: Path, name: str, alike: bool) -> None:
    path = untrained(tmp_path / "run", name, 3, alike)
    stage = open_run(path).system.all_stages()[-1].name
    each = [stage_predictions(open_run(path, [fold]), SCAN)[stage].probability for fold in range(3)]
    said = predict_scan(open_run(path), SCAN)
    np.testing.assert_allclose(said.classes.probability, np.mean(each, axis=0), atol=1e-5)
    spread = said.spread
    assert spread is not None
    assert spread.kidney is not None
    assert (spread.looks, spread.among) == (3, "folds")
    found = [(spread.kidney, [*range(1, said.classes.classes)])]
    if lesion_classes(open_run(path).system):
        assert spread.lesion is not None
        found.append((spread.lesion, [2]))
    for kept, classes in found:
        true = np.std([one[classes].sum(0) for one in each], axis=0)[::2, ::2, ::2]
        assert kept.shape == true.shape
        assert true.max() > 0.02
        # Where windows overlap, what is kept is the variance within them: more than between means.
        assert (kept.array / 510 > true - 0.003).all()
        assert np.median(kept.array / 510 - true) < 0.01
    grid = said.classes.affine
    np.testing.assert_allclose(spread.kidney.affine @ [1, 1, 1, 1], grid @ [2, 2, 2, 1])


@pytest.mark.parametrize(
    ("name", "folds"), [("unet3d-plain", 1), ("resnet34-2d", 2)], ids=["one fold", "two stages"]
)
def test_what_has_no_answers_of_its_own_is_not_compared(
    tmp_path: Path, name: str, folds: int
) -> None:
    run = open_run(untrained(tmp_path / "run", name, folds))
    assert len(run.folds) == folds
    assert predict_scan(run, SCAN).spread is None
