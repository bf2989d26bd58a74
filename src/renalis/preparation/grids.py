"""What a network's grid is made of, in plain numbers, and where it lies on a scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from renalis.preparation.resample import Grid, stage_grid
from renalis.volume import Volume

__all__ = ["AIR_HU", "GridSpec", "normalize", "normalized", "place_grid"]

AIR_HU = -1024.0
"""Stands for everything outside the scan where nothing else is said."""

_ORDERS = (0, 1, 3)


@dataclass(frozen=True)
class GridSpec:
    """One named grid of a case.

    Images are stored as HU (int16), unclipped: an augmentation may shift HU before they are
    clipped, and the statistics that ``sub`` and ``div`` come from may be known only afterwards.
    `normalized` turns a patch into what the network sees.

    Parameters
    ----------
    name : str
        For example ``"mm4"``; unique within a case.
    kind : {"resample", "native2d"}
        ``"resample"`` interpolates in 3D. ``"native2d"`` keeps the slices of the scan as they are,
        pads or crops each to a square and resizes it.
    spacing_mm : tuple of float, optional
        Target spacing (Z, Y, X) for ``"resample"``; None along an axis keeps the scan's. It is
        exact, so the last voxels may reach past the scan. The outer corners of the first voxels
        coincide: voxel ``i`` of a 4 mm grid covers the voxels ``4 i`` to ``4 i + 3`` of the 1 mm
        grid exactly.
    order : int or tuple of int
        Spline order of the image, 0 (nearest), 1 or 3, for all axes or for (Z, Y, X).
    average : bool
        Linear interpolation that averages voxels where it reduces, as two passes predict
        (`renalis.preparation.resample` with ``"average"``).
    label_truncated : bool
        Interpolate the label values linearly and cut them off, as a published program did: that
        turns the border of label 2 into label 1 and shrinks every mask. Only to repeat its scores;
        otherwise each voxel has the label of the nearest one.
    low_pass : float
        Gaussian before reducing, with this sigma times new spacing / old spacing; 0 for none.
    clip_hu : tuple of float, optional
        HU window that the network sees.
    sub, div : float
        ``x = (clip(HU) - sub) / div``.
    crop_body : bool
        Crop to the bounding box of voxels above the lowest (clipped) value.
    crop_end_dropped : bool
        Lose the last plane of that box along each axis, as a published program did.
    min_shape : tuple of int, optional
        Samplers and predictors continue a smaller grid with `fill_hu` at the end of each axis.
        Nothing is stored for it.
    fill : {"lower_bound", "zero"}
        What lies beyond the end of a grid: the lowest HU of the window, which is air, or the HU
        that become 0 (``sub``), whatever tissue they are, as in a published program.
    frame : int, optional
        Rows and columns that a slice of ``"native2d"`` is centered in, in scan pixels; the longer
        side of the slice if None.
    slice_size : int, optional
        Rows and columns after resizing a ``"native2d"`` slice; None leaves the frame's.
    drop_far_slices : int, optional
        Training leaves out slices further than this many slices from any label.
    weight_map : {"foreground", "classes"}, optional
        Make a map of pixel weights (`renalis.preparation.pixel_weights`) from label > 0 or from all
        classes.
    weight_edge, weight_max : float
        Added on edges; largest weight.
    weight_floor : bool
        Cut the class weights off to whole numbers, as a published program did: the background's
        becomes 0.
    """

    name: str
    kind: Literal["resample", "native2d"] = "resample"
    spacing_mm: tuple[float | None, float | None, float | None] | None = None
    order: int | tuple[int, int, int] = 3
    label_truncated: bool = False
    low_pass: float = 0.0
    clip_hu: tuple[float, float] | None = None
    sub: float = 0.0
    div: float = 1.0
    crop_body: bool = False
    crop_end_dropped: bool = False
    min_shape: tuple[int, int, int] | None = None
    fill: Literal["lower_bound", "zero"] = "lower_bound"
    frame: int | None = None
    slice_size: int | None = None
    drop_far_slices: int | None = None
    weight_map: Literal["foreground", "classes"] | None = None
    weight_edge: float = 2.0
    weight_max: float = 10.0
    weight_floor: bool = False
    average: bool = False

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"a grid's name has letters and digits, not {self.name!r}")
        if self.kind == "resample" and self.spacing_mm is None:
            raise ValueError(f"grid {self.name}: a resampled grid needs spacing_mm")
        if self.kind == "native2d" and self.spacing_mm is not None:
            raise ValueError(f"grid {self.name}: native slices have no spacing_mm of their own")
        if any(mm is not None and not mm > 0 for mm in self.spacing_mm or ()):
            raise ValueError(f"grid {self.name}: spacings are positive, not {self.spacing_mm}")
        if any(order not in _ORDERS for order in self.orders):
            raise ValueError(f"grid {self.name}: spline orders are 0, 1 or 3")
        if self.average and (self.kind != "resample" or self.low_pass):
            raise ValueError(f"grid {self.name}: average is for resampled grids without low_pass")
        if self.clip_hu is not None and not self.clip_hu[0] < self.clip_hu[1]:
            raise ValueError(f"grid {self.name}: the HU window {self.clip_hu} is empty")
        if self.fill == "zero" and self.kind == "native2d":
            raise ValueError(f"grid {self.name}: fill=zero is for resampled grids")
        if not self.div > 0:
            raise ValueError(f"grid {self.name}: div is positive, not {self.div}")

    @property
    def orders(self) -> tuple[int, int, int]:
        """Spline order along (Z, Y, X)."""
        if isinstance(self.order, int):
            return (self.order,) * 3
        return self.order

    @property
    def fill_hu(self) -> float:
        """HU beyond the scan: the window's lower end, which is air; with ``fill`` zero ``sub``."""
        return self.sub if self.fill == "zero" else self.lowest_hu

    @property
    def lowest_hu(self) -> float:
        """The window's lower end."""
        return AIR_HU if self.clip_hu is None else self.clip_hu[0]

    def stored(self) -> Mapping[str, Any]:
        """The fields that decide what is stored, for the cache's key."""
        fields = asdict(self)
        for later in ("sub", "div", "min_shape", "fill"):
            del fields[later]
        if not self.average:  # what was stored before there was such a field keeps its key
            del fields["average"]
        # The window also decides what lies beyond a padded slice and where the body begins.
        if not (self.crop_body or self.kind == "native2d"):
            del fields["clip_hu"]
        if self.weight_map is None:
            for later in ("weight_edge", "weight_max", "weight_floor", "drop_far_slices"):
                del fields[later]
        return fields


def normalize(
    hu: NDArray[Any], clip_hu: tuple[float, float] | None, sub: float, div: float
) -> NDArray[np.float32]:
    """``(clip(HU) - sub) / div`` as a new array of float32."""
    image = np.array(hu, dtype=np.float32)
    if clip_hu is not None:
        np.clip(image, *clip_hu, out=image)
    image -= np.float32(sub)
    image /= np.float32(div)
    return image


def normalized(hu: NDArray[Any], spec: GridSpec) -> NDArray[np.float32]:
    """What the network sees of a patch: ``(clip(HU) - sub) / div``.

    Parameters
    ----------
    hu : ndarray, any shape and number type
    spec : GridSpec
        Gives ``clip_hu``, ``sub`` and ``div``.

    Returns
    -------
    ndarray, float32
        A new array.

    Examples
    --------
    >>> spec = GridSpec("mm1", spacing_mm=(1, 1, 1), clip_hu=(-500, 400), sub=-500, div=900)
    >>> normalized(np.array([-1000, -50, 3000], np.int16), spec).tolist()
    [0.0, 0.5, 1.0]
    """
    return normalize(hu, spec.clip_hu, spec.sub, spec.div)


def place_grid(scan: Volume, spec: GridSpec) -> Grid:
    """Where a grid lies on a whole scan, before the body is cropped.

    Parameters
    ----------
    scan : Volume
        Canonical orientation; only shape and affine are used. For ``"native2d"``, the scan after
        its slices were put into their frame.
    spec : GridSpec

    Returns
    -------
    Grid
        Shape, affine and ratio of spacings.
    """
    if spec.kind == "native2d":
        if spec.slice_size is None:
            return Grid(scan.shape, scan.affine, (1.0, 1.0, 1.0))
        return _with_shape(scan, (scan.shape[0], spec.slice_size, spec.slice_size))
    wanted = [
        have if new is None else float(new)
        for have, new in zip(scan.spacing, spec.spacing_mm or (None,) * 3, strict=True)
    ]
    return stage_grid(scan, (wanted[0], wanted[1], wanted[2]))


def _with_shape(scan: Volume, shape: tuple[int, int, int]) -> Grid:
    """The grid of a given shape that covers exactly the scan."""
    ratio = tuple(old / new for old, new in zip(scan.shape, shape, strict=True))
    affine = scan.affine.copy()
    affine[:3, :3] *= ratio
    affine[:3, 3] += scan.affine[:3, :3] @ ((np.asarray(ratio) - 1) / 2)
    return Grid(shape, affine, (ratio[0], ratio[1], ratio[2]))
