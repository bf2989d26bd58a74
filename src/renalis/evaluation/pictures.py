"""The slice of a case in which most voxels differ, as a small PNG."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renalis.evaluation.label_pair import Pair

__all__ = ["COLORS", "difference_picture"]

COLORS = {
    "background": (255, 255, 255),
    "both": (205, 205, 205),
    "reference only": (66, 133, 204),
    "prediction only": (230, 126, 34),
    "lesion in both": (110, 110, 110),
    "lesion in reference only": (22, 62, 130),
    "lesion in prediction only": (168, 50, 20),
}
"""Meaning and color (RGB) of each area of a picture, safe for color-blind readers."""

_MARGIN = 4
_WIDTH = 260


def difference_picture(pair: Pair, index: int) -> str:
    """Draw one axial slice: front up, patient's right on the viewer's left.

    Parameters
    ----------
    pair : Pair
        Label maps on one grid.
    index : int
        Slice along the axial axis.

    Returns
    -------
    str
        PNG, base64. Empty if the slice holds no label.
    """
    box = [slice(0, n) for n in pair.grid.shape]
    box[pair.axial] = slice(index, index + 1)
    placed = pair.grid.cropped((box[0], box[1], box[2]))
    reference, prediction = pair.labels((box[0], box[1], box[2]))
    upright = [
        placed.like(labels, pair.grid.kind).reoriented() for labels in (reference, prediction)
    ]
    flat_reference, flat_prediction = (volume.array[0] for volume in upright)
    _, row_mm, column_mm = upright[0].spacing
    used = (flat_reference > 0) | (flat_prediction > 0)
    if not used.any():
        return ""
    crop = tuple(_range(used.any(axis=axis)) for axis in (1, 0))
    image = Image.fromarray(_colored(flat_reference[crop], flat_prediction[crop]))
    height, width = image.height * row_mm, image.width * column_mm
    scale = _WIDTH / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = image.resize(size, Image.Resampling.NEAREST)
    image = image.quantize(colors=len(COLORS), dither=Image.Dither.NONE)
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=False)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _range(used: NDArray[np.bool_]) -> slice:
    """Where anything is, with a margin."""
    where = np.flatnonzero(used)
    return slice(max(0, int(where[0]) - _MARGIN), int(where[-1]) + 1 + _MARGIN)


def _colored(reference: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB by who labels a voxel, darker where it is a lesion."""
    colors = np.array(list(COLORS.values()), dtype=np.uint8)
    kidney = (reference > 0) + 2 * (prediction > 0)
    lesion = (reference > 1) + 2 * (prediction > 1)
    index = np.array([0, 2, 3, 1])[kidney]
    return colors[np.where(lesion > 0, np.array([0, 5, 6, 4])[lesion], index)]
