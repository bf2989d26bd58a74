"""Canonical orientation, resampling to the networks' grids, HU window."""

from __future__ import annotations

from renalis.preparation.resample import Grid, resample, stage_grid
from renalis.preparation.weights import linear_weights, triangle_weights
from renalis.preparation.window import window

__all__ = ["Grid", "linear_weights", "resample", "stage_grid", "triangle_weights", "window"]
