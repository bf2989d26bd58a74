"""Inference: a stage's network over a prepared case, to class probabilities on its grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalis.networks.two_grids import CoarseHalf, FineHalf
from renalis.prediction.network_inputs import Activation, BatchNetwork, mean_network
from renalis.prediction.network_inputs import torch_network as on_arrays
from renalis.prediction.padded_patches import Prepare
from renalis.prediction.slices import predict_slices
from renalis.prediction.strided_windows import predict_windows
from renalis.prediction.three_plane import predict_three_planes
from renalis.prediction.tiles import Pairing, low_mask, predict_pairs, predict_valid
from renalis.preparation import GridSpec, PreparedCase, PreparedGrid, normalized
from renalis.recipes import output_fields as fields
from renalis.recipes.system import Stage
from renalis.systems.case_batches import masked_hu
from renalis.systems.recipe_grids import AXIS

__all__ = [
    "LowResolutionPrediction",
    "StagePrediction",
    "likeliest_labels",
    "low_probability",
    "predict_stage",
]

_SLICE_DIVISOR = 32

Gate = Literal["open", "closed"]
Regions = Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class LowResolutionPrediction:
    """The coarse network's prediction: probability (Z, Y, X) float32 of kidney, and its affine."""

    probability: NDArray[np.float32]
    affine: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StagePrediction:
    """A stage's prediction.

    Attributes
    ----------
    probability : ndarray, shape (K, Z, Y, X), float32
        Background first.
    affine : ndarray, shape (4, 4)
        Of the grid.
    low : LowResolutionPrediction or None
        Of a network of two resolutions.
    gate : {"open", "closed"} or None
        Whether the coarse half, which decides where the fine one is computed, has anything above
        the gate's threshold; None without a gate.
    variance : ndarray, shape (R, Z, Y, X), float32, or None
        Over the folds, of what each region's classes sum up to, where regions were asked for.
    """

    probability: NDArray[np.float32]
    affine: NDArray[np.float64]
    low: LowResolutionPrediction | None = None
    gate: Gate | None = None
    variance: NDArray[np.float32] | None = None


def predict_stage(
    stage: Stage,
    networks: Sequence[nn.Module],
    case: PreparedCase,
    specs: Mapping[str, GridSpec],
    *,
    region: NDArray[np.bool_] | None = None,
    near: NDArray[np.bool_] | None = None,
    device: torch.device | str = "cpu",
    regions: Regions = (),
) -> StagePrediction:
    """Predict a case with a stage's network, or with the mean of its folds.

    Parameters
    ----------
    stage : Stage
        Says how to predict.
    networks : sequence of nn.Module
        One, or one per fold; probabilities are averaged patch by patch.
    case : PreparedCase
        Labels are not used.
    specs : mapping of str to GridSpec
        The stage's grids with their final intensities.
    region : ndarray (Z, Y, X), bool, optional
        The input mask of a stage that has one.
    near : ndarray (Z, Y, X), bool, optional
        Only tiles that meet it are computed; elsewhere is background.
    device
        Where to compute.
    regions : sequence of sequence of int
        Classes each; for the variance over the folds.
    """
    plan = stage.prediction
    grid = case.grid(plan.grid)
    kind: Activation = "sigmoid" if stage.network.out_channels == 1 else "softmax"
    # A sigmoid has no channel of the background.
    channels = [[n - (kind == "sigmoid") for n in one] for one in regions]

    def ready(output: str, modules: Sequence[nn.Module], activation: Activation) -> BatchNetwork:
        each = [on_arrays(m, {output: activation}, device=device) for m in modules]
        return mean_network(each, channels)

    if isinstance(plan, fields.SlicePrediction):
        probability = _slices(stage, plan, ready("seg", networks, kind), grid, specs, region)
    elif isinstance(plan, fields.WindowPrediction):
        spec = specs[plan.grid]
        probability = predict_windows(
            grid.image,
            ready("seg", networks, kind),
            plan.tile,
            plan.stride,
            fill=_air(spec),
            weight=plan.weight,
            prepare=_prepare(spec),
            region=region,
            outside=_outside(stage, spec),
        )
    else:
        assert isinstance(plan, fields.TilePrediction), "two passes predict from their model file"
        tiled = _tiles(stage, plan, networks, case, specs, near, device, channels)
        probability, variance = _divided(tiled.probability, len(regions))
        return replace(tiled, probability=probability, variance=variance)
    probability, variance = _divided(probability, len(regions))
    if kind == "sigmoid":
        probability = np.concatenate([1 - probability, probability])
    return StagePrediction(probability, grid.affine, variance=variance)


def _divided(
    said: NDArray[np.float32], regions: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Probabilities, and the variances that `mean_network` put behind them."""
    return (said[:-regions], said[-regions:]) if regions else (said, None)


def likeliest_labels(stage: Stage, probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Label values of the dataset's convention from class probabilities (K, ...)."""
    values = np.array([0, *stage.written], np.uint8)
    plan = stage.prediction
    if plan.decision == "argmax":
        return np.asarray(values[probability.argmax(0)])
    labels = np.zeros(probability.shape[1:], np.uint8)
    for channel, value in zip(probability[1:], values[1:], strict=True):
        labels[channel > plan.threshold] = value
    return labels


def low_probability(
    stage: Stage,
    plan: fields.TilePrediction,
    networks: Sequence[nn.Module],
    case: PreparedCase,
    specs: Mapping[str, GridSpec],
    device: torch.device | str = "cpu",
) -> LowResolutionPrediction:
    """The low-resolution prediction of a cascade."""
    assert plan.coarse is not None
    grid, spec = case.grid(plan.coarse), specs[plan.coarse]
    coarse = mean_network(
        [on_arrays(CoarseHalf(module), {"low": "softmax"}, device=device) for module in networks]
    )
    tiled = predict_valid(
        grid.image,
        coarse,
        tile=plan.output,
        margin=(plan.tile - plan.output) // 2,
        output="low",
        fill=_air(spec),
        prepare=_prepare(spec),
    )
    return LowResolutionPrediction(tiled.probability[1], grid.affine)


def _tiles(
    stage: Stage,
    plan: fields.TilePrediction,
    networks: Sequence[nn.Module],
    case: PreparedCase,
    specs: Mapping[str, GridSpec],
    near: NDArray[np.bool_] | None,
    device: torch.device | str,
    regions: Regions,
) -> StagePrediction:
    grid, spec = case.grid(plan.grid), specs[plan.grid]
    modules = networks if plan.coarse is None else [FineHalf(module) for module in networks]
    seg = mean_network([on_arrays(m, {"seg": "softmax"}, device=device) for m in modules], regions)
    margin = (plan.tile - plan.output) // 2
    numbers: dict[str, Any] = {"fill": _air(spec), "prepare": _prepare(spec)}
    if plan.coarse is None:
        tiled = predict_valid(
            grid.image, seg, tile=plan.output, margin=margin, near=near, **numbers
        )
        return StagePrediction(tiled.probability, grid.affine)
    low = low_probability(stage, plan, networks, case, specs, device)
    pairing = Pairing.of(grid.affine, low.affine)
    within: NDArray[np.bool_] | None = None
    gate: Gate | None = None
    if plan.gate is not None:
        within = low_mask(
            low.probability,
            pairing,
            grid.shape,
            at=plan.gate.threshold,
            iterations=plan.gate.dilate,
        )
        gate = "open" if within.any() else "closed"
        if gate == "closed" and plan.gate.closed == "everywhere":
            within = None
    tiled = predict_pairs(
        grid.image,
        case.grid(plan.coarse).image,
        seg,
        pairing,
        tile=plan.output,
        margin=margin,
        within=within,
        near=near,
        **numbers,
    )
    return StagePrediction(tiled.probability, grid.affine, low, gate)


def _slices(
    stage: Stage,
    plan: fields.SlicePrediction,
    network: BatchNetwork,
    grid: PreparedGrid,
    specs: Mapping[str, GridSpec],
    region: NDArray[np.bool_] | None,
) -> NDArray[np.float32]:
    spec = specs[plan.grid]
    numbers: dict[str, Any] = {
        "divisor": _SLICE_DIVISOR,
        "fill": _air(spec),
        "prepare": _prepare(spec),
    }
    numbers |= {"region": region, "outside": _outside(stage, spec)}
    if len(plan.planes) == 3:
        return predict_three_planes(grid.image, network, **numbers)
    return predict_slices(grid.image, network, axis=AXIS[plan.planes[0]], **numbers)


def _air(spec: GridSpec) -> float:
    return float(normalized(np.array([spec.fill_hu]), spec)[0])


def _outside(stage: Stage, spec: GridSpec) -> float:
    """What the network sees outside its input mask, in its input units."""
    if stage.input_mask is None:
        return 0.0
    return float(normalized(np.array([masked_hu(stage.input_mask.fill, spec)]), spec)[0])


def _prepare(spec: GridSpec) -> Prepare:
    return lambda hu: normalized(hu, spec)
