"""A case on the grids that its networks see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, bounding_box, whole
from renalis.errors import InputError
from renalis.preparation.grids import GridSpec, place_grid
from renalis.preparation.pixel_weights import weight_map
from renalis.preparation.resample import Grid, resample
from renalis.preparation.spline_resampling import regrid_image, regrid_labels
from renalis.preparation.truncated_labels import truncated_labels
from renalis.volume import Kind, Volume

__all__ = ["PreparedCase", "PreparedGrid", "near_slices", "prepare_case"]


@dataclass(frozen=True, eq=False)
class PreparedGrid:
    """A case on one grid, in canonical orientation.

    Attributes
    ----------
    spec : GridSpec
        What the grid was made by.
    image : ndarray, shape (Z, Y, X), int16
        HU, rounded; a memory map when it comes from a cache.
    label : ndarray, shape (Z, Y, X), uint8, or None
        Labels in the dataset's own convention.
    weights : ndarray, shape (Z, Y, X), float16, or None
        Pixel weights, when the grid asks for them.
    slice_labels : ndarray, shape (Z,), uint32, or None
        Which labels each slice holds: bit ``v`` is set where label ``v`` occurs.
    affine : ndarray, shape (4, 4)
        As in `renalis.volume.Volume`, of ``image[0, 0, 0]``.
    """

    spec: GridSpec
    image: NDArray[np.int16]
    label: NDArray[np.uint8] | None
    weights: NDArray[np.float16] | None
    slice_labels: NDArray[np.uint32] | None
    affine: NDArray[np.float64]

    @property
    def volume(self) -> Volume:
        """The image with its place."""
        return Volume(self.image, self.affine, Kind.IMAGE)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        z, y, x = self.image.shape
        return z, y, x

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along each axis."""
        return self.volume.spacing


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """All grids of one case."""

    grids: Mapping[str, PreparedGrid]

    def grid(self, name: str) -> PreparedGrid:
        """The grid of that name.

        Raises
        ------
        KeyError
            If there is none; the message lists those that there are.
        """
        if name not in self.grids:
            raise KeyError(f"no grid {name!r}, there are: {', '.join(sorted(self.grids))}")
        return self.grids[name]


def prepare_case(
    image: Volume, label: Volume | None, grids: Sequence[GridSpec], case_id: str = "this case"
) -> PreparedCase:
    """Put a case on its grids, in memory.

    Every grid is made from the scan itself, never from another grid.

    Parameters
    ----------
    image : Volume
        HU, any orientation.
    label : Volume, optional
        Labels 0 to 255 on the same grid, in any order of axes.
    grids : sequence of GridSpec
        With different names.
    case_id : str
        For messages.

    Returns
    -------
    PreparedCase
        int16 images, uint8 labels.

    Raises
    ------
    InputError
        If image and label do not lie on the same grid.
    ValueError
        If two grids have the same name.
    """
    if len({spec.name for spec in grids}) < len(grids):
        raise ValueError("two grids have the same name")
    image = image.reoriented()
    if label is not None:
        label = label.reoriented()
        if not image.same_grid(label, tolerance_mm=0.01):
            raise InputError(
                f"scan and labels of {case_id} do not lie on the same grid: the scan has "
                f"{image.shape} voxels of {_mm(image)} mm, the labels {label.shape} of "
                f"{_mm(label)} mm; run `renalis dataset check` on the dataset"
            )
    return PreparedCase({spec.name: _prepare(image, label, spec) for spec in grids})


def _mm(volume: Volume) -> str:
    return " x ".join(f"{size:.3g}" for size in volume.spacing)


def _prepare(image: Volume, label: Volume | None, spec: GridSpec) -> PreparedGrid:
    """One grid."""
    if spec.kind == "native2d":
        side = spec.frame or max(image.shape[1:])
        image = _framed(image, side, round(spec.fill_hu))
        label = None if label is None else _framed(label, side, 0)
    grid = place_grid(image, spec)
    if grid.shape == image.shape and grid.ratio == (1, 1, 1):
        moved, moved_label = image, label
    else:
        moved = _moved_image(image, grid, spec)
        moved_label = None if label is None else _moved_labels(label, grid, spec)
    stored = Volume(_int16(moved.array), moved.affine, Kind.IMAGE)
    if spec.crop_body:
        box = _body_box(stored.array, spec)
        stored = stored.cropped(box)
        moved_label = None if moved_label is None else moved_label.cropped(box)
    labels = None if moved_label is None else np.ascontiguousarray(moved_label.array, np.uint8)
    weights = held = None
    if labels is not None:
        held = _slice_labels(labels)
    if labels is not None and held is not None and spec.weight_map is not None:
        classes = (labels > 0).astype(np.uint8) if spec.weight_map == "foreground" else labels
        kept = near_slices(held > 1, spec.drop_far_slices)
        weights = weight_map(
            classes,
            kept,
            edge=spec.weight_edge,
            largest=spec.weight_max,
            whole=spec.weight_floor,
        )
    voxels = np.ascontiguousarray(stored.array)
    return PreparedGrid(spec, voxels, labels, weights, held, stored.affine)


def _moved_image(image: Volume, grid: Grid, spec: GridSpec) -> Volume:
    if spec.average:
        z, y, x = (mm * ratio for mm, ratio in zip(image.spacing, grid.ratio, strict=True))
        return resample(image, (z, y, x), interpolation="average")
    return regrid_image(image, grid, spec.orders, low_pass=spec.low_pass)


def _moved_labels(label: Volume, grid: Grid, spec: GridSpec) -> Volume:
    if spec.label_truncated:
        return truncated_labels(label, grid)
    return regrid_labels(label, grid)


def near_slices(labelled: NDArray[np.bool_], within: int | None) -> NDArray[np.bool_]:
    """Slices at most so many slices away from a labelled one.

    Parameters
    ----------
    labelled : ndarray, shape (Z,), bool
        Slices that hold a label.
    within : int or None
        Distance in slices, not mm; None keeps every slice.

    Returns
    -------
    ndarray, shape (Z,), bool
        All False when nothing is labelled.
    """
    if within is None:
        return np.ones(len(labelled), dtype=bool)
    kept = np.zeros(len(labelled), dtype=bool)
    for z in np.flatnonzero(labelled):
        kept[max(0, z - within) : z + within + 1] = True
    return kept


def _slice_labels(labels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """A bit for each label that a slice holds."""
    held = np.zeros(labels.shape[0], np.uint32)
    largest = int(labels.max(initial=0))
    if largest > 31:
        raise InputError(f"label {largest}: labels of anatomy lie between 0 and 31")
    for value in range(largest + 1):
        held |= (labels == value).any(axis=(1, 2)).astype(np.uint32) << np.uint32(value)
    return held


def _framed(volume: Volume, side: int, fill: int) -> Volume:
    """Slices padded or cropped to a square, around their middle."""
    starts = [(n - side) // 2 for n in volume.shape[1:]]
    if starts == [0, 0] and volume.shape[1] == volume.shape[2] == side:
        return volume
    inside = tuple(
        slice(max(0, start), min(n, start + side))
        for start, n in zip(starts, volume.shape[1:], strict=True)
    )
    array = np.full((volume.shape[0], side, side), fill, volume.array.dtype)
    rows, columns = (
        slice(part.start - start, part.stop - start)
        for part, start in zip(inside, starts, strict=True)
    )
    array[:, rows, columns] = volume.array[:, inside[0], inside[1]]
    affine = volume.affine.copy()
    affine[:3, 3] += volume.affine[:3, 1:3] @ np.asarray(starts, float)
    return Volume(array, affine, volume.kind)


def _int16(array: NDArray[Any]) -> NDArray[np.int16]:
    """HU rounded and saturated."""
    if array.dtype == np.int16:
        return array
    limits = np.iinfo(np.int16)
    result = np.empty(array.shape, np.int16)
    for source, target in zip(array, result, strict=True):  # slice by slice, which stays in cache
        whole = np.rint(source) if source.dtype.kind == "f" else source
        np.clip(whole, limits.min, limits.max, out=target, casting="unsafe")
    return result


def _body_box(hu: NDArray[np.int16], spec: GridSpec) -> Box:
    """Bounding box of the voxels above the lowest clipped value; everything if there are none."""
    lowest = float(hu.min())
    if spec.clip_hu is not None:
        lowest = min(max(lowest, spec.clip_hu[0]), spec.clip_hu[1])
    box = bounding_box(hu > lowest)
    if box is None:
        return whole((hu.shape[0], hu.shape[1], hu.shape[2]))
    dropped = 1 if spec.crop_end_dropped else 0
    z, y, x = (slice(part.start, max(part.stop - dropped, part.start + 1)) for part in box)
    return z, y, x
