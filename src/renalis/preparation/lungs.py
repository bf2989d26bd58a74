"""How much of the lungs a scan shows, and at which heights.

Kidneys lie below the lungs. A few millilitres of the recesses behind the diaphragm reach below an
upper pole; whatever has most of a lung below it lies next to the chest's upper half.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalis.preparation.body import STEP_MM, Body
from renalis.preparation.fast_morphology import eroded
from renalis.volume import CANONICAL, Volume

__all__ = ["Lungs", "find_lungs"]

AIR_HU = -500
"""Lung lies below (inflated -850, at rest -700 HU), tissue and fat above."""
GAS_HU = -940
"""Median of a region: gas in bowel lies below, lung with its vessels above, emphysema too."""
LEAST_ML = 100.0
"""Smaller regions of air are no lung that matters."""
WIDEST_HU = 220.0
"""Middle half of a region's values: that of mottled stool is wider than that of lung."""


@dataclass(frozen=True, eq=False)
class Lungs:
    """The lungs' volume at each height.

    Attributes
    ----------
    z_mm : ndarray, shape (N,)
        Heights in patient coordinates, rising.
    ml : ndarray, shape (N,)
        Lung in the level at that height.
    """

    z_mm: NDArray[np.float64]
    ml: NDArray[np.float64]

    @property
    def total_ml(self) -> float:
        """All that the scan shows."""
        return float(self.ml.sum())

    def below_ml(self, z_mm: float) -> float:
        """Volume at lower heights than a point's."""
        return float(self.ml[self.z_mm < z_mm].sum())


def find_lungs(image: Volume, body: Body) -> Lungs:
    """Find the lungs: large regions of air in the body that are no bowel gas.

    Parameters
    ----------
    image : Volume
        The scan, HU, any orientation.
    body : Body
        From `renalis.preparation.body.find_body`.

    Returns
    -------
    Lungs
        Empty where the scan shows none, or no body was found.
    """
    nothing = Lungs(np.zeros(0), np.zeros(0))
    if body.mask is None:
        return nothing
    canonical = image.reoriented(CANONICAL)
    z, y, x = body.steps
    sample = np.ascontiguousarray(canonical.array[::z, ::y, ::x])
    # The borders of gas and of fat have every value between, so only what is inside is asked.
    air = eroded((sample < AIR_HU) & (body.mask.array > 0), beyond=True)
    regions = cc3d.connected_components(air, connectivity=6)
    found = cc3d.statistics(regions)
    lung = np.zeros(len(found["voxel_counts"]), bool)
    for number, count in enumerate(found["voxel_counts"]):
        if number == 0 or count * body.mask.voxel_ml < LEAST_ML:
            continue
        box = found["bounding_boxes"][number]
        low, middle, high = np.percentile(sample[box][regions[box] == number], (25, 50, 75))
        lung[number] = middle > GAS_HU and high - low < WIDEST_HU
    if not lung.any():
        return nothing
    places = np.argwhere(lung[regions])
    level = np.rint(body.mask.world(places)[:, 2] / STEP_MM).astype(np.intp)
    first = int(level.min())
    counts = np.bincount(level - first)
    heights = np.asarray((first + np.arange(len(counts))) * STEP_MM, dtype=np.float64)
    return Lungs(heights, np.asarray(counts * body.mask.voxel_ml, dtype=np.float64))
