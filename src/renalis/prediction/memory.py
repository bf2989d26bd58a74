"""How much memory a prediction will need, said before it starts and obeyed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from renalis.errors import UsageError
from renalis.model import Model
from renalis.model_header import Stage
from renalis.prediction.options import PredictionOptions
from renalis.prediction.view import View
from renalis.volume import Volume

__all__ = ["expected_peak_mb", "fitted"]

_BASE_MB = 520.0
"""Python, NumPy, torch, OpenVINO and the readers, before the first voxel."""

_BYTES_PER_VOXEL = 2 + 1 + 1 + 1
"""Of the scan: HU, labels, labels being tidied, and one mask; nothing else has its size."""

_BYTES_PER_STAGE_VOXEL = 4 + 12 + 12 + 4 + 4 + 2
"""Image, three earlier and three own probabilities, weights, renal sum, masks."""

_ACTIVATIONS = 4.5
"""Arrays of the finest level's size and channels that exist at the same time, with the runtime's
work space, chosen so that the estimate lies above the peak that ``provenance.json`` reports: for 6
windows of the shipped model 2.4 to 2.8 GB in all, where OpenVINO and torch, both with bfloat16,
took 1.4 to 1.6 GB."""

_BESIDE = 14
"""Arrays of the window's size: image, class scores, probabilities and their copies."""

_KEPT = 1.35
"""Freed activations that stay in the heap."""


def expected_peak_mb(scan: Volume, model: Model, options: PredictionOptions) -> float:
    """Expected peak memory of the process in MB.

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
    extent = np.asarray(view.frame.shape) * np.asarray(view.frame.spacing)
    voxels = float(np.prod(scan.shape)) * _BYTES_PER_VOXEL
    stages = 0.0
    for stage in model.header.stages:
        inside = float(np.prod(np.maximum(extent / stage.spacing_mm, stage.patch)))
        turning = view.turning_bytes(stage.spacing_mm, options.interpolated(stage))
        stages = max(stages, inside * _BYTES_PER_STAGE_VOXEL + turning)
    activations = max(_activation_bytes(stage, options) for stage in model.header.stages)
    activations *= _KEPT if options.keep_heap else 1.0
    return _BASE_MB + (voxels + stages + activations) / 1e6


def fitted(
    scan: Volume, model: Model, options: PredictionOptions
) -> tuple[PredictionOptions, float, tuple[str, ...]]:
    """Options that keep the expected peak below ``options.max_ram_mb``.

    Returns
    -------
    options : PredictionOptions
        As given, or without the kept heap.
    peak_mb : float
        Expected with them.
    notes : tuple of str
        What was changed.

    Raises
    ------
    UsageError
        If the scan needs more in any case.
    """
    peak = expected_peak_mb(scan, model, options)
    if options.max_ram_mb is None or peak <= options.max_ram_mb:
        return options, peak, ()
    lean = replace(options, keep_heap=False)
    peak = expected_peak_mb(scan, model, lean)
    if peak <= options.max_ram_mb:
        return lean, peak, ("To stay within --max-ram, freed memory is not kept (slower).",)
    raise UsageError(
        f"this scan needs about {peak:.0f} MB, more than the {options.max_ram_mb:.0f} MB that "
        "--max-ram allows; allow more, or cut the scan to the abdomen"
    )


def _activation_bytes(stage: Stage, options: PredictionOptions) -> float:
    """Memory of a network while it computes one batch of windows."""
    channels = stage.network.get("channels", [16])
    first = channels[0] if isinstance(channels, list) and channels else 16
    width = float(first) if isinstance(first, int | float) else 16.0
    finest = width / stage.stem**3
    windows = options.together if stage.pooled else 1
    return windows * float(np.prod(stage.patch)) * 4 * (finest * _ACTIVATIONS + _BESIDE)
