"""The original 3D U-Net (Çiçek et al., MICCAI 2016): valid convolutions, batch normalization.

With valid convolutions an output voxel has seen only real neighbors, never padding, so that tiles
put side by side have no seams; tiles that lie a multiple of ``2 ** (levels - 1)`` voxels apart
give exactly what one large forward pass would. The price is the margin: at four levels a patch of
108 voxels yields the 20 in its middle.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from renalis.networks.registry import Outputs, register

__all__ = ["ValidUNet3d", "crop_center", "double_valid", "valid_margin", "valid_output_side"]

Norm = Literal["batch", "group"]


def valid_margin(levels: int) -> int:
    """Voxels that are lost on each side of a patch: 44 at four levels."""
    # Two convolutions down and two up at each level, one voxel per side each, in voxels of that
    # level: 4 (1 + 2 + ... + step / 2) + 2 step, because the bottom has no way up.
    return 6 * _step(levels) - 4


def valid_output_side(side: int, levels: int) -> int:
    """Side of the output for a patch of a given side: 20 for 108 at four levels.

    Raises
    ------
    ValueError
        If a pooling would leave half a voxel or nothing would remain.
    """
    step = _step(levels)
    left = side - 2 * valid_margin(levels)
    # Above each pooling 4 voxels are lost; added up they shift the sides that can be halved.
    if left <= 0 or (side + 4) % step:
        first = 2 * valid_margin(levels) + min(step, 4)
        raise ValueError(
            f"a patch side of {side} does not fit {levels} levels of valid convolutions; "
            f"use {first}, {first + step}, {first + 2 * step}, ..."
        )
    return left


def _step(levels: int) -> int:
    return int(2 ** (levels - 1))


def crop_center(volume: Tensor, sides: tuple[int, ...] | torch.Size) -> Tensor:
    """The middle of a tensor (N, C, Z, Y, X), with ``sides`` voxels along Z, Y and X.

    Raises
    ------
    ValueError
        If the middle would lie half a voxel off, or the tensor is too small.
    """
    for axis, (have, want) in enumerate(zip(volume.shape[2:], sides, strict=True), start=2):
        if have < want or (have - want) % 2:
            raise ValueError(f"cannot center {want} voxels in {have}")
        volume = volume.narrow(axis, (have - want) // 2, want)
    return volume


def _normalization(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm3d(channels)
    return nn.GroupNorm(math.gcd(8, channels), channels)


def double_valid(inputs: int, middle: int, outputs: int, norm: Norm) -> nn.Sequential:
    """Two valid 3 x 3 x 3 convolutions, each with normalization and ReLU; 4 voxels shorter."""
    return nn.Sequential(
        nn.Conv3d(inputs, middle, 3),
        _normalization(norm, middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, outputs, 3),
        _normalization(norm, outputs),
        nn.ReLU(inplace=True),
    )


@register(
    "valid_unet3d", tiny={"base": 4, "levels": 2, "dropout": 0.2}, inputs=((2, 1, 20, 20, 20),)
)
class ValidUNet3d(nn.Module):
    """3D U-Net of valid convolutions.

    Parameters
    ----------
    in_channels : int
        1 for CT.
    out_channels : int
        Classes including background.
    base : int
        Channels of the first convolution; each level ends with twice as many as it began with.
    levels : int
        Resolutions, 2 to 5; 4 in the publication.
    dropout : float
        Share of channels dropped in training after the bottom and after every decoder block
        (spatial dropout, Tompson et al., CVPR 2015).
    norm : {"batch", "group"}
        ``group`` does not depend on the batch, which matters for batches of one or two.
    extra_skip : int
        Channels of further features that `decode` gets at full resolution.

    Raises
    ------
    ValueError
        If ``levels`` is out of range or ``norm`` unknown.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        base: int = 32,
        levels: int = 4,
        dropout: float = 0.0,
        norm: Norm = "batch",
        extra_skip: int = 0,
    ) -> None:
        super().__init__()
        if not 2 <= levels <= 5:
            raise ValueError(f"levels must be 2 to 5, not {levels}")
        if norm not in {"batch", "group"}:
            raise ValueError(f"norm must be batch or group, not {norm!r}")
        self.levels = levels
        widths = [2 * base * 2**level for level in range(levels)]
        self.bottom_channels = widths[-1]
        before = [in_channels, *widths[:-1]]
        self.encoder = nn.ModuleList(
            double_valid(inputs, outputs // 2, outputs, norm)
            for inputs, outputs in zip(before, widths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(width, width, 2, stride=2) for width in reversed(widths[1:])
        )
        extras = [0] * (levels - 2) + [extra_skip]
        self.decoder = nn.ModuleList(
            double_valid(3 * width + extra, width, width, norm)
            for width, extra in zip(reversed(widths[:-1]), extras, strict=True)
        )
        self.dropout = nn.Dropout3d(dropout)
        self.head = nn.Conv3d(widths[0], out_channels, 1)

    def encode(self, image: Tensor) -> list[Tensor]:
        """Features of every level, finest first, from an image (N, in_channels, Z, Y, X).

        Raises
        ------
        ValueError
            If a side does not fit; see `valid_output_side`.
        """
        for side in image.shape[2:]:
            valid_output_side(side, self.levels)
        features = image
        levels: list[Tensor] = []
        for level, encode in enumerate(self.encoder):
            features = encode(functional.max_pool3d(features, 2) if level else features)
            levels.append(features)
        levels[-1] = self.dropout(levels[-1])
        return levels

    def decode(self, levels: list[Tensor], extra: Tensor | None = None) -> Tensor:
        """Logits from the features of `encode`.

        Parameters
        ----------
        levels : list of Tensor
            Finest first.
        extra : Tensor, shape (N, extra_skip, Z, Y, X), optional
            Joins the finest skip; cropped to its middle.

        Returns
        -------
        Tensor, shape (N, out_channels, Z, Y, X)
            `valid_margin` voxels shorter than the image on each side.
        """
        *skips, features = levels
        for up, decode in zip(self.up, self.decoder, strict=True):
            features = up(features)
            sides = features.shape[2:]
            parts = [features, crop_center(skips.pop(), sides)]
            if extra is not None and not skips:
                parts.append(crop_center(extra, sides))
            features = self.dropout(decode(torch.cat(parts, dim=1)))
        logits: Tensor = self.head(features)
        return logits

    def forward(self, image: Tensor) -> Outputs:
        """Logits of the middle of a patch.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Z, Y, X)
            Normalized CT.

        Returns
        -------
        Outputs
            ``seg`` of shape (N, out_channels, Z - 2 m, Y - 2 m, X - 2 m), m = `valid_margin`.

        Raises
        ------
        ValueError
            If a side does not fit; see `valid_output_side`.
        """
        return {"seg": self.decode(self.encode(image))}
