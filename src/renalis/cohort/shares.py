"""What each of several workers may use of the machine."""

from __future__ import annotations

from dataclasses import replace

from renalis.pipeline import SegmentOptions
from renalis.prediction.runtimes.machine import cores

__all__ = ["worker_options"]

_PARENT_MB = 200.0
"""Of the process that hands out the cases."""


def worker_options(options: SegmentOptions, workers: int) -> SegmentOptions:
    """The options of one of several workers: its share of the cores and of the memory.

    Parameters
    ----------
    options : SegmentOptions
        Of all together; threads that were chosen are each worker's.
    workers : int
        At the same time.
    """
    threads = options.threads
    if threads is None and workers > 1:
        threads = max(1, cores() // workers)
    prediction = options.prediction
    if prediction is not None and prediction.max_ram_mb is not None:
        share = max(1.0, (prediction.max_ram_mb - _PARENT_MB) / workers)
        prediction = replace(prediction, max_ram_mb=share)
    return replace(options, threads=threads, prediction=prediction)
