"""How much memory a prediction will need: said before it starts, and obeyed.

Beforehand only the most is known, what it takes to search the whole scan closely. Most scans need a
third of it. So a limit below the most is no reason to refuse a scan: what the coarse pass finds
decides. That is what is said and compared with the limit, before the fine pass.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from renalis.errors import UsageError
from renalis.model import Model
from renalis.model_header import Stage
from renalis.prediction.options import PredictionOptions, RuntimeName
from renalis.prediction.view import View
from renalis.volume import Volume

__all__ = ["expected_peak_mb", "fitted", "needed_mb"]

_BASE_MB = {
    RuntimeName.TORCH: 560.0,
    RuntimeName.TORCH_BF16: 490.0,
    RuntimeName.OPENVINO: 330.0,
    RuntimeName.OPENVINO_BF16: 330.0,
    RuntimeName.ONNX: 470.0,
}
"""Python, NumPy, the runtime, the readers, and the coarse pass over a small scan."""

_BYTES_PER_VOXEL, _BYTES_PER_LABELED_VOXEL = 2, 2 + 1 + 1 + 1
"""Of the scan: HU alone while a network computes; then labels, labels being tidied, and one mask as
well. Nothing else has its size."""

_BYTES_PER_STAGE_VOXEL = 4 + 12 + 12 + 4 + 4 + 2 + 2
"""Image, three earlier and three own probabilities, weights, renal sum, masks, and at every eighth
voxel how much mirrored looks differ: two variances, their weights, and what is kept of them."""

_ACTIVATIONS = 4.5
"""Arrays of the finest level's size and channels that exist at the same time."""

_REST = 14
"""Arrays of the window's size: image, class scores, probabilities and their copies."""

_KEPT = {
    RuntimeName.TORCH: 1.25,
    RuntimeName.TORCH_BF16: 0.85,
    RuntimeName.OPENVINO: 1.05,
    RuntimeName.OPENVINO_BF16: 0.85,
    RuntimeName.ONNX: 1.6,
}
"""What a runtime takes of the reckoned activations, with freed ones that stay in the heap; chosen,
as the base, so that the estimate lies 5 to 25 % above the peak that ``provenance.json`` reports
(``benchmarks/memory.py``)."""

_LEAN = 1.35
"""How much less it is when freed activations are given back."""


def expected_peak_mb(scan: Volume, model: Model, options: PredictionOptions) -> float:
    """Peak memory of the process in MB if the whole scan is searched closely.

    Parameters
    ----------
    scan : Volume
        In canonical orientation; only its shape and affine are used. An oblique scan may be
        seen upright, on a grid that holds it whole and is larger than it.
    model : Model
        Gives grids, windows and networks.
    options : PredictionOptions
        Whether freed memory is kept.
    """
    view = View.by_affine(scan)
    return max(_whole_mb(view, stage, options) for stage in model.header.stages)


def fitted(
    scan: Volume, model: Model, options: PredictionOptions
) -> tuple[PredictionOptions, float, tuple[str, ...]]:
    """Options that keep the peak below ``options.max_ram_mb``.

    Returns
    -------
    options : PredictionOptions
        As given, or without the kept heap.
    peak_mb : float
        The most that will be used with them.
    notes : tuple of str
        What was changed.

    Raises
    ------
    UsageError
        If the coarse pass alone needs more.
    """
    peak, limit = expected_peak_mb(scan, model, options), options.max_ram_mb
    if limit is None or peak <= limit:
        return options, peak, ()
    lean = replace(options, keep_heap=False)
    peak = expected_peak_mb(scan, model, lean)
    least = _whole_mb(View.by_affine(scan), model.header.stage("coarse"), lean)
    if least > limit:
        raise UsageError(_refusal("this scan needs", least, limit))
    return (
        lean,
        min(peak, limit),
        ("To stay within --max-ram, freed memory is not kept (slower).",),
    )


def needed_mb(
    view: View, stage: Stage, options: PredictionOptions, voxels: int, windows: int
) -> float:
    """Peak memory of the process in MB for a pass over a part of a scan.

    Parameters
    ----------
    view : View
        The scan.
    stage : Stage
        The pass.
    options : PredictionOptions
        With the limit.
    voxels : int
        Of the stage's grid in that part.
    windows : int
        That the pass will run over, of which it may compute ``options.together`` at once.

    Raises
    ------
    UsageError
        If that is more than ``options.max_ram_mb``.
    """
    peak, limit = _peak_mb(view, stage, options, voxels, windows), options.max_ram_mb
    if limit is not None and peak > limit:
        where = "where kidneys may be, this scan has to be looked at closely; that needs"
        raise UsageError(_refusal(where, peak, limit))
    return peak


def _refusal(what: str, peak_mb: float, limit_mb: float) -> str:
    return (
        f"{what} about {peak_mb:.0f} MB, more than the {limit_mb:.0f} MB that --max-ram allows; "
        "allow more, or cut the scan to the abdomen"
    )


def _whole_mb(view: View, stage: Stage, options: PredictionOptions) -> float:
    """Peak if a stage sees the whole scan."""
    extent = np.asarray(view.frame.shape) * np.asarray(view.frame.spacing)
    voxels = float(np.prod(np.maximum(extent / stage.spacing_mm, stage.patch)))
    return _peak_mb(view, stage, options, voxels, options.together)


def _peak_mb(
    view: View, stage: Stage, options: PredictionOptions, voxels: float, windows: int
) -> float:
    """Peak of a stage that predicts some windows that lie in so many voxels of its grid."""
    seen = voxels * _BYTES_PER_STAGE_VOXEL
    seen += view.turning_bytes(stage.spacing_mm, options.interpolated(stage))
    at_once = min(windows, options.together) if stage.pooled else 1
    # Where it is not chosen yet, or not among those measured: what takes the most
    runtime = options.runtime if options.runtime in _BASE_MB else RuntimeName.TORCH
    kept = _KEPT[runtime] if options.keep_heap else _KEPT[runtime] / _LEAN
    scan = float(np.prod(view.scan.shape))
    computing = scan * _BYTES_PER_VOXEL + _activation_bytes(stage, at_once) * kept
    # What windows took is given back before there are labels.
    return _BASE_MB[runtime] + (seen + max(computing, scan * _BYTES_PER_LABELED_VOXEL)) / 1e6


def _activation_bytes(stage: Stage, windows: int) -> float:
    """Memory of a network while it computes some windows together."""
    channels = stage.network.get("channels", [16])
    first = channels[0] if isinstance(channels, list) and channels else 16
    width = float(first) if isinstance(first, int | float) else 16.0
    finest = width / stage.stem**3
    return windows * float(np.prod(stage.patch)) * 4 * (finest * _ACTIVATIONS + _REST)
