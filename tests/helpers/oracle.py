"""DeepMind's surface-distance, and the official KiTS23 procedure on top of it, as oracles.

The upload on PyPI uses ``np.Inf``, which NumPy 2 dropped, as soon as a mask is empty; other masks
are measured as intended. The KiTS rule for empty masks needs no surfaces.
"""

from __future__ import annotations

import warnings

import numpy as np
import surface_distance
from numpy.typing import NDArray

TOLERANCES = {
    "kidney": ((1, 2, 3), 1.0330772532390826),
    "masses": ((2, 3), 1.1328796488598762),
    "tumor": ((2,), 1.1498198361434828),
}


def distances(reference: NDArray, prediction: NDArray, spacing: tuple[float, ...]) -> dict:
    """DeepMind's distances between two masks that are not empty."""
    one, two = np.ascontiguousarray(reference, bool), np.ascontiguousarray(prediction, bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return surface_distance.compute_surface_distances(one, two, spacing)


def official(reference: NDArray, prediction: NDArray, spacing: tuple[float, ...]) -> dict:
    """Dice and surface Dice of each KiTS23 region, by the published steps of the challenge."""
    scores = {}
    for name, (labels, tolerance) in TOLERANCES.items():
        one, two = np.isin(reference, labels), np.isin(prediction, labels)
        if not one.any() or not two.any():
            both = float(not one.any() and not two.any())
            scores[name] = both, both
            continue
        dice = 2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two))
        found = distances(one, two, spacing)
        surface = surface_distance.compute_surface_dice_at_tolerance(found, tolerance)
        scores[name] = dice, surface
    return scores
