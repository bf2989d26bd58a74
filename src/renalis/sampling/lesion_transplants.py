"""Put a tumor or cyst of one patient's slice into a kidney of another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.conventions import Label
from renalis.dataset.slices import SliceSet, slice_hu

__all__ = ["Donor", "donors", "transplant"]

_AREA_MM2 = (40.0, 2500.0)
"""Lesions that fit into other kidneys."""
_TUMORS = 0.65
"""Share of transplants that are tumors."""
_FOLLOWS = 0.4
"""How much of the difference in enhancement of both kidneys a tumor takes over."""
_IN_KIDNEY = 0.15
_FREE = 0.75
"""Least shares of the lesion that lie in the kidney, and in kidney or fat."""


@dataclass(frozen=True, eq=False)
class Donor:
    """A lesion of a slice.

    Attributes
    ----------
    mask : ndarray, shape (Y, X), bool
        The lesion in its bounding box, a little enlarged.
    kidney_hu : float
        Median of the slice's parenchyma.
    hu : ndarray, shape (Y, X), float32
        The slice in that box.
    spacing_mm : tuple of float
        Of its rows and columns.
    """

    mask: NDArray[np.bool_]
    kidney_hu: float
    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float]


def donors(files: Sequence[SliceSet]) -> dict[int, list[Donor]]:
    """The lesions of all slices that show parenchyma too, by label."""
    found: dict[int, list[Donor]] = {Label.TUMOR: [], Label.CYST: []}
    for slices in files:
        for number, labels in enumerate(slices.labels):
            if not (labels == Label.KIDNEY).any() or labels.max() < Label.TUMOR:
                continue
            hu = slice_hu(slices, number)
            kidney = float(np.median(hu[labels == Label.KIDNEY]))
            row, column = (float(mm) for mm in slices.spacing_mm[number, 1:])
            for kind, known in found.items():
                parts, _ = ndimage.label(labels == kind)
                for part, box in enumerate(ndimage.find_objects(parts), start=1):
                    area = np.count_nonzero(parts[box] == part) * row * column
                    if not _AREA_MM2[0] < area < _AREA_MM2[1]:
                        continue
                    y, x = (slice(max(0, side.start - 3), side.stop + 3) for side in box)
                    mask = parts[y, x] == part
                    image = hu[y, x].copy()
                    known.append(Donor(mask, kidney, image, (row, column)))
    return found


def transplant(
    hu: NDArray[np.float32],
    label: NDArray[np.uint8],
    spacing_mm: tuple[float, float],
    lesions: dict[int, list[Donor]],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Put a random lesion, turned and scaled, at a random place of a kidney.

    Parameters
    ----------
    hu, label : ndarray, shape (Y, X)
        A slice and its KiTS23 labels, with kidney; they stay as they are.
    spacing_mm : tuple of float
        Of its rows and columns.
    lesions : dict
        From `donors`.
    rng : Generator
        Source of everything random.

    Returns
    -------
    hu, label : ndarray
        Copies with the lesion, or the slice as it was where it did not fit.
    """
    kind = Label.TUMOR if rng.random() < _TUMORS else Label.CYST
    if not lesions[kind]:
        return hu, label
    donor = lesions[kind][int(rng.integers(len(lesions[kind])))]
    zoom = np.array(donor.spacing_mm) / np.array(spacing_mm) * np.exp(rng.normal(0, 0.25))
    angle = float(rng.uniform(-180, 180))
    inner = np.where(donor.mask, donor.hu, np.median(donor.hu[donor.mask])).astype(np.float32)
    mask = _turned(donor.mask.astype(np.float32), zoom, angle, 0.0) > 0.5
    image = _turned(inner, zoom, angle, float(np.median(inner)))
    if rng.random() < 0.5:
        mask, image = mask[:, ::-1], image[:, ::-1]
    places = np.argwhere(label == Label.KIDNEY)
    corner = places[int(rng.integers(len(places)))] - np.array(mask.shape) // 2
    corner = corner + rng.integers(-4, 5, 2)
    first = np.maximum(corner, 0)
    last = np.minimum(corner + mask.shape, label.shape)
    if (last <= first).any():
        return hu, label
    own = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    from_ = tuple(slice(a, b) for a, b in zip(first - corner, last - corner, strict=True))
    mask, image = mask[from_], image[from_]
    free = (label[own] > 0) | ((hu[own] < -20) & (hu[own] > -400))
    size = np.count_nonzero(mask)
    in_kidney = np.count_nonzero(mask & (label[own] == Label.KIDNEY))
    if size < 10 or np.count_nonzero(mask & free) < _FREE * size or in_kidney < _IN_KIDNEY * size:
        return hu, label
    kidney = float(np.median(hu[label == Label.KIDNEY]))
    shift = (kidney - donor.kidney_hu) * (_FOLLOWS if kind == Label.TUMOR else 0)
    alpha = ndimage.gaussian_filter(mask.astype(np.float32), 0.8)
    alpha *= ndimage.gaussian_filter(free.astype(np.float32), 0.6)
    hu, label = hu.copy(), label.copy()
    hu[own] = hu[own] * (1 - alpha) + (image + np.float32(shift + rng.normal(0, 6))) * alpha
    label[own] = np.where(mask & free, kind, label[own])
    return hu, label


def _turned(
    image: NDArray[np.float32], zoom: NDArray[np.float64], angle: float, fill: float
) -> NDArray[np.float32]:
    scaled = ndimage.zoom(image, zoom, order=1, mode="nearest", grid_mode=True)
    turned = ndimage.rotate(scaled, angle, order=1, mode="constant", cval=fill)
    return np.asarray(turned, np.float32)
