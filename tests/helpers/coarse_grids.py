"""Small variants of the published systems on coarser grids, and some with fewer channels.

For tests that need a system which trains and predicts, and not how finely it does so.
"""

from __future__ import annotations

__all__ = ["COARSE"]

_TILES = (
    "grids.mm1.spacing_mm=[12.0, 12.0, 12.0]",
    "grids.mm4.spacing_mm=[48.0, 48.0, 48.0]",
    "sampler.steps_per_epoch=2",
    "network.base=2",
    "network.low_base=2",
)
_WINDOWS = ("grids.mm3.spacing_mm=[12.0, 8.0, 8.0]",)
_SLICES = ("grids.slices.slice_size=32",)

COARSE: dict[str, tuple[str, ...]] = {
    "cascade3d": _TILES,
    "multires3d": _TILES,
    "quicknat-2d": (*_SLICES, "network.filters=4"),
    "resnet34-2d": (*_SLICES, "stages.tumor.grids.slices.slice_size=32", "network.base=4"),
    "simple-unet-2d": _SLICES,
    "unet3d-plain": _WINDOWS,
    "unet3d-preact": _WINDOWS,
    "unet3d-residual": _WINDOWS,
}
"""Changes as for ``--set``, by recipe."""
