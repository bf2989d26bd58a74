"""A second 3D network that looks for tumors inside what the first one found (a wish of R3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.coarse_grids import COARSE

import renalis.systems.stage_data as training
from renalis.dataset import open_dataset
from renalis.io import read_scan
from renalis.recipes import load_system
from renalis.recipes.system import Stage
from renalis.systems import open_run, predict_scan, train_system
from renalis.systems.case_batches import CaseBatches
from renalis.systems.predict import stage_predictions
from renalis.systems.training_job import Job
from renalis.training.devices import Devices

SECOND = {
    "name": "tumor",
    "target": "tumor",
    "input_mask": {"stage": "both", "threshold": 0.4, "fill": "min"},
    "network": {
        "name": "unet3d",
        "variant": "residual",
        "in_channels": 1,
        "out_channels": 2,
        "base": 4,
        "max_channels": 16,
        "levels": 3,
    },
    "loss": [
        {"term": "ce", "weight": 1.0},
        {"term": "dice", "weight": 1.0, "regions": [[1]], "smooth": 1e-5},
    ],
}


@pytest.fixture(scope="module")
def trained(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The run, and (stage, a micro-batch) of every stage as its network first saw it."""
    changes = (
        *COARSE["unet3d-residual"],
        f"stages={yaml.safe_dump([{'name': 'both'}, SECOND], default_flow_style=True)}",
        "optimisation.stop.epochs=7",
        "dataset.exclude=[case_00005, case_00006, case_00007, case_00008, case_00009]",
        "optimisation.learning_rate=1e-2",
        "augmentation.copies=0",
        "augmentation.transforms=[]",
        "postprocessing=[]",
    )
    system = load_system("unet3d-residual", changes, tiny=True)
    run, seen = tmp_path_factory.mktemp("second") / "run", []
    real = training.case_batches

    def noted(stage: Stage, *others: Any, **more: Any) -> CaseBatches:
        made = real(stage, *others, **more)
        seen.append((stage, made(0, 0, np.random.default_rng(0))))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "case_batches", noted)
        job = Job(system, kits, run, "kits19")
        train_system(job, [0], Devices("cpu", threads=1), lambda _: None)
    return run, seen


def test_it_learns_inside_the_mask_and_sees_air_elsewhere(trained: tuple[Path, list[Any]]) -> None:
    _, seen = trained
    assert [stage.name for stage, _ in seen] == ["both", "tumor"]
    (_, (whole, _)), (_, (masked, targets)) = seen
    assert set(masked) == set(whole) == {"image"}
    air = masked["image"].min()
    share = float((masked["image"] == air).mean())
    assert 0.5 < share < 1
    assert float((whole["image"] == whole["image"].min()).mean()) < share
    assert set(np.unique(targets["seg"])) <= {0, 1}


def test_it_finds_tumors_nowhere_else(kits: Path, trained: tuple[Path, list[Any]]) -> None:
    run = open_run(trained[0])
    case = open_dataset(kits, "kits19").cases[1]
    scan = read_scan(case.image).volume
    predicted = stage_predictions(run, scan)
    mask = predicted["both"].probability[1:].sum(0) > 0.4
    tumor = predicted["tumor"].probability
    assert mask.any()
    assert tumor.shape == (2, *mask.shape)
    assert not tumor[:, ~mask].any()
    np.testing.assert_allclose(tumor[:, mask].sum(0), 1, atol=1e-5)
    said = predict_scan(run, scan)
    assert said.raw.array.shape == scan.array.shape
    assert set(np.unique(said.raw.array)) <= {0, 1, 2}
