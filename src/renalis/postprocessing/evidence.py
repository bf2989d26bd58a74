"""What can be seen in and around a component of renal labels: is it a kidney at all?

Everything here can be checked by eye on the scan: HU, shares, millilitres of lung, and how sure the
network was. `renalis.postprocessing.kidney_check` says what follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, grown, relative_to
from renalis.conventions import Label
from renalis.postprocessing.components import row_ends
from renalis.postprocessing.hull import hull_mask
from renalis.preparation.alignment import EXACTLY, parallel_axes
from renalis.preparation.fast_morphology import within
from renalis.preparation.lungs import Lungs
from renalis.volume import Volume

__all__ = ["Evidence", "gather"]

MINERAL_HU = 300
"""Cortical bone, stones and excreted contrast medium lie above; the mean of parenchyma never."""
FAT_HU = (-200, -20)
SHELL_MM = 3.5
"""Thickness of the outer layer of a component: bone has its cortex there."""
RIM_MM = 4.0
"""How far around a component its surroundings are asked for."""
LEAST_PARENCHYMA = 0.1
"""Share of a component that must be parenchyma for its HU to stand for it."""
STEP_MM = 1.5
"""Surroundings are asked on a sampling of about this step."""


@dataclass(frozen=True)
class Evidence:
    """What is seen in and around a component.

    Attributes
    ----------
    volume_ml : float
        With its lesions.
    median_hu, sd_hu : float or None
        Of its parenchyma, so that a cyst does not stand for the kidney that it grows from; of the
        whole component where less than a tenth of it is parenchyma; None when nothing finite is.
    mineral_fraction : float
        Share of the component above 300 HU.
    mineral_rim_fraction, fat_rim_fraction : float or None
        Shares above 300 HU, and of fat (-200 to -20 HU), of what lies within 4 mm around it, is no
        renal label itself and not in its convex hull, where a kidney has its sinus, with stones,
        stents and excreted contrast medium; None when nothing does.
    lungs_below_ml, lungs_below_fraction : float
        Lung at lower heights than its lowest point, and as a share of all lung in the scan.
    mean_probability : float or None
        The network's, not calibrated; None without probabilities.
    mineral_shell_fraction, mineral_core_fraction : float or None
        Shares above 300 HU of its outermost 3.5 mm, and of what lies deeper; None without any.
    """

    volume_ml: float
    median_hu: float | None
    sd_hu: float | None
    mineral_fraction: float
    mineral_rim_fraction: float | None
    fat_rim_fraction: float | None
    lungs_below_ml: float
    lungs_below_fraction: float
    mean_probability: float | None
    mineral_shell_fraction: float | None = None
    mineral_core_fraction: float | None = None


def gather(
    image: Volume,
    labels: Volume,
    inside: NDArray[np.bool_],
    box: Box,
    lungs: Lungs,
    probability: Volume | None = None,
) -> Evidence:
    """Gather the evidence on one component.

    Parameters
    ----------
    image, labels : Volume
        HU, and KiTS23 labels, in canonical orientation on the scan's grid.
    inside : ndarray of bool
        The component in its bounding box, at least one voxel.
    box : tuple of slice
        Its box, in the indices of ``image``.
    lungs : Lungs
        From `renalis.preparation.lungs.find_lungs`.
    probability : Volume or None
        uint8 0 to 255: of anything renal, on any grid.
    """
    reach = grown(box, image.shape, tuple(int(np.ceil(RIM_MM / s)) + 1 for s in image.spacing))
    own = np.zeros([part.stop - part.start for part in reach], dtype=bool)
    own[relative_to(box, reach)] = inside
    values = image.array[box][inside].astype(np.float64)
    own_tissue = labels.array[box][inside] == Label.KIDNEY
    tissue = values[own_tissue] if own_tissue.mean() >= LEAST_PARENCHYMA else values
    finite = tissue[np.isfinite(tissue)]
    lowest = image.world(row_ends(inside) + [part.start for part in box])[:, 2].min()
    rim = _around(image.cropped(reach), labels.array[reach], own)
    # The scan's border is no surface.
    deep = ~within(~own, SHELL_MM, image.spacing)[relative_to(box, reach)][inside]
    below = lungs.below_ml(float(lowest))
    return Evidence(
        volume_ml=float(values.size * image.voxel_ml),
        median_hu=float(np.median(finite)) if finite.size else None,
        sd_hu=float(finite.std()) if finite.size else None,
        mineral_fraction=float((values > MINERAL_HU).mean()),
        mineral_rim_fraction=_share(rim > MINERAL_HU),
        fat_rim_fraction=_share((rim > FAT_HU[0]) & (rim < FAT_HU[1])),
        lungs_below_ml=below,
        lungs_below_fraction=below / lungs.total_ml if lungs.total_ml else 0.0,
        mean_probability=_mean_probability(probability, image, inside, box),
        mineral_shell_fraction=_share(values[~deep] > MINERAL_HU),
        mineral_core_fraction=_share(values[deep] > MINERAL_HU),
    )


def _around(image: Volume, labels: NDArray[Any], own: NDArray[np.bool_]) -> NDArray[Any]:
    """HU of what lies around a component, outside of its hull, and is not renal."""
    steps = [max(1, int(STEP_MM / size)) for size in image.spacing]
    thin = tuple(slice(None, None, step) for step in steps)
    if not own[thin].any():
        steps, thin = [1, 1, 1], (slice(None),) * 3
    sizes = tuple(size * step for size, step in zip(image.spacing, steps, strict=True))
    component = np.ascontiguousarray(own[thin])
    # With slices thicker than the rim, what is adjacent to it in its own slices.
    around = within(component, max(RIM_MM, min(sizes)), sizes)
    around &= ~hull_mask(component) & (labels[thin] == 0)
    return np.asarray(image.array[thin][around])


def _share(chosen: NDArray[np.bool_]) -> float | None:
    return float(chosen.mean()) if chosen.size else None


def _mean_probability(
    probability: Volume | None, image: Volume, inside: NDArray[np.bool_], box: Box
) -> float | None:
    """Mean of the probabilities nearest to a component's voxels; None when most lie outside."""
    if probability is None:
        return None
    maps = parallel_axes(probability.affine, image, EXACTLY)
    if maps is None:
        places = image.world(np.argwhere(inside) + [part.start for part in box])
        index = np.rint(probability.index(places)).astype(np.intp)
        known = ((index >= 0) & (index < probability.shape)).all(axis=1)
        values = probability.array[tuple(index[known].T)]
    else:
        axes = [one.axis for one in maps]
        picks, there = [], []
        for along, axis, side in zip(np.eye(3), axes, box, strict=True):
            places = image.world(np.arange(side.start, side.stop)[:, None] * along)
            index = np.rint(probability.index(places)[:, axis]).astype(np.intp)
            there.append((index >= 0) & (index < probability.shape[axis]))
            picks.append(index[there[-1]])
        near = probability.array.transpose(axes)[np.ix_(*picks)]
        values = near[inside[np.ix_(*there)]]
    if len(values) < 0.5 * np.count_nonzero(inside):
        return None
    return float(values.mean() / 255)
