"""The contrast phase, as far as the kidneys tell it.

Without contrast medium kidneys have 20 to 45 HU. After an injection the cortex brightens first
(corticomedullary phase, from 25 s), then cortex and medulla are alike (nephrographic, from 80 s),
then urine is opaque (excretory, from 3 minutes): Sheth et al., RadioGraphics 2001;21:S237. Between
them, and where a kidney shows too little of itself, the phase cannot be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.boxes import bounding_box, in_whole
from renalis.conventions import Label
from renalis.volume import Volume

__all__ = ["UNENHANCED_HU", "ContrastPhase", "PhaseName", "contrast_phase"]

PhaseName = Literal["unenhanced", "corticomedullary", "nephrographic", "excretory"]

UNENHANCED_HU = 60.0
"""Parenchyma without contrast medium has 20 to 45 HU, from the arterial phase on 100 and more."""
OPAQUE_HU = 250.0
"""And 100 HU above parenchyma: urine with contrast medium, brighter than vessels in the sinus."""
OPAQUE_SHARE, NO_SHARE = 0.01, 0.003
"""Opaque urine over parenchyma: from the first on it is seen, below the second it is not."""
DIFFERENT, ALIKE = 0.10, 0.05
"""By how much of the parenchyma's HU the cortex lies above the medulla: in the corticomedullary
phase more than the first, in later ones less than the second."""
WEAKLY = 0.2
"""As little as that is noise where parenchyma is dark; more is a weak enhancement."""

_SLICES = 8
_PIXEL_MM = 1.4
_FEWEST = 60
"""Pixels of a tissue, to say something about it."""
_SINUS_MM = 8.0
"""Openings of the outline narrower than twice that belong to the kidney: the renal sinus."""
_CORTEX_MM, _MEDULLA_MM, _DEEP_MM = (2.5, 5.5), (8.0, 18.0), 6.0
_EDGE_MM = 2.5
"""Nearer to fat than this, a pixel holds some of it."""
_LESION_MM = 3.0


@dataclass(frozen=True)
class ContrastPhase:
    """What the kidneys tell.

    Attributes
    ----------
    name : str or None
        The phase; None where it cannot be told.
    parenchyma_hu : float
        Median.
    cortex_excess : float or None
        Cortex above medulla, over ``parenchyma_hu``; None where too little of them shows.
    opaque_share : float
        Area of opaque urine over that of parenchyma.
    """

    name: PhaseName | None
    parenchyma_hu: float
    cortex_excess: float | None
    opaque_share: float


def contrast_phase(image: Volume, labels: Volume) -> ContrastPhase | None:
    """Tell the contrast phase from some axial slices through the kidneys.

    Parameters
    ----------
    image, labels : Volume
        HU and KiTS23 labels on one grid in canonical orientation (slices first).

    Returns
    -------
    ContrastPhase or None
        None where hardly any parenchyma shows.
    """
    labeled = bounding_box(labels.array)
    kidney = labeled and bounding_box(labels.array[labeled] == Label.KIDNEY)
    if labeled is None or kidney is None:
        return None
    box = in_whole(kidney, labeled)
    count = box[0].stop - box[0].start
    picked = np.linspace(box[0].start, box[0].stop - 1, min(_SLICES, count)).round().astype(int)
    steps = [max(1, round(_PIXEL_MM / mm)) for mm in image.spacing[1:]]
    pixel = (image.spacing[1] * steps[0], image.spacing[2] * steps[1])
    rows, columns = (
        slice(max(0, side.start - int(2 * _SINUS_MM / mm)), side.stop + int(2 * _SINUS_MM / mm))
        for side, mm in zip(box[1:], image.spacing[1:], strict=True)
    )
    parts = [
        _tissues(image.array[z, rows, columns][:: steps[0], :: steps[1]],
                 labels.array[z, rows, columns][:: steps[0], :: steps[1]], pixel)
        for z in picked
    ]  # fmt: skip
    parenchyma, cortex, medulla, deep = (
        np.concatenate([part[k] for part in parts]) for k in range(4)
    )
    if parenchyma.size < _FEWEST:
        return None
    middle = float(np.median(parenchyma))
    excess = None
    if min(cortex.size, medulla.size) >= _FEWEST:
        excess = float(np.median(cortex) - np.median(medulla)) / max(middle, 1.0)
    opaque = np.count_nonzero(deep > max(OPAQUE_HU, middle + 100)) / parenchyma.size
    return ContrastPhase(_named(middle, excess, opaque), middle, excess, opaque)


def _named(middle: float, excess: float | None, opaque: float) -> PhaseName | None:
    """The phase that values leave no doubt of."""
    if middle < UNENHANCED_HU:
        return "unenhanced" if excess is None or excess < WEAKLY else None
    if excess is not None and excess >= DIFFERENT:
        return "corticomedullary"  # whatever is bright in the sinus: arteries
    if opaque >= OPAQUE_SHARE:
        return "excretory"
    if excess is None:
        return None
    return "nephrographic" if excess <= ALIKE and opaque <= NO_SHARE else None


def _tissues(
    hu: NDArray[Any], labels: NDArray[Any], pixel: tuple[float, float]
) -> tuple[NDArray[np.float32], ...]:
    """HU of parenchyma, cortex, medulla, and of all that is deep in a kidney, in one slice."""
    renal, kidney = labels > 0, labels == Label.KIDNEY
    far = _away(~renal, pixel) > _SINUS_MM
    filled = renal | (_away(~far, pixel) > _SINUS_MM)
    depth = _away(filled, pixel)
    whole = kidney & (_away(kidney, pixel) >= _EDGE_MM)
    sound = _away(labels <= Label.KIDNEY, pixel) > _LESION_MM
    values = hu.astype(np.float32)
    chosen = (
        whole & sound,
        whole & sound & (depth >= _CORTEX_MM[0]) & (depth <= _CORTEX_MM[1]),
        whole & sound & (depth >= _MEDULLA_MM[0]) & (depth <= _MEDULLA_MM[1]),
        filled & sound & (depth >= _DEEP_MM),
    )
    return tuple(values[where] for where in chosen)


def _away(mask: NDArray[np.bool_], pixel: tuple[float, float]) -> NDArray[np.float64]:
    """Distance in mm from each pixel of a mask to the nearest one outside of it."""
    if mask.all():
        return np.full(mask.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=pixel))
