"""Which systems are compared, and how each recipe is made small enough for minutes on a CPU.

The small variant of a recipe keeps its architecture, sampler, augmentation, loss, optimizer, rules
for what is kept and its clean-up. It has fewer channels and coarser grids; patches shrink with the
grids, so that they hold at least as much of the body as the published ones; networks have as many
levels fewer as smaller patches need. What counts optimizer steps or slices is scaled as well. The
page lists every field that differs from the recipe as published.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from renalis.recipes import System, load_system

__all__ = ["ENTRIES", "Entry", "entry", "small_system"]

Group = Literal["recipes", "ablation", "options", "rivals"]

_SLICES: dict[str, Any] = {
    # 6.25 mm pixels of a field of view of 400 mm.
    "grids.slices.slice_size": 64,
    "optimisation.batch": 16,
}
_R1: dict[str, Any] = {
    **_SLICES,
    # Cross-entropy alone says "no kidney anywhere" for hundreds of steps: as many steps on slices
    # with kidney as the budget allows, by the recipe's own option.
    "sampler": {"kind": "slices", "grid": "slices", "keep": "balanced"},
    "network.base": 16,
    "optimisation.validation_cases": 3,
}
_R3: dict[str, Any] = {
    # Four times the published spacing, so that a quarter of the patch holds as much of the body.
    "grids.mm3.spacing_mm": [8.0, 6.5, 6.5],
    "grids.mm3.min_shape": [24, 40, 40],
    "sampler.patch": [24, 40, 40],
    "sampler.stride": [18, 30, 30],
    "prediction.tile": [24, 40, 40],
    "prediction.stride": [18, 30, 30],
    "network.levels": 4,
    "network.base": 8,
    "network.max_channels": 96,
    "optimisation.validation_cases": 2,
    # A training has some hundred steps here, in place of 60 000: smaller ones, at a higher rate.
    "sampler.cases_per_step": 1,
    "optimisation.batch": 1,
    "optimisation.learning_rate": 2e-3,
}
_VALID: dict[str, Any] = {
    # Two and a half times the published spacings and a third of the patches; two levels of valid
    # convolutions leave 20 of 36. On coarser grids the low resolution has too few voxels of kidney
    # to learn from within minutes.
    "grids.mm1.spacing_mm": [2.5, 2.5, 2.5],
    "grids.mm4.spacing_mm": [10.0, 10.0, 10.0],
    "sampler.patch": 36,
    "sampler.steps_per_epoch": 60,
    "network.patch": 36,
    "network.levels": 2,
    "network.base": 8,
    "network.low_base": 8,
    # 10 mm, as published.
    "prediction.gate.dilate": 4,
    # After minutes the coarse half may stay below its threshold everywhere, which says nothing
    # about the fine network.
    "prediction.gate.closed": "everywhere",
    "optimisation.validation_cases": 1,
    # Published: 1e-4, times 0.9 after every pass of up to 2000 steps. Here a training has some
    # hundred steps in all, so it starts higher and falls by as much over all of them.
    "optimisation.learning_rate": 3e-3,
    "optimisation.schedule.gamma": 0.97,
}
SMALL: dict[str, dict[str, Any]] = {
    "resnet34-2d": {
        **_R1,
        "stages.tumor.grids.slices.slice_size": 64,
        # Where kidneys are, every feature before the last convolution soon is 0, and its bias
        # rises only as fast as cross-entropy clears the rest of the slices. After minutes the
        # network says 0.01 there and at most 0.45 in kidneys [measured].
        "prediction.threshold": 0.25,
        "stages.tumor.input_mask.threshold": 0.25,
    },
    "simple-unet-2d": {**_R1, "network.base": 8},
    "quicknat-2d": {
        **_SLICES,
        "grids.slices.frame": None,  # the scans have no 512 pixels to cut
        "grids.slices.drop_far_slices": 7,  # 35 mm; the published 20 are as much at 1.75 mm
        "network.filters": 12,
        "dataset.tumor_ml_max": None,  # all systems learn from the same cases
        "optimisation.validation_cases": 3,
    },
    "unet3d-plain": _R3,
    "unet3d-residual": _R3,
    "unet3d-preact": _R3,
    "cascade3d": {
        **_VALID,
        "prediction.tile": 36,  # its classifier takes no other
        "postprocessing.mask_by_low.dilate": 4,
    },
    "multires3d": {
        **_VALID,
        # At three times this rate it stays where it is after the first hundred steps [measured].
        "optimisation.learning_rate": 1e-3,
        "sampler.steps_per_epoch": 120,
        # Valid convolutions give the same with larger tiles, sooner.
        "prediction.tile": 76,
        "prediction.output": 60,
    },
}


@dataclass(frozen=True)
class Entry:
    """One line of the comparison.

    Attributes
    ----------
    name : str
        Of its line, and of its folder.
    recipe : str
        A recipe of the package, or a network of MONAI for a rival.
    group : str
        Table in which it appears.
    about : str
        In words.
    changes : dict
        Fields beyond the small variant.
    against : str
        The entry it is compared with, case by case.
    trained : tuple of str
        Entries whose trained networks it uses; nothing is trained for it. Several are averaged.
    """

    name: str
    recipe: str
    group: Group
    about: str
    changes: tuple[tuple[str, Any], ...] = ()
    against: str = ""
    trained: tuple[str, ...] = ()


def _option(
    name: str, recipe: str, about: str, trained: tuple[str, ...] = (), **changes: Any
) -> Entry:
    named = tuple((key.replace("__", "."), value) for key, value in changes.items())
    return Entry(name, recipe, "options", about, named, recipe, trained)


_SWITCHES = {
    "multires": "several resolutions",
    "augment": "augmentation",
    "topk": "top-k loss",
    "spatial_dropout": "spatial dropout",
}


def _ablation() -> list[Entry]:
    off = {f"switches.{name}": False for name in _SWITCHES}
    base = "multires3d, base"
    found = [Entry(base, "multires3d", "ablation", "none of the four", tuple(off.items()))]
    for name, words in _SWITCHES.items():
        rest = tuple((key, v) for key, v in off.items() if key != f"switches.{name}")
        found.append(
            Entry(f"multires3d, {name}", "multires3d", "ablation", f"{words} alone", rest, base)
        )
    whole = Entry("multires3d, all", "multires3d", "ablation", "all four", (), base)
    return [*found, Entry(**{**whole.__dict__, "trained": ("multires3d",)})]


_CE = {"term": "ce", "weight": 1.0, "class_weights": [0.5, 1.0, 1.5]}
_COMPOSITE = {"term": "dice", "weight": 1.0, "regions": [[1, 2], [2]], "smooth": 1e-5}
_TUMOR = {"term": "dice", "weight": 1.0, "regions": [[2]], "smooth": 1e-5}
_TVERSKY = {"term": "tversky", "weight": 1.0, "regions": [[2]], "alpha": 0.3, "beta": 0.7}
_FOCAL = {"term": "focal", "weight": 1.0, "gamma": 2.0, "class_weights": [0.5, 1.0, 1.5]}
_PLANES = ["axial", "coronal", "sagittal"]
_TWO_STAGES = [
    {"name": "both"},
    {
        "name": "tumor",
        "target": "tumor",
        "input_mask": {"stage": "both", "threshold": 0.5, "fill": "water"},
        "network": {
            "name": "unet3d",
            "variant": "residual",
            "in_channels": 1,
            "out_channels": 2,
            **{name: _R3[f"network.{name}"] for name in ("base", "max_channels", "levels")},
        },
        "loss": [
            {"term": "ce", "weight": 1.0},
            {"term": "dice", "weight": 1.0, "regions": [[1]], "smooth": 1e-5},
        ],
    },
]

ENTRIES: tuple[Entry, ...] = (
    Entry("simple-unet-2d", "simple-unet-2d", "recipes", "R1's baseline, kidneys alone"),
    Entry("resnet34-2d", "resnet34-2d", "recipes", "R1, two stages"),
    Entry("quicknat-2d", "quicknat-2d", "recipes", "R2, kidneys alone"),
    Entry("unet3d-plain", "unet3d-plain", "recipes", "R3"),
    Entry("unet3d-residual", "unet3d-residual", "recipes", "R3"),
    Entry("unet3d-preact", "unet3d-preact", "recipes", "R3"),
    Entry("cascade3d", "cascade3d", "recipes", "R4"),
    Entry("multires3d", "multires3d", "recipes", "R5; tumor and cyst are one"),
    Entry("MONAI SegResNet", "segresnet", "rivals", "MONAI's network and usual components"),
    Entry("MONAI 3D U-Net", "unet", "rivals", "MONAI's network and usual components"),
    *_ablation(),
    _option(
        "deep supervision",
        "unet3d-residual",
        "two lower resolutions in the loss (R3)",
        network__deep_supervision=2,
        optimisation__deep_weights=[0.5, 0.25],
    ),
    _option(
        "Tversky loss",
        "unet3d-residual",
        "for the tumor, in place of its Dice (R3)",
        loss=[_CE, _COMPOSITE, _TVERSKY],
    ),
    _option(
        "focal loss",
        "unet3d-residual",
        "in place of the cross-entropy (R3)",
        loss=[_FOCAL, _COMPOSITE, _TUMOR],
    ),
    _option("attention", "unet3d-residual", "gates on the skips (R3)", network__attention=True),
    _option(
        "hard negatives",
        "unet3d-residual",
        "half of the patches without foreground are those that went worst before (R3)",
        sampler__hard_negatives={"share": 0.5, "from_epoch": 1},
    ),
    _option(
        "second network",
        "unet3d-residual",
        "for the tumor alone, inside what the first found; they share the time (R3)",
        stages=_TWO_STAGES,
    ),
    _option(
        "no scans without tumor",
        "quicknat-2d",
        "left out of training, as all were in the publication, which wishes for them (R2)",
        dataset__tumor_free="drop",
    ),
    _option(
        "Muon",
        "unet3d-residual",
        "in place of Adam, whose learning rate it takes",
        optimisation__optimizer="muon",
    ),
    _option(
        "three planes",
        "simple-unet-2d",
        "learned and predicted in three planes, averaged (R1)",
        sampler={"kind": "slices", "grid": "slices", "keep": "balanced", "planes": _PLANES},
        prediction__planes=_PLANES,
    ),
    _option(
        "opening and closing",
        "quicknat-2d",
        "with a ball of 8 mm after prediction (R2)",
        trained=("quicknat-2d",),
        postprocessing=[
            {"rule": "opening", "region": "renal", "radius_mm": 8.0},
            {"rule": "closing", "region": "renal", "radius_mm": 8.0},
        ],
    ),
    _option(
        "three networks",
        "unet3d-residual",
        "mean of plain, residual and pre-activation: three trainings (R3, R5)",
        trained=("unet3d-residual", "unet3d-plain", "unet3d-preact"),
    ),
)


def entry(name: str) -> Entry:
    """The entry of that name; KeyError if there is none."""
    return {one.name: one for one in ENTRIES}[name]


def small_system(one: Entry, minutes: float) -> System:
    """The small variant of an entry's recipe, with its changes.

    Parameters
    ----------
    one : Entry
        Not a rival.
    minutes : float
        Time of computing of a training; stages and their rounds share it.
    """
    published, own = load_system(one.recipe), dict(one.changes)
    stages = len(own.get("stages", published.all_stages()))
    changes = {**SMALL[one.recipe], **_budget(published, minutes, stages), **own}
    return load_system(
        one.recipe, tuple(f"{key}={json.dumps(value)}" for key, value in changes.items())
    )


def _budget(published: System, minutes: float, stages: int) -> dict[str, Any]:
    """Only the clock ends a training; the published rules for that would never be reached."""
    endless = 100_000
    shares: dict[str, float] = {}
    for stage in published.optimisation.rounds:
        # The coarse network is alone for a third of the time, as it is the smaller part.
        shares[stage.name] = 1 / 3 if "seg" not in stage.outputs else 2 / 3
    if shares:
        budget: dict[str, Any] = {"optimisation.stop": {"epochs": endless}}
        for name, share in shares.items():
            budget[f"optimisation.rounds.{name}.stop"] = {
                "epochs": endless,
                "cpu_minutes": minutes * share,
            }
        return budget
    each = minutes / stages
    return {"optimisation.stop": {"epochs": endless, "cpu_minutes": each}}
