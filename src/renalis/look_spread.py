"""How much several looks at a scan differ: mirrored predictions, folds, members of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from renalis.volume import Volume

__all__ = ["FULL_SPREAD", "Among", "LookSpread", "agreement_of", "spread_map"]

FULL_SPREAD = 0.5
"""Standard deviation that is stored as 255: no probability can spread more."""


Among = Literal["mirrored looks", "folds", "members"]
"""What differs: one model's looks at mirrored copies, the folds of one run, or the members of an
ensemble."""


@dataclass(frozen=True, eq=False)
class LookSpread:
    """Standard deviation of probabilities over several looks at the same scan, all of one weight.

    Attributes
    ----------
    kidney, lesion : Volume or None
        uint8, 255 for 0.5: of the probability of anything renal, and of tumor or cyst, on grids of
        their own.
    looks : int
        How many there were, 2 or more.
    among : {"mirrored looks", "folds", "members"}
        What they were.
    """

    kidney: Volume | None
    lesion: Volume | None
    looks: int
    among: Among = "mirrored looks"


def spread_map(variance: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Variances of a probability as they are kept: uint8, 255 for a standard deviation of 0.5."""
    spread = np.sqrt(np.maximum(variance, 0)) * np.float32(255 / FULL_SPREAD)
    return np.asarray(np.rint(spread).clip(0, 255), np.uint8)


def agreement_of(
    mean: NDArray[np.floating[Any]], spread: NDArray[np.floating[Any]], looks: int
) -> float | None:
    """How much of what one look sees another one sees as well, on average over pairs of looks.

    The Dice of two looks whose probabilities count as parts of voxels. Of mean and variance alone:
    the mean product of two different looks is ``mean² - variance / (looks - 1)``, that of a look
    with itself ``mean² + variance``.

    Parameters
    ----------
    mean, spread : ndarray
        Mean and standard deviation over the looks, 0 to 1, of the voxels that count.
    looks : int
        2 or more.

    Returns
    -------
    float or None
        0 to 1; None where no look sees anything.

    >>> round(agreement_of(np.array([1.0, 0.5]), np.array([0.0, 0.5]), 2), 3)
    0.667
    """
    squares = float(np.square(mean, dtype=np.float64).sum())
    variance = float(np.square(spread, dtype=np.float64).sum())
    if squares + variance <= 0:
        return None
    return max(0.0, (squares - variance / (looks - 1)) / (squares + variance))
