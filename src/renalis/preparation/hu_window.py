"""HU window: from HU to the networks' input range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["window"]


def window(image: NDArray[np.float32], low_hu: float, high_hu: float) -> NDArray[np.float32]:
    """Clip to a HU window and scale it to -1 to 1, in place.

    ``x = (clip(HU, low, high) - (low + high) / 2) / ((high - low) / 2)``

    Parameters
    ----------
    image : ndarray, float32
        HU; overwritten, because a whole scan is not copied without need.
    low_hu, high_hu : float
        The window's ends.

    Returns
    -------
    ndarray, float32
        The same array.

    Raises
    ------
    ValueError
        If the window is empty.

    Examples
    --------
    >>> window(np.array([-1000.0, 50.0, 2000.0], np.float32), -200, 300).tolist()
    [-1.0, 0.0, 1.0]
    """
    if not low_hu < high_hu:
        raise ValueError(f"a HU window from {low_hu} to {high_hu} is empty")
    np.clip(image, low_hu, high_hu, out=image)
    image -= np.float32((low_hu + high_hu) / 2)
    image *= np.float32(2 / (high_hu - low_hu))
    return image
