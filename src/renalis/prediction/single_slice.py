"""What a model says about one axial slice that comes without its neighbors.

The slice is taken to go on unchanged along the body: nothing else is known, and of such an image
the fine network can be computed at the cost of a 2D one (`renalis.networks.unet.UNet`'s
``forward_slices``). It sees the whole slice; there is no coarse pass. In scans of several slices
this is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.model import Model
from renalis.networks.unet import UNet
from renalis.prediction.restore import LIKELIEST, log_odds
from renalis.preparation import linear_weights, window

__all__ = ["SliceReader"]

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
    """

    network: UNet
    spacing_mm: float
    window_hu: tuple[float, float]
    mirrored_copies: int = 2

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
        """Kidney, tumor and cyst on the network's grid.

        Parameters
        ----------
        hu : ndarray, shape (Y, X), float32
            An axial slice; rows run to the back, columns to the patient's left.
        spacing_mm : tuple of float
            Of rows and columns.

        Returns
        -------
        ndarray, shape (3, y, x), float32
            Of ``spacing_mm`` of this reader; pixel corners coincide with the slice's at (0, 0).
        """
        image = window(self._on_grid(hu, spacing_mm), *self.window_hu)
        slices = torch.from_numpy(np.ascontiguousarray(image))[None, None]
        total = torch.zeros(())
        flips: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))
        for axes in flips[: self.mirrored_copies]:
            with torch.inference_mode():
                logits = self.network.forward_slices(slices.flip(axes))
            total = total + torch.softmax(logits.float(), 1)[:, 1:].flip(axes)
        return np.asarray((total[0] / self.mirrored_copies).numpy())

    def labels(self, hu: NDArray[np.float32], spacing_mm: tuple[float, float]) -> NDArray[np.uint8]:
        """Label map (Y, X) of the slice in the KiTS23 convention.

        Renal is what is likelier kidney, tumor or cyst, together, than background, and gets the
        likeliest of the three; of whole scans a single class has to be likelier than the background
        (`renalis.prediction.restore.restore`). Without its neighbors a slice often leaves open
        which of them it shows. Log odds are interpolated linearly.
        """
        probability = self.probability(hu, spacing_mm)
        renal = probability.sum(0, keepdims=True)
        odds = np.concatenate([log_odds(renal), log_odds(probability)])
        rows, columns = (
            linear_weights(odds.shape[axis + 1], 0, size, spacing / self.spacing_mm)
            for axis, (size, spacing) in enumerate(zip(hu.shape, spacing_mm, strict=True))
        )
        large = np.matmul(np.matmul(rows, odds), columns.T)
        labels = np.asarray(large[1:].argmax(0) + int(Label.KIDNEY), np.uint8)
        labels[large[0] < LIKELIEST] = Label.BACKGROUND
        return labels

    def _on_grid(
        self, hu: NDArray[np.float32], spacing_mm: tuple[float, float]
    ) -> NDArray[np.float32]:
        """The slice on the network's grid, linearly; filled up with air to whole multiples."""
        multiple = self.network.multiple
        matrices = []
        for size, spacing in zip(hu.shape, spacing_mm, strict=True):
            count = max(1, round(size * spacing / self.spacing_mm))
            matrices.append(linear_weights(size, 0, count, self.spacing_mm / spacing))
        small = matrices[0] @ hu.astype(np.float32) @ matrices[1].T
        sizes = [-(-n // multiple) * multiple - n for n in small.shape]
        padded = np.pad(small, [(0, n) for n in sizes], constant_values=_AIR_HU)
        return np.asarray(padded, np.float32)
