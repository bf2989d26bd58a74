"""A cascade whose coarse half sees no kidney: said, and not taken for a patient without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from renalis.cli import main
from renalis.errors import InputError
from renalis.networks import build
from renalis.prediction.tiles import Tiled
from renalis.preparation import PreparedCase, prepare_case
from renalis.recipes import load_system
from renalis.recipes.system import System
from renalis.systems import inference
from renalis.systems.predict import predict_scan
from renalis.systems.recipe_cases import grid_specs
from renalis.systems.runs import Fold, Run
from renalis.systems.validation import StageValidation
from renalis.training.checkpoint import save_weights
from renalis.training.devices import ProcessRank
from renalis.volume import Kind, Volume

AFFINE = np.array([[0, 0, -4, 0], [0, -4, 0, 0], [4, 0, 0, 0], [0, 0, 0, 1.0]])
HERE = ProcessRank(0, 1, torch.device("cpu"))
EVERYWHERE = "prediction.gate.closed=everywhere"
NO_GATE = "prediction.gate=null"


def system_of(*changes: str) -> System:
    return load_system("cascade3d", changes, tiny=True)


def network_of(system: System, coarse: bool) -> nn.Module:
    """One whose fine half says kidney everywhere, and whose coarse half everywhere or nowhere."""
    torch.manual_seed(0)
    network = build(system.all_stages()[0].network.config())
    heads = {name: module for name, module in network.named_modules() if name.endswith("head")}
    for name, favored in (("low.head", int(coarse)), ("high.head", 1)):
        head = heads[name]
        assert isinstance(head, nn.Conv3d)
        assert head.bias is not None
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        head.bias.data[favored] = 20.0
    return network.eval()


def scan() -> Volume:
    hu = np.random.default_rng(0).normal(40, 30, (16, 24, 24)).astype(np.int16)
    return Volume(hu, AFFINE)


def run_of(system: System, coarse: bool) -> Run:
    stage = system.all_stages()[0]
    fold = Fold({stage.name: network_of(system, coarse)}, {stage.name: grid_specs(stage)})
    return Run(system, (fold,), torch.device("cpu"))


@torch.inference_mode()
def test_a_gate_that_opens_nowhere_is_said() -> None:
    said = predict_scan(run_of(system_of(), coarse=False), scan())
    assert not said.raw.array.any()
    (note,) = said.notes
    assert "found no kidney anywhere (nothing above 0.5)" in note
    assert "--look-everywhere" in note


@torch.inference_mode()
def test_a_gate_that_opens_says_nothing() -> None:
    said = predict_scan(run_of(system_of(EVERYWHERE), coarse=True), scan())
    assert said.tidied.labels.array.any()
    assert said.notes == ()


@torch.inference_mode()
def test_the_fine_network_may_look_everywhere_instead() -> None:
    said = predict_scan(run_of(system_of(EVERYWHERE), coarse=False), scan())
    assert said.raw.array.all()
    # The rule that masks by the coarse predicted would erase all of it again.
    assert said.tidied.labels.array.all()
    assert [change.name for change in said.tidied.changes] == ["side_largest", "attached"]
    (note,) = said.notes
    assert "was computed over the whole scan instead, and the rule mask_by_low was skipped" in note


@torch.inference_mode()
def test_a_rule_that_erases_everything_is_said_without_a_gate() -> None:
    said = predict_scan(run_of(system_of(NO_GATE), coarse=False), scan())
    assert said.raw.array.all()
    assert not said.tidied.labels.array.any()
    (note,) = said.notes
    assert "the rule mask_by_low removes whatever the fine network found" in note


def prepared(system: System) -> PreparedCase:
    labels = np.zeros((16, 24, 24), np.uint8)
    labels[5:11, 6:12, 6:12] = 1
    specs = grid_specs(system.all_stages()[0])
    return prepare_case(scan(), Volume(labels, AFFINE, Kind.LABELS), list(specs.values()))


@torch.inference_mode()
def test_validation_reports_closed_gates() -> None:
    system = system_of()
    stage, case = system.all_stages()[0], prepared(system)
    scores = StageValidation(stage, [case], grid_specs(stage), None, {"val_dice"})
    for coarse, closed in ((False, 1.0), (True, 0.0)):
        assert scores(network_of(system, coarse), HERE)["gate_closed"] == [closed]
    # As many names from a process without cases, or several would not agree.
    assert scores(network_of(system, True), ProcessRank(1, 2, HERE.device))["gate_closed"] == []


def test_from_the_command_line(tmp_path: Path) -> None:
    system = system_of()
    run, stage = tmp_path / "run", system.all_stages()[0].name
    (run / "fold_0").mkdir(parents=True)
    (run / "recipe.json").write_text(system.model_dump_json(), encoding="utf-8")
    save_weights(
        run / "fold_0" / f"{stage}.safetensors", network_of(system, False).state_dict(), {}
    )
    plan = json.dumps({"stage": stage, "statistics": {}})
    (run / "fold_0" / f"{stage}.plan.json").write_text(plan, encoding="utf-8")
    path = tmp_path / "one.nii.gz"
    nibabel.save(nibabel.Nifti1Image(scan().array, AFFINE), path)
    words = ["segment", str(path), "--model", str(run), "--device", "cpu", "--no-report"]
    for name, more, found in (("a", [], False), ("b", ["--look-everywhere"], True)):
        assert main([*words, "--trust-place", "-o", str(tmp_path / name), *more]) == 0
        case = tmp_path / name / "one"
        stored = nibabel.load(case / "segmentation.nii.gz")
        assert bool(np.asarray(stored.dataobj).any()) is found
        provenance = (case / "provenance.json").read_text(encoding="utf-8")
        assert "The coarse network found no kidney anywhere" in provenance


@pytest.mark.parametrize("recipe", ["unet3d-plain"])
def test_a_system_without_a_gate_has_no_such_option(recipe: str, tmp_path: Path) -> None:
    from renalis.errors import UsageError
    from renalis.systems.gate import with_open_gate

    with pytest.raises(UsageError, match="--look-everywhere"):
        with_open_gate(load_system(recipe, tiny=True))


@torch.inference_mode()
@pytest.mark.parametrize("gate", [(), (NO_GATE,)])
def test_validation_computes_only_tiles_near_kidneys_when_asked_to(
    gate: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, tuple[int, int]] = {}
    real = inference.predict_pairs

    def counted(*fine: Any, **numbers: Any) -> Tiled:
        tiled = real(*fine, **numbers)
        seen[near] = (tiled.computed, tiled.of)
        spoken = tiled.probability[0] < 1
        held = np.asarray(case.grid("mm1").label) > 0
        # Whole tiles speak: also beside the kidney, and all of the kidney is looked at.
        assert spoken[held].all()
        assert spoken.sum() > held.sum()
        return tiled

    monkeypatch.setattr(inference, "predict_pairs", counted)
    for near in ("null", "0", "200"):
        system = system_of(*gate, f"optimisation.validation_near_mm={near}")
        stage, case = system.all_stages()[0], prepared(system)
        scores = StageValidation(stage, [case], grid_specs(stage), None, {"val_dice"})
        assert scores(network_of(system, True), HERE)["val_dice"][0] > 0
    assert seen["0"][0] < seen["null"][0] <= seen["null"][1]
    assert seen["200"] == seen["null"]


def test_nearness_is_refused_where_there_are_no_tiles() -> None:
    with pytest.raises(InputError, match="validation_near_mm is for tiles"):
        load_system("unet3d-plain", ("optimisation.validation_near_mm=5",))


def test_long_validations_say_how_far_they_are() -> None:
    system = system_of()
    stage, case, lines = system.all_stages()[0], prepared(system), []
    scores = StageValidation(
        stage,
        [case] * 3,
        grid_specs(stage),
        None,
        {"val_dice"},
        report=lines.append,
        report_seconds=0.0,
    )
    with torch.no_grad():
        scores(network_of(system, True), HERE)
    assert [line[:21] for line in lines] == ["validation · case 1/3", "validation · case 2/3"]
