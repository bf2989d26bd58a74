"""What the scan and the network's probabilities say inside a structure."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from renalis.look_spread import FULL_SPREAD, agreement_of
from renalis.measurement.anatomy import SIDES_MM, distance_mm
from renalis.measurement.frame import sampled
from renalis.measurement.results import Confidence, Intensity
from renalis.preparation.fast_morphology import within
from renalis.volume import Volume

__all__ = ["Probabilities", "confidence_of", "intensity_of"]

ZONE_MM = 6.0
"""Probability further away than this is not the structure's."""


class Probabilities(Protocol):
    """What `measure` needs of a prediction: uint8 0 to 255 on grids of their own, or None."""

    @property
    def kidney(self) -> Volume | None:
        """Probability of anything renal."""

    @property
    def lesion(self) -> Volume | None:
        """Probability of tumor or cyst."""


def intensity_of(values: NDArray[Any]) -> Intensity | None:
    """Mean, population SD and median of HU values; None when none is finite."""
    exact = np.asarray(values, dtype=np.float64)
    exact = exact[np.isfinite(exact)]
    if not exact.size:
        return None
    return Intensity(float(exact.mean()), float(exact.std()), float(np.median(exact)))


def confidence_of(
    probability: Volume | None,
    frame: Volume,
    own: NDArray[np.bool_],
    others: NDArray[np.bool_],
    volume_ml: float,
    spread: tuple[Volume, int] | None = None,
) -> Confidence | None:
    """Mean probability and volume interval of one structure.

    Parameters
    ----------
    probability : Volume or None
        uint8 0 to 255, any grid.
    frame : Volume
        Isotropic grid around the structure.
    own, others : ndarray of bool
        The structure, and its neighbors of the same kind, on the frame.
    volume_ml : float
        The structure's measured volume.
    spread : tuple of Volume and int, optional
        Standard deviation over several looks (`renalis.look_spread`), and how many there were.

    Returns
    -------
    Confidence or None
        None without probabilities, or when the structure lies outside of them.
    """
    if probability is None or not own.any():
        return None
    corners = probability.index(frame.world(np.argwhere(own)))
    inside = ((corners >= -0.5) & (corners <= np.array(probability.shape) - 0.5)).all(axis=1)
    if inside.mean() < 0.5:
        return None
    values = sampled(probability, frame) / 255.0
    zone = within(own, ZONE_MM, SIDES_MM)
    if others.any():
        zone &= distance_mm(own) < distance_mm(others)
    zone |= own
    low = np.count_nonzero(values[zone] > 0.75) * frame.voxel_ml
    high = np.count_nonzero(values[zone] > 0.25) * frame.voxel_ml
    mean = float(values[own].mean())
    agreement = None
    if spread is not None:
        differing, looks = spread
        off = sampled(differing, frame)[zone] * (FULL_SPREAD / 255)
        agreement = agreement_of(values[zone], off, looks)
    return Confidence(mean, min(low, volume_ml), max(high, volume_ml), agreement)
