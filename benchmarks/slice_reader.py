"""What a model says about one axial slice that comes without its neighbors.

The slice is taken to go on unchanged along the body: nothing else is known, and of such an image
the fine network can be computed at the cost of a 2D one (`renalis.networks.unet.UNet`'s
``forward_slices``). It sees the whole slice; there is no coarse pass. It looks at the slice in its
own pixels and in larger ones, where it sees more of what lies around, and the two are averaged.

Areas of tumor that are smaller than ``LEAST_MM2`` are given to what lies around them; the rules for
whole lesions count volumes. It is how the model is measured on single slices; `renalis segment`
refuses them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.model import Model
from renalis.networks.unet import UNet
from renalis.preparation import linear_weights, window

SCALES = (1.0, 22 / 15)
"""Pixel sizes at which a slice is read, in the network's own. On 156 real slices of patients that
trained nothing, against its own alone: kidney Dice 0.845 to 0.852, tumor 0.563 to 0.567, a false
tumor in 16 to 10 of 129 (``benchmarks/real_slices.py``)."""
LEAST_MM2 = 60.0
"""Least area of a tumor in a slice, a disk of 9 mm: on slices of patients that are kept back for
choosing, false tumors fell from 25 of 129 slices to 16; of 22 tumors that were touched, three of
which hardly anything was named are not any more. Cysts are smaller: no such rule pays for them."""

_AIR_HU = -1000.0


@dataclass(frozen=True, eq=False)
class SliceReader:
    """A model's fine network, ready to read single slices.

    Attributes
    ----------
    network : UNet
        In evaluation mode.
    spacing_mm : float
        Of the network's pixels.
    window_hu : tuple of float
        HU mapped to -1 and 1.
    mirrored_copies : int
        Passes of test-time augmentation. 1: the slice as it is; 2: its mirror image as well; 4:
        both front to back too.
    scales : tuple of float
        Pixel sizes at which the slice is read, in multiples of ``spacing_mm``; averaged.
    lesion_weight : float
        How much tumor and cyst count against kidney where a renal pixel gets its kind.
    """

    network: UNet
    spacing_mm: float
    window_hu: tuple[float, float]
    mirrored_copies: int = 2
    scales: tuple[float, ...] = SCALES
    lesion_weight: float = 1.0

    @classmethod
    def of(cls, model: Model, mirrored_copies: int = 2) -> SliceReader:
        """The reader of a model.

        Raises
        ------
        InputError
            If its fine network cannot read slices, or its pixels are not square.
        """
        stage = model.header.stage("fine")
        network: nn.Module = model.network("fine")
        _, y, x = stage.spacing_mm
        if not isinstance(network, UNet) or y != x:
            raise InputError(f"{model.path}: its fine network does not read single slices")
        return cls(network, x, stage.window_hu, mirrored_copies)

    def probability(
        self, hu: NDArray[np.float32], spacing_mm: tuple[float, float]
    ) -> NDArray[np.float32]:
        """Kidney, tumor and cyst on the slice's own pixels.

        Parameters
        ----------
        hu : ndarray, shape (Y, X), float32
            An axial slice; rows run to the back, columns to the patient's left.
        spacing_mm : tuple of float
            Of rows and columns.

        Returns
        -------
        ndarray, shape (3, Y, X), float32
            Mean over the scales, each interpolated linearly.
        """
        total = np.zeros((3, *hu.shape), np.float32)
        for scale in self.scales:
            pixel_mm = self.spacing_mm * scale
            small = self._on_own_grid(hu, spacing_mm, pixel_mm)
            rows, columns = (
                linear_weights(small.shape[axis + 1], 0, size, spacing / pixel_mm)
                for axis, (size, spacing) in enumerate(zip(hu.shape, spacing_mm, strict=True))
            )
            total += np.matmul(np.matmul(rows, small), columns.T)
        return np.asarray(total / len(self.scales), np.float32)

    def labels(self, hu: NDArray[np.float32], spacing_mm: tuple[float, float]) -> NDArray[np.uint8]:
        """Label map (Y, X) of the slice in the KiTS23 convention.

        Renal is what is likelier kidney, tumor or cyst, together, than background, and gets the
        likeliest of the three; of whole scans a single class has to be likelier than the background
        (`renalis.prediction.restore.restore`). Without its neighbors a slice often leaves open
        which of them it shows.
        """
        probability = self.probability(hu, spacing_mm)
        weighted = probability.copy()
        weighted[1:] *= np.float32(self.lesion_weight)
        labels = np.asarray(weighted.argmax(0) + int(Label.KIDNEY), np.uint8)
        labels[probability.sum(0) < 0.5] = Label.BACKGROUND
        return labels

    def _on_own_grid(
        self, hu: NDArray[np.float32], spacing_mm: tuple[float, float], pixel_mm: float
    ) -> NDArray[np.float32]:
        """Probabilities (3, y, x) on pixels of one size, whose corners coincide at (0, 0)."""
        image = window(self._resampled(hu, spacing_mm, pixel_mm), *self.window_hu)
        slices = torch.from_numpy(np.ascontiguousarray(image))[None, None]
        total = torch.zeros(())
        flips: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))
        for axes in flips[: self.mirrored_copies]:
            with torch.inference_mode():
                logits = self.network.forward_slices(slices.flip(axes))
            total = total + torch.softmax(logits.float(), 1)[:, 1:].flip(axes)
        return np.asarray((total[0] / self.mirrored_copies).numpy())

    def _resampled(
        self, hu: NDArray[np.float32], spacing_mm: tuple[float, float], pixel_mm: float
    ) -> NDArray[np.float32]:
        """The slice on other pixels, linearly; filled up with air to whole multiples."""
        multiple = self.network.multiple
        matrices = []
        for size, spacing in zip(hu.shape, spacing_mm, strict=True):
            count = max(1, round(size * spacing / pixel_mm))
            matrices.append(linear_weights(size, 0, count, pixel_mm / spacing))
        small = matrices[0] @ hu.astype(np.float32) @ matrices[1].T
        sizes = [-(-n // multiple) * multiple - n for n in small.shape]
        padded = np.pad(small, [(0, n) for n in sizes], constant_values=_AIR_HU)
        return np.asarray(padded, np.float32)


def drop_small_tumors(
    labels: NDArray[np.uint8], spacing_mm: tuple[float, float], least_mm2: float = LEAST_MM2
) -> NDArray[np.uint8]:
    """Give connected components of tumor that are smaller than an area to what surrounds them.

    Parameters
    ----------
    labels : ndarray, shape (Y, X), uint8
        KiTS23 labels of a slice.
    spacing_mm : tuple of float
        Of rows and columns.
    least_mm2 : float
        Smaller components become kidney where kidney touches them, otherwise background.

    Returns
    -------
    ndarray, shape (Y, X), uint8
        A new array.
    """
    result = labels.copy()
    pixel = spacing_mm[0] * spacing_mm[1]
    parts = cc3d.connected_components(np.ascontiguousarray(result == Label.TUMOR), connectivity=8)
    for part in range(1, int(parts.max()) + 1):
        mask = parts == part
        if np.count_nonzero(mask) * pixel >= least_mm2:
            continue
        near = np.pad(mask, 1)
        around = near[:-2, 1:-1] | near[2:, 1:-1] | near[1:-1, :-2] | near[1:-1, 2:]
        touches = bool((labels[around & ~mask] == Label.KIDNEY).any())
        result[mask] = Label.KIDNEY if touches else Label.BACKGROUND
    return result
