"""One-to-one matching of lesions: no lesion of either map is matched twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["one_to_one"]


def one_to_one(shared: NDArray[np.int64], share: float) -> tuple[list[int], list[int]]:
    """Match as many lesions as can be.

    Two lesions may be a pair when what they share is at least ``share`` of each. Of all ways to
    pair as many as possible the one with the largest sum of Dice coefficients is taken.

    Parameters
    ----------
    shared : ndarray of int64, shape (R + 1, P + 1)
        Voxels that reference lesion ``r`` and predicted lesion ``p`` share; the last column and
        row hold each lesion's own size (their corner is not used).
    share : float
        Least share, above 0 and up to 1.

    Returns
    -------
    reference, prediction : list of int
        Lesions of both, pair by pair.

    Examples
    --------
    >>> one_to_one(np.array([[30, 30], [20, 20], [60, 0]]), 0.1)  # one prediction over two lesions
    ([0], [0])
    """
    common, sizes, others = shared[:-1, :-1], shared[:-1, -1:], shared[-1:, :-1]
    allowed = (common > 0) & (common >= share * sizes) & (common >= share * others)
    if not allowed.any():
        return [], []
    dice = 2 * common / (sizes + others)
    # A pair more counts more than any sum of Dice coefficients.
    worth = np.where(allowed, 1 + dice / (1 + min(common.shape)), 0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    pairs = [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if allowed[r, c]]
    return [r for r, _ in pairs], [c for _, c in pairs]
