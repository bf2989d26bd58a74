"""What can be measured in one axial slice with a label map: CT numbers, texture, edges.

One function for real and for synthetic slices. Fat is clipped at -79 HU in the real ones, so its
mean and texture cannot be measured; only how much of a kidney's surroundings is fat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_INSIDE_MM = 2.0
"""Pixels nearer to a border than this are mixed with what lies beyond it."""
_SLOW_MM = 4.0
"""Standard deviation of the smoothing that separates slow change from texture."""
_FAT_HU = -100.0
"""Taken for fat where the edge of a kidney is measured: the true value is clipped."""
_DARK_HU = -60.0
_LEAST_MM2 = {"parenchyma": 300.0, "tumor": 200.0, "cyst": 60.0}
_LAGS_MM = np.arange(0, 6.01, 0.5)


@dataclass(frozen=True, eq=False)
class Slice:
    """One axial slice; rows run to the back, columns to the left.

    ``hu`` (Y, X) float32, clipped; ``labels`` (Y, X) uint8, KiTS23; ``spacing`` of rows and columns
    in mm; ``fine``: whether its grain is the scanner's, not smoothed by a resampling.
    """

    hu: Array
    labels: NDArray[np.uint8]
    spacing: tuple[float, float]
    fine: bool = True


def measures(one: Slice, organs: Mapping[str, Mask]) -> dict[str, float]:
    """Everything that can be measured in a slice; what is not there is left out.

    ``organs``: masks (Y, X) of what `slice_organs.organs` found.
    """
    found: dict[str, float] = {}
    found |= _parenchyma(one)
    found |= _tumor(one)
    found |= _cyst(one)
    if "parenchyma_hu" in found:
        for lesion in ("tumor", "cyst"):
            if f"{lesion}_hu" in found:
                found[f"{lesion}_minus_parenchyma"] = found[f"{lesion}_hu"] - found["parenchyma_hu"]
    for name, mask in organs.items():
        found[f"{name}_hu"] = float(np.median(one.hu[mask]))
        if name in ("liver", "muscle", "spleen"):
            found |= _texture(one, mask, name)
    if not one.fine:
        found = {key: value for key, value in found.items() if not _is_fine(key)}
    return found


def _is_fine(key: str) -> bool:
    return key.endswith(("_texture", "_grain_mm", "_edge_mm"))


def depth_in(mask: Mask, spacing: tuple[float, float]) -> Array:
    """Distance in mm of the pixels of a mask (Y, X) to the outside."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing), np.float32)


def smoothed(hu: Array, mask: Mask, spacing: tuple[float, float], sigma_mm: float) -> Array:
    """Gaussian mean over the pixels of a mask alone; (Y, X)."""
    sigma = [sigma_mm / mm for mm in spacing]
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(mask, hu, 0).astype(np.float32), sigma)
    return np.asarray(total / np.maximum(weight, 1e-6), np.float32)


def _spread(values: Array) -> float:
    """Standard deviation, from the median distance to the median."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _texture(one: Slice, mask: Mask, name: str) -> dict[str, float]:
    """Spread of slow change and of what is left without it, and how far the latter reaches."""
    box = ndimage.find_objects(mask.view(np.uint8))[0]
    hu, mask = one.hu[box], mask[box]
    slow = smoothed(hu, mask, one.spacing, _SLOW_MM)
    rest = np.where(mask, hu - slow, 0)
    return {
        f"{name}_slow": float(slow[mask].std()),
        f"{name}_texture": _spread(rest[mask]),
        **_grain(rest, mask, one.spacing, name),
    }


def _grain(rest: Array, mask: Mask, spacing: tuple[float, float], name: str) -> dict[str, float]:
    """Distance in mm over which the texture's autocorrelation falls to a half."""
    curve = np.zeros(len(_LAGS_MM))
    for axis, mm in enumerate(spacing):
        steps = np.arange(0, int(_LAGS_MM[-1] / mm) + 2)
        values = [_correlation(rest, mask, axis, int(step)) for step in steps]
        if not np.isfinite(values).all():
            return {}
        curve += 0.5 * np.interp(_LAGS_MM, steps * mm, values)
    below = np.flatnonzero(curve < 0.5)
    if len(below) == 0:
        return {}
    last = int(below[0])
    share = (curve[last - 1] - 0.5) / (curve[last - 1] - curve[last])
    return {f"{name}_grain_mm": float(_LAGS_MM[last - 1] + share * 0.5)}


def _correlation(rest: Array, mask: Mask, axis: int, step: int) -> float:
    """Correlation of the pixels of a mask with those ``step`` further along an axis."""
    size = mask.shape[axis]
    if step >= size:
        return float("nan")
    one = [slice(None), slice(None)]
    other = [slice(None), slice(None)]
    one[axis], other[axis] = slice(0, size - step), slice(step, None)
    both = mask[tuple(one)] & mask[tuple(other)]
    if np.count_nonzero(both) < 60:
        return float("nan")
    a, b = rest[tuple(one)][both], rest[tuple(other)][both]
    return float((a * b).mean() / max(np.sqrt((a * a).mean() * (b * b).mean()), 1e-6))


def _enough(mask: Mask, one: Slice, name: str) -> bool:
    return float(np.count_nonzero(mask) * np.prod(one.spacing)) >= _LEAST_MM2[name]


def _parenchyma(one: Slice) -> dict[str, float]:
    kidney = one.labels == 1
    if not _enough(kidney, one, "parenchyma"):
        return {}
    own = depth_in(kidney, one.spacing)
    inner = own > _INSIDE_MM
    if not _enough(inner, one, "cyst"):
        return {}
    found = {"parenchyma_hu": float(np.median(one.hu[inner]))}
    found |= _texture(one, inner, "parenchyma")
    body = ndimage.binary_fill_holes(_closed(one.labels > 0, one.spacing, 8.0))
    depth = depth_in(body, one.spacing)
    cortex = kidney & (depth > 2.5) & (depth < 6)
    medulla = inner & (depth > 10)
    if _enough(cortex, one, "cyst") and _enough(medulla, one, "cyst"):
        found["cortex_minus_medulla"] = float(
            np.median(one.hu[cortex]) - np.median(one.hu[medulla])
        )
    sinus = (depth > _INSIDE_MM) & (depth_in(one.labels == 0, one.spacing) > 1.5)
    if _enough(sinus, one, "cyst"):
        values = one.hu[sinus]
        found["sinus_fat_share"] = float((values < _DARK_HU / 2).mean())
        found["sinus_fluid_share"] = float(((values > -15) & (values < 30)).mean())
        found["sinus_bright_share"] = float((values > 80).mean())
    away = depth_in(one.labels == 0, one.spacing)
    ring = (away > 3) & (away < 8) & ~body
    found["fat_around_share"] = float((one.hu[ring] < _DARK_HU).mean())
    return found | kidney_edge(one)


def _closed(mask: Mask, spacing: tuple[float, float], radius: float) -> Mask:
    """Morphological closing with a disk of a radius in mm."""
    pad = int(radius / min(spacing)) + 2
    wide = ndimage.distance_transform_edt(~np.pad(mask, pad), sampling=spacing) < radius
    deep = ndimage.distance_transform_edt(wide, sampling=spacing) >= radius
    return np.asarray(deep[pad:-pad, pad:-pad] | mask)


def _tumor(one: Slice) -> dict[str, float]:
    parts, _ = ndimage.label(one.labels == 2)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    if len(sizes) == 1:
        return {}
    mask = parts == sizes.argmax()
    depth = depth_in(mask, one.spacing)
    inner = depth > _INSIDE_MM
    if not _enough(mask, one, "tumor") or not _enough(inner, one, "cyst"):
        return {}
    even = smoothed(one.hu, inner, one.spacing, 2.0)[inner]
    dark, bright = np.percentile(even, [5, 95])
    found = {
        "tumor_hu": float(np.median(one.hu[inner])),
        "tumor_dark": float(dark),
        "tumor_bright": float(bright),
        **_texture(one, inner, "tumor"),
    }
    most = float(depth.max())
    if most >= 8:
        rim = (depth > 1.5) & (depth < 4)
        core = depth > 0.6 * most
        found["tumor_rim"] = float(np.median(one.hu[rim]))
        found["tumor_core"] = float(np.median(one.hu[core]))
        found["tumor_rim_minus_core"] = found["tumor_rim"] - found["tumor_core"]
    return found


def _cyst(one: Slice) -> dict[str, float]:
    mask = one.labels == 3
    if not _enough(mask, one, "cyst"):
        return {}
    inner = depth_in(mask, one.spacing) > 1.5
    if np.count_nonzero(inner) < 12:
        return {}
    found = {"cyst_hu": float(np.median(one.hu[inner]))}
    if _enough(inner, one, "cyst"):
        found["cyst_texture"] = _texture(one, inner, "cyst")["cyst_texture"]
    return found


def kidney_edge(one: Slice) -> dict[str, float]:
    """How wide the edge from kidney to fat is, and how far outside the label's border it lies.

    Profiles run along the outward normal of the border; those count that end in 3 mm of fat.
    Width: distance in mm between 80 % and 20 % of the kidney's height above fat. Every profile
    finds its own crossings, so that an inaccurate outline does not widen it. Place: where half of
    the height is crossed. Medians of at least 20 profiles, else nothing.
    """
    kidney = one.labels > 0
    outside = depth_in(~kidney, one.spacing)
    signed = outside - depth_in(kidney, one.spacing)
    signed = ndimage.gaussian_filter(signed, [1.5 / mm for mm in one.spacing])
    slope = np.gradient(signed, *one.spacing)
    rows, columns = np.nonzero((outside > 0) & (outside <= max(one.spacing)))
    if len(rows) < 20:
        return {}
    normal = np.stack([part[rows, columns] for part in slope])
    normal /= np.maximum(np.hypot(*normal), 1e-6)
    along = np.arange(-7, 7.01, 0.25)
    places = [
        start[:, None] + direction[:, None] * along / mm
        for start, direction, mm in zip((rows, columns), normal, one.spacing, strict=True)
    ]
    lines = ndimage.map_coordinates(one.hu, places, order=1, mode="nearest")
    inside = lines[:, :13].mean(1)
    usable = (lines[:, -13:] < _DARK_HU).all(1) & (inside > 40) & (lines[:, :13] > 0).all(1)
    if np.count_nonzero(usable) < 20:
        return {}
    lines, height = lines[usable], inside[usable] - _FAT_HU
    crossings = []
    for share in (0.2, 0.5, 0.8):
        level = _FAT_HU + share * height
        # The outermost crossing: inside, the cortex may be uneven.
        above = lines > level[:, None]
        last = lines.shape[1] - 1 - above[:, ::-1].argmax(1)
        last = np.minimum(last, lines.shape[1] - 2)
        line = np.arange(len(lines))
        high, low = lines[line, last], lines[line, last + 1]
        crossings.append(along[last] + 0.25 * (high - level) / np.maximum(high - low, 1e-3))
    outer, middle, inner = crossings
    # The first pixels outside are half a pixel beyond the border.
    place = np.median(middle + outside[rows, columns][usable] - 0.5 * min(one.spacing))
    width = np.median(outer - inner)
    return {"kidney_edge_mm": float(width), "outline_to_edge_mm": float(place)}
