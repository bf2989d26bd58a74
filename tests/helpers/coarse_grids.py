"""Small variants of the published systems on coarser grids: an eighth of the voxels.

For tests that need a system which trains and predicts, and not the voxel size it does so with.
"""

from __future__ import annotations

__all__ = ["COARSE"]

_TILES = (
    "grids.mm1.spacing_mm=[12.0, 12.0, 12.0]",
    "grids.mm4.spacing_mm=[48.0, 48.0, 48.0]",
    "sampler.steps_per_epoch=2",
)
_WINDOWS = ("grids.mm3.spacing_mm=[12.0, 8.0, 8.0]",)

COARSE: dict[str, tuple[str, ...]] = {
    "cascade3d": _TILES,
    "multires3d": _TILES,
    "unet3d-plain": _WINDOWS,
    "unet3d-preact": _WINDOWS,
    "unet3d-residual": _WINDOWS,
}
"""Changes as for ``--set``, by recipe; those that see slices of a fixed size stay as they are."""
