"""Whether the parts of a recipe fit each other, checked before anything is trained or written.

Each stage's network is built and run without numbers (torch's device ``meta``), which takes no
memory, with inputs of the sizes that training and prediction will give it. It takes up to a second
of Python, so what was found is kept for stages, and trials of a search, that are alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from renalis.errors import InputError
from renalis.networks import build
from renalis.networks.two_grids import two_grids
from renalis.plugins import NETWORKS
from renalis.recipes import output_fields, sample_fields
from renalis.recipes.system import WRITTEN, Stage, System
from renalis.recipes.train_fields import LossTerm
from renalis.systems.training_plans import loss_terms

__all__ = ["check_system"]

_UNKNOWN_SIDE = 512
"""Of slices that keep their size: what nearly every scanner makes."""

_STORED = (torch.float32, torch.int64)
"""What a packed system may hold, see `renalis.model_file`."""

_UNFIT = (ValueError, RuntimeError, TypeError, LookupError, AttributeError, AssertionError)
"""What networks raise when options or sizes do not fit."""


def check_system(system: System) -> None:
    """Refuse a recipe whose network, sizes, loss and grids do not fit each other.

    Raises
    ------
    InputError
        Names the stage, the field and what it should be.
    """
    for stage in system.all_stages():
        try:
            _check_stage(stage)
        except InputError as error:
            raise InputError(f"recipe {system.name}, stage {stage.name}: {error}") from None


def _check_stage(stage: Stage) -> None:
    try:
        config = stage.network.config()
        network = _built(NETWORKS.find(str(config["name"])).make, json.dumps(config))
    except _UNFIT as error:
        raise InputError(f"network cannot be built: {_words(error)}") from None
    for name, value in network.state_dict().items():
        if value.dtype not in _STORED:
            raise InputError(
                f"network {stage.network.name}: its {name} is {value.dtype}, which model files do "
                "not hold; make it float32 or int64, or do not store it"
            )
    _check_grids(stage, network)
    sampler = stage.sampler
    one_voxel_thick = isinstance(sampler, sample_fields.Patches) and sampler.mix.slices
    if one_voxel_thick and not hasattr(network, "forward_slices"):
        raise InputError(
            f"network {stage.network.name} has no forward_slices, so it cannot learn from single "
            "slices; leave --slices out, or take one that has"
        )
    sides: tuple[int, ...]
    wanted: tuple[int, ...]
    if isinstance(sampler, sample_fields.Paired):
        sides, wanted = (sampler.patch,) * 3, (sampler.output,) * 3
        fields = "sampler.patch", "sampler.output"
    elif not isinstance(sampler, sample_fields.Slices):
        sides = wanted = sampler.patch
        fields = "sampler.patch", "sampler.patch"
    else:
        sides = wanted = (_side(stage, sampler.grid, sampler.planes),) * 2
        fields = "slice_size of the grid", "slice_size of the grid"
    paired = isinstance(sampler, sample_fields.Paired)
    outputs = _asked(network, sides, paired, wanted, fields)
    if isinstance(sampler, sample_fields.Patches):
        for size in sampler.other_patches:
            _asked(network, size, False, size, ("sampler.other_patches", "sampler.other_patches"))
    classes = outputs["seg"].shape[1] if "seg" in outputs else None
    if classes != stage.network.out_channels:
        raise InputError(
            f"network.out_channels is {stage.network.out_channels}, but the network "
            f"{stage.network.name} gives {classes or 'no'} channels of seg; mend the network"
        )
    _check_loss(stage, outputs)
    _check_prediction(stage, network)


def _side(stage: Stage, grid: str, planes: tuple[str, ...]) -> int:
    plan = stage.grid(grid)
    side = plan.slice_size or plan.frame or _UNKNOWN_SIDE
    # Slices of other planes than the axial ones are padded, see `renalis.systems.samplers`.
    return side if planes == ("axial",) else -(-side // 32) * 32


@lru_cache(maxsize=16)
def _built(_: object, config: str) -> nn.Module:
    """A network without numbers; the first argument is what its name stands for now."""
    with torch.device("meta"):
        return build(json.loads(config)).eval()


@lru_cache(maxsize=64)
def _run(network: nn.Module, sides: tuple[int, ...], names: tuple[str, ...]) -> Any:
    """What a network without numbers gives for two cubes of these sides under each name."""
    with torch.device("meta"), torch.no_grad():
        return network(**{name: torch.zeros(2, 1, *sides) for name in names})


def _asked(
    network: nn.Module,
    sides: tuple[int, ...],
    paired: bool,
    wanted: tuple[int, ...],
    fields: tuple[str, str],
) -> Mapping[str, Any]:
    """The network's outputs for inputs of this shape; its output has the shape ``wanted``."""
    names = ("image", "low_image") if paired else ("image",)
    try:
        outputs = _run(network, sides, names)
    except _UNFIT as error:
        raise InputError(
            f"{fields[0]} {_size(sides)} does not fit the network; change one of them "
            f"({_words(error)})"
        ) from None
    logits: Any = {"seg": outputs} if isinstance(outputs, Tensor) else outputs
    if not isinstance(logits, Mapping):
        raise InputError(
            f"the network gives a {type(logits).__name__}; it has to give logits as a tensor, or a "
            "dict of them, see renalis.networks.Outputs"
        )
    for name in ("seg", "low"):
        if name in logits and tuple(logits[name].shape[2:]) != wanted:
            raise InputError(
                f"{fields[1]} is {_size(wanted)}, but of {_size(sides)} voxels the network gives "
                f"for {_size(tuple(logits[name].shape[2:]))}; set it so, or change {fields[0]}"
            )
    return logits


def _check_grids(stage: Stage, network: nn.Module) -> None:
    """Where two grids work together, one has whole multiples of the other's voxels."""
    sampler, plan = stage.sampler, stage.prediction
    if isinstance(sampler, sample_fields.Paired):
        ratio = _require_ratio(stage, network, sampler.fine, sampler.coarse)
        if (ratio - 1) * sampler.patch % 2 or (sampler.patch - sampler.output) % 2:
            raise InputError(
                f"sampler.patch {sampler.patch} and sampler.output {sampler.output} have no common "
                "center on both grids; take even numbers"
            )
        if len(WRITTEN[sampler.low_target]) != 1:
            raise InputError(f"sampler.low_target {sampler.low_target} has more than one class")
    if isinstance(plan, output_fields.TilePrediction) and plan.coarse is not None:
        ratio = _require_ratio(stage, network, plan.grid, plan.coarse)
        if plan.output % 2 or plan.output % ratio:
            raise InputError(
                f"prediction.output {plan.output} is no even multiple of {ratio}, the voxels of "
                f"grid {plan.grid} in one of grid {plan.coarse}"
            )


def _require_ratio(stage: Stage, network: nn.Module, fine: str, coarse: str) -> int:
    small, large = stage.grid(fine).spacing_mm, stage.grid(coarse).spacing_mm
    if small is None or large is None:
        raise InputError(f"grids {fine} and {coarse} work together, so both need kind: resample")
    ratio, more = max(1, round(large[0] / small[0])), ""
    if two_grids(network):
        ratio, more = network.ratio, " or network.ratio"
    if any(abs(two - ratio * one) > 1e-3 for one, two in zip(small, large, strict=True)):
        raise InputError(
            f"grids.{coarse}.spacing_mm {list(large)} is not {ratio} times grids.{fine}.spacing_mm "
            f"{list(small)}; change one of them{more}"
        )
    return ratio


def _check_prediction(stage: Stage, network: nn.Module) -> None:
    plan = stage.prediction
    if isinstance(plan, output_fields.TilePrediction):
        two = two_grids(network)
        if two != (plan.coarse is not None):
            need = "needs a grid" if two else "has to be null"
            raise InputError(f"prediction.coarse {need} with this network")
        tile, output = (plan.tile,) * 3, (plan.output,) * 3
        _asked(network, tile, two, output, ("prediction.tile", "prediction.output"))
    elif isinstance(plan, output_fields.WindowPrediction):
        _asked(network, plan.tile, False, plan.tile, ("prediction.tile", "prediction.tile"))
    elif isinstance(plan, output_fields.CoarseToFine):
        names = ("prediction.window", "prediction.window")
        _asked(network, plan.window, False, plan.window, names)
    else:
        # Padded to multiples of 32, see `renalis.systems.inference`.
        side = -(-_side(stage, plan.grid, plan.planes) // 32) * 32
        shape = (side, side) if plan.planes == ("axial",) else (32, side)
        _asked(network, shape, False, shape, ("the padded slice of prediction.grid",) * 2)


def _check_loss(stage: Stage, outputs: Mapping[str, Any]) -> None:
    """Every term has an output, a target and as many numbers as there are classes."""
    plan, heads = stage.optimisation, len(outputs.get("deep", ()))
    if len(plan.deep_weights) != heads:
        raise InputError(
            f"optimisation.deep_weights needs a number for each of the {heads} lower resolutions "
            f"of network.deep_supervision, but has {len(plan.deep_weights)}; change one of the two"
        )
    for number, term in enumerate(stage.loss):
        _check_term(stage, term, f"loss.{number}", outputs)
    stops = [(f"rounds.{one.name}.stop", one.stop) for one in plan.rounds]
    for field, stop in stops or [("stop", plan.stop)]:
        if stop.monitor == "low_dice" and "low" not in outputs:
            raise InputError(f"optimisation.{field}.monitor low_dice needs a network of two grids")
    for one in plan.rounds:
        if "cls" in one.outputs and "seg" not in one.outputs:
            raise InputError(
                f"optimisation.rounds.{one.name}.outputs: cls comes with seg alone; add seg"
            )
        if not any(term.output in one.outputs for term in stage.loss):
            raise InputError(
                f"optimisation.rounds.{one.name}: no term of the loss is about its outputs "
                f"{', '.join(one.outputs)}"
            )
    if not stage.loss:
        raise InputError("the loss has no term; give one")


def _check_term(stage: Stage, term: LossTerm, field: str, outputs: Mapping[str, Any]) -> None:
    sampler = stage.sampler
    paired = isinstance(sampler, sample_fields.Paired)
    if term.output not in outputs or (term.output != "seg" and not paired):
        raise InputError(
            f"{field} ({term.term}) is about the output {term.output}, which the network does not "
            "have; leave the term out, or turn the output on in the network"
        )
    channels = outputs[term.output].shape[1]
    if term.term in ("bce", "mse") and channels != 1:
        raise InputError(f"{field}: {term.term} is for one channel, not {channels}; take ce")
    if term.term == "renal_ce_dice" and channels != 4:
        raise InputError(
            f"{field}: {term.term} is for background, kidney, tumor and cyst, not {channels} "
            "classes"
        )
    if term.term == "ce" and channels == 1:
        raise InputError(f"{field}: ce is for several channels, not 1; take bce")
    if not type(term).__module__.startswith("renalis."):
        _try_term(term, field, channels, outputs[term.output].ndim - 2)
    classes = max(2, channels)
    weights = getattr(term, "class_weights", None)
    if weights is not None and len(weights) != classes:
        raise InputError(
            f"{field}.class_weights has {len(weights)} numbers for {classes} classes; give one for "
            "each, background first"
        )
    regions = getattr(term, "regions", ((1,),))
    if not regions or any(not region or max(region) >= classes for region in regions):
        raise InputError(
            f"{field}.regions {[list(region) for region in regions]} has to name classes from 1 to "
            f"{classes - 1}"
        )
    if getattr(term, "pixel_weights", False) and (
        isinstance(sampler, sample_fields.Paired) or stage.grid(sampler.grid).weight_map is None
    ):
        raise InputError(f"{field}.pixel_weights needs a weight_map of the sampler's grid")


def _try_term(term: LossTerm, field: str, channels: int, axes: int) -> None:
    """Another package's term, computed for a few voxels of background."""
    logits = torch.zeros(2, channels, *(4,) * axes, requires_grad=True)
    target = torch.zeros((2, *(4,) * axes), dtype=torch.uint8) if axes else torch.zeros(2, 1)
    try:
        (one,) = loss_terms((term,))
        value = one.term(logits, target)
        if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
            raise ValueError("it has to give one number, as a tensor with a gradient")
    except _UNFIT as error:
        raise InputError(f"{field} ({term.term}) cannot be computed: {_words(error)}") from None


def _size(sides: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in sides)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
