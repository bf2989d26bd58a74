"""Canonical orientation, resampling to the networks' grids, HU window, prepared cases."""

from __future__ import annotations

from renalis.preparation.cache import cached_case, file_hash, open_prepared
from renalis.preparation.cache_limit import CacheUse, set_limit
from renalis.preparation.grid_origin import grid_offset
from renalis.preparation.grids import GridSpec, normalized, place_grid
from renalis.preparation.hu_statistics import hu_histogram, mean_and_std
from renalis.preparation.hu_window import window
from renalis.preparation.interpolation_weights import (
    Interpolation,
    cubic_weights,
    linear_weights,
    nearest_index,
    triangle_weights,
)
from renalis.preparation.orientation_check import lies_along_own_axes
from renalis.preparation.pixel_weights import weight_map
from renalis.preparation.prepared import PreparedCase, PreparedGrid, near_slices, prepare_case
from renalis.preparation.resample import Grid, resample, stage_grid
from renalis.preparation.spline_resampling import regrid_image, regrid_labels
from renalis.preparation.upright import (
    OBLIQUE_DEG,
    obliqueness_deg,
    reduced_bytes,
    resample_upright,
    upright_frame,
)

__all__ = [
    "OBLIQUE_DEG",
    "CacheUse",
    "Grid",
    "GridSpec",
    "Interpolation",
    "PreparedCase",
    "PreparedGrid",
    "cached_case",
    "cubic_weights",
    "file_hash",
    "grid_offset",
    "hu_histogram",
    "lies_along_own_axes",
    "linear_weights",
    "mean_and_std",
    "near_slices",
    "nearest_index",
    "normalized",
    "obliqueness_deg",
    "open_prepared",
    "place_grid",
    "prepare_case",
    "reduced_bytes",
    "regrid_image",
    "regrid_labels",
    "resample",
    "resample_upright",
    "set_limit",
    "stage_grid",
    "triangle_weights",
    "upright_frame",
    "weight_map",
    "window",
]
