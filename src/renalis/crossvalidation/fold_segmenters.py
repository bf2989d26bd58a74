"""One fold's networks as a segmenter, and their hash."""

from __future__ import annotations

from renalis.compute_device import DeviceChoice
from renalis.crossvalidation.runs import CrossRun
from renalis.prediction.options import PredictionOptions, RuntimeName
from renalis.preparation import file_hash
from renalis.systems.ensemble_members import fold_files
from renalis.systems.segmenter import Segmenter
from renalis.systems.segmenter_kinds import open_segmenter
from renalis.systems.segmenter_options import SegmenterOptions

__all__ = ["fold_hash", "open_fold"]


def open_fold(run: CrossRun, fold: int, device: DeviceChoice) -> Segmenter:
    """Load one fold's networks.

    Raises
    ------
    InputError
        If they cannot be used.
    """
    if run.model is None:
        return open_segmenter(run.path, SegmenterOptions(folds=(fold,), device=device))
    # Always the same runtime: what is fastest may be another after an interruption.
    prediction = PredictionOptions(runtime=RuntimeName.TORCH)
    return open_segmenter(run.model, SegmenterOptions(prediction=prediction, device=device))


def fold_hash(run: CrossRun, fold: int) -> str:
    """Hash of the recipe and the weights that predict."""
    path = run.path if run.model is None else run.model
    if path.is_file() or run.system is None:
        return file_hash([path])
    return file_hash(fold_files(path, run.system, [fold]))
