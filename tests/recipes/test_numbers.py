"""Every number that a publication gives is in its recipe; one table per recipe."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from renalis.networks import build
from renalis.recipes import Stage, load_system, published
from renalis.recipes.reading import find_recipe, set_field

MARKS = ("[paper]", "[code]", "[ours]", "[measured]")
SYSTEMS = list(published())

R1_SHARED = {
    "dataset.kind": "kits21",
    "split.kind": "holdout",
    "split.train": 0.8,
    "split.val": 0.1,
    "split.test": 0.1,
    "grids.slices.kind": "native2d",
    "grids.slices.clip_hu": [0, 200],
    "grids.slices.normalize": "training_zscore",
    "network.out_channels": 1,
    "loss.bce.weight": 1.0,
    "optimisation.optimizer": "adam",
    "optimisation.learning_rate": 0.001,
    "optimisation.batch": 128,
    "optimisation.stop.epochs": 100,
    "optimisation.keep": "best_loss",
}
R3 = {
    "dataset.kind": "kits19",
    "split.kind": "kfold",
    "split.k": 5,
    "split.seed": 42,
    "target": "kidney_tumor",
    "grids.mm3.spacing_mm": [3.22, 1.62, 1.62],
    "grids.mm3.clip_hu": [-79, 304],
    "grids.mm3.sub": 101,
    "grids.mm3.div": 76.9,
    "grids.mm3.crop_body": True,
    "grids.mm3.min_shape": [80, 160, 160],
    "sampler.patch": [80, 160, 160],
    "sampler.stride": [60, 120, 120],
    "sampler.tumor_repeat": 4,
    "sampler.cases_per_step": 2,
    "augmentation.copies": 2,
    "augmentation.transforms.affine.rotation_deg": 10,
    "augmentation.transforms.affine.scale": [0.9, 1.1],
    "augmentation.transforms.intensity.brightness": [0.5, 1.5],
    "augmentation.transforms.intensity.contrast": [0.5, 1.5],
    "augmentation.transforms.noise.sigma": [0.0, 0.3],
    "loss.ce.class_weights": [0.5, 1.0, 1.5],
    "loss.1.regions": [[1, 2], [2]],
    "loss.2.regions": [[2]],
    "optimisation.optimizer": "adam",
    "optimisation.learning_rate": 5e-4,
    "optimisation.weight_decay": 3e-5,
    "optimisation.schedule.kind": "ema_plateau",
    "optimisation.schedule.window": 30,
    "optimisation.schedule.factor": 0.2,
    "optimisation.schedule.ema": 0.9,
    "optimisation.schedule.minimum": 1e-6,
    "optimisation.stop.epochs": 600,
    "optimisation.keep": "last",
    "optimisation.precision": "float32",
    "optimisation.validation_cases": 10,
    "prediction.tile": [80, 160, 160],
    "prediction.stride": [60, 120, 120],
    "prediction.weight": "uniform",
    "prediction.decision": "argmax",
    "prediction.ensemble_folds": True,
    "postprocessing": [],
    "evaluation.units": ["case"],
}
PAIRED = {
    "grids.mm1.spacing_mm": [1.0, 1.0, 1.0],
    "grids.mm4.spacing_mm": [4.0, 4.0, 4.0],
    "grids.mm1.image": "cubic",
    "grids.mm4.image": "cubic",
    "grids.mm1.label": "nearest",
    "grids.mm4.label": "nearest",
    "grids.mm1.clip_hu": [-500, 400],
    "grids.mm4.clip_hu": [-500, 400],
    "sampler.patch": 108,
    "sampler.output": 20,
    "augmentation.transforms.elastic.control_points": 10,
    "augmentation.transforms.affine.dimensions": 3,
    "augmentation.transforms.affine.rotation_deg": 5,
    "augmentation.transforms.affine.scale": [0.95, 1.05],
    "augmentation.transforms.hu_shift.hu": 50,
    "network.base": 32,
    "network.low_base": 16,
    "network.levels": 4,
    "loss.0.top_k": 0.7,
    "optimisation.optimizer": "adam",
    "optimisation.learning_rate": 1e-4,
    "optimisation.schedule.kind": "exponential",
    "optimisation.schedule.gamma": 0.9,
    "prediction.tile": 108,
    "prediction.output": 20,
}
GIVEN: dict[str, dict[str, Any]] = {
    "resnet34-2d": R1_SHARED
    | {
        "stages.kidney.target": "renal",
        "stages.tumor.target": "tumor",
        "stages.tumor.input_mask.stage": "kidney",
        "stages.tumor.input_mask.training": "predicted",
        "stages.tumor.input_mask.fill": "water",
        "stages.tumor.sampler.keep": "mask",
        "postprocessing.restrict_to_roi.region": "tumor",
        "evaluation.slices": "kidney",
    },
    "simple-unet-2d": R1_SHARED | {"network.levels": 5},
    "quicknat-2d": {
        "dataset.kind": "kits19",
        "split.kind": "nested",
        "split.test": 0.2,
        "split.val": 0.2,
        "target": "renal",
        "grids.slices.frame": 512,
        "grids.slices.slice_size": 256,
        "grids.slices.drop_far_slices": 20,
        "grids.slices.weight_map.edge": 2.0,
        "augmentation.transforms": [],
        "network.in_channels": 1,
        "network.out_channels": 1,
        "network.filters": 64,
        "network.kernel": 5,
        "network.dropout": 0.2,
        "loss.dice.weight": 1.0,
        "loss.dice.smooth": 1.0,
        "loss.bce.weight": 0.5,
        "loss.bce.pixel_weights": True,
        "optimisation.optimizer": "adam",
        "optimisation.learning_rate": 0.001,
        "optimisation.betas": [0.9, 0.999],
        "optimisation.eps": 1e-8,
        "optimisation.schedule.kind": "step",
        "optimisation.schedule.epochs": 50,
        "optimisation.schedule.gamma": 0.5,
        "optimisation.batch": 16,
        "optimisation.stop.rises": 2,
        "optimisation.stop.monitor": "val_loss",
        "optimisation.keep": "best_dice",
        "prediction.threshold": 0.5,
        "postprocessing": [],
        "evaluation.smooth": 1.0,
        "evaluation.units": ["case"],
    },
    "unet3d-plain": R3 | {"network.variant": "plain", "network.base": 30},
    "unet3d-residual": R3
    | {"network.variant": "residual", "network.base": 24, "network.share_repeats": True},
    "unet3d-preact": R3
    | {"network.variant": "preact", "network.base": 24, "network.share_repeats": True},
    "cascade3d": PAIRED
    | {
        "dataset.kind": "kits19",
        "split.k": 5,
        "target": "kidney_tumor",
        "sampler.low_target": "renal",
        "sampler.kinds": 2,
        "network.classify": True,
        "network.last_fc": 256,
        "loss.0.weight": 2 * 0.8,
        "loss.1.weight": 2 * 0.2,
        "loss.2.term": "mse",
        "loss.2.output": "cls",
        "loss.2.weight": 2.0,
        "loss.3.term": "ce",
        "loss.3.output": "low",
        "loss.3.weight": 1.0,
        "loss.3.top_k": 0.7,
        "optimisation.stop.epochs": 28,
        "optimisation.rounds.low.outputs": ["low"],
        "optimisation.rounds.low.stop.reach": 0.90,
        "optimisation.rounds.whole.frozen": ["low.encoder"],
        "optimisation.rounds.whole.stop.patience": 10,
        "prediction.decision": "threshold",
        "prediction.threshold": 0.5,
        "postprocessing.side_largest.per_side": 1,
        "postprocessing.attached.region": "tumor",
        "postprocessing.mask_by_low.threshold": 0.5,
        "postprocessing.mask_by_low.dilate": 10,
    },
    "multires3d": PAIRED
    | {
        "dataset.kind": "radboud",
        "dataset.labels": "radboud",
        "target": "parenchyma_abnormality",
        "network.out_channels": 3,
        "network.classify": False,
        "network.dropout": 0.2,
        "switches.multires": True,
        "switches.augment": True,
        "switches.topk": True,
        "switches.spatial_dropout": True,
        "switches.postprocess": True,
        "postprocessing.side_largest.min_ml": 3,
        "postprocessing.side_largest.region": "kidney",
        "postprocessing.attached.radius_mm": 4,
        "postprocessing.attached.or_above_ml": 100,
        "postprocessing.min_feret.mm": 3,
        "postprocessing.fill_holes.most_ml": 0.02,
        "evaluation.units": ["case"],
    },
}

SCORES = {
    "resnet34-2d": [0.736, 0.932, 0.793, 0.961, 0.811],
    "simple-unet-2d": [0.736],
    "quicknat-2d": [0.9467, 0.9154, 0.9259],
    "unet3d-plain": [0.9339, 0.4884],
    "unet3d-residual": [0.9449, 0.5490, 0.9360, 0.5778],
    "unet3d-preact": [0.9400, 0.5269],
    "cascade3d": [],
    "multires3d": [0.965, 0.947, 0.585, 0.944, 0.925, 0.664],
}

COUNTS = [
    ("resnet34-2d", (), 24_430_097),
    ("simple-unet-2d", (), 31_036_481),
    ("quicknat-2d", (), 3_553_529),
    ("unet3d-plain", (), 29_693_593),
    ("unet3d-residual", (), 35_477_667),
    ("unet3d-residual", ("network.share_repeats=false",), 78_669_283),
    ("unet3d-preact", (), 35_477_667),
    ("cascade3d", (), 24_946_742),
    ("cascade3d", ("network.mask_input=concat",), 24_780_566),
    ("cascade3d", ("network.last_fc=128",), 24_905_654),
    ("multires3d", (), 24_011_493),
    ("multires3d", ("switches.multires=false",), 19_073_795),
]


def test_the_tables_name_every_system() -> None:
    assert set(GIVEN) == set(SYSTEMS) == set(SCORES)


@pytest.mark.parametrize("name", GIVEN)
def test_published_numbers(name: str) -> None:
    full = load_system(name).model_dump(mode="json")
    found = {field: at(full, field) for field in GIVEN[name]}
    assert found == GIVEN[name]


@pytest.mark.parametrize("name", SCORES)
def test_published_scores(name: str) -> None:
    assert [score.dice for score in load_system(name).publication.scores] == SCORES[name]


def test_the_first_stage_clips_and_the_second_does_not_reuse_it() -> None:
    kidney, tumor = load_system("resnet34-2d").all_stages()
    assert kidney.grid("slices").clip_hu == (0, 200)
    assert tumor.grid("slices").clip_hu == (-1000, 1000)
    assert (kidney.written, tumor.written) == ((1,), (2,))
    assert kidney.optimisation == tumor.optimisation
    assert kidney.network == tumor.network


@pytest.mark.parametrize(("name", "changes", "count"), COUNTS)
def test_networks_have_the_counted_parameters(
    name: str, changes: tuple[str, ...], count: int
) -> None:
    for stage in load_system(name, changes).all_stages():
        assert parameters(stage) == count


@pytest.mark.parametrize("name", SYSTEMS)
def test_tiny_variants_are_valid_and_small(name: str) -> None:
    tiny = load_system(name, tiny=True)
    for stage in tiny.all_stages():
        assert parameters(stage) < 1_000_000
    assert tiny.optimisation.stop.epochs == 2
    changed = set(load_system(name).tiny)
    assert all(at(tiny.model_dump(mode="json"), f) == load_system(name).tiny[f] for f in changed)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_number_says_where_it_comes_from(name: str) -> None:
    """On its own line, on a line of comment around it, or at the head of its section."""
    lines = find_recipe(name).read_text(encoding="utf-8").split("\n")
    silent = []
    head = ""
    for number, line in enumerate(lines):
        if line and not line.startswith((" ", "#")):
            head = line
        value = line.partition("#")[0]
        if head.startswith(("name", "publication", "tiny")) or not re.search(
            r"[:,\[] *-?\d", value
        ):
            continue
        around = [lines[n] for n in (number - 1, number + 1) if lines[n].lstrip().startswith("#")]
        if not any(mark in text for mark in MARKS for text in (line, head, *around)):
            silent.append(line)
    assert silent == []


def test_written_recipes_are_what_is_loaded() -> None:
    """No field of the text is lost or renamed on the way through the models."""
    for name in SYSTEMS:
        content = yaml.safe_load(find_recipe(name).read_text(encoding="utf-8"))
        recipe = load_system(name, switches=False)
        assert isinstance(recipe, BaseModel)
        assert_within(content, recipe.model_dump(mode="json"), name)


def assert_within(part: Any, whole: Any, place: str) -> None:
    if isinstance(part, dict) and isinstance(whole, dict):
        for key, value in part.items():
            assert_within(value, whole[key], f"{place}.{key}")
    elif isinstance(part, list) and isinstance(whole, list):
        assert len(part) == len(whole), place
        for number, (one, other) in enumerate(zip(part, whole, strict=True)):
            assert_within(one, other, f"{place}.{number}")
    else:
        assert part == whole, place


def at(content: Any, field: str) -> Any:
    """The value of a dotted field, found as the command line finds it."""
    for part in set_field(copy.deepcopy(content), f"{field}=0"):
        content = content[part]
    return content


def parameters(stage: Stage) -> int:
    """Number of weights."""
    return sum(p.numel() for p in build(stage.network.config()).parameters())
