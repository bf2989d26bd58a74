"""QuickNAT (Roy et al., NeuroImage 2019) for CT slices, as Halili uses it.

Dense blocks of 5 x 5 convolutions, concurrent squeeze and excitation (Roy et al., MICCAI 2018),
max-pooling whose indices guide the un-pooling. Where the thesis' prose and the code that it builds
on (``nn-common-modules``) disagree, the default is the code: one PReLU shared by the three
activations of a block, a dense block as bottleneck, and the larger instead of the sum of the two
excitations.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from renalis.networks.registry import Outputs, register

__all__ = ["QuickNat"]

Activation = Literal["prelu", "relu"]
Bottleneck = Literal["unused", "applied", "none"]


class SqueezeExcitation(nn.Module):
    """Concurrent channel and spatial excitation: the larger of the two results."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // 2)
        self.excite = nn.Linear(channels // 2, channels)
        self.spatial = nn.Conv2d(channels, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape, (N, channels, Y, X)."""
        channels = self.excite(functional.relu(self.squeeze(features.mean(dim=(2, 3)))))
        by_channel = features * torch.sigmoid(channels)[:, :, None, None]
        by_place = features * torch.sigmoid(self.spatial(features))
        return torch.maximum(by_channel, by_place)


class DenseBlock(nn.Module):
    """Two dense 5 x 5 convolutions and a 1 x 1 one, each after normalization and activation."""

    def __init__(self, inputs: int, filters: int, kernel: int, activation: Activation) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, filters, kernel, padding=kernel // 2)
        self.norm2 = nn.BatchNorm2d(inputs + filters)
        self.conv2 = nn.Conv2d(inputs + filters, filters, kernel, padding=kernel // 2)
        self.norm3 = nn.BatchNorm2d(inputs + 2 * filters)
        self.conv3 = nn.Conv2d(inputs + 2 * filters, filters, 1)
        self.activation = nn.PReLU() if activation == "prelu" else nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Features of shape (N, filters, Y, X)."""
        first = self.conv1(self.activation(self.norm1(features)))
        dense = torch.cat([features, first], dim=1)
        second = self.conv2(self.activation(self.norm2(dense)))
        dense = torch.cat([dense, second], dim=1)
        result: Tensor = self.conv3(self.activation(self.norm3(dense)))
        return result


class ExcitedBlock(nn.Module):
    """A dense block, squeeze and excitation, dropout of whole channels."""

    def __init__(
        self, inputs: int, filters: int, kernel: int, dropout: float, activation: Activation
    ) -> None:
        super().__init__()
        self.dense = DenseBlock(inputs, filters, kernel, activation)
        self.excitation = SqueezeExcitation(filters)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Features of shape (N, filters, Y, X)."""
        result: Tensor = self.dropout(self.excitation(self.dense(features)))
        return result


@register("quicknat", tiny={"filters": 8, "kernel": 3}, inputs=((2, 1, 48, 32),))
class QuickNat(nn.Module):
    """QuickNAT with squeeze and excitation.

    Parameters
    ----------
    in_channels : int
        1 for CT.
    out_channels : int
        Logits per pixel; 1 for a binary mask.
    filters : int
        Channels of every block.
    kernel : int
        Side of the convolutions, odd.
    dropout : float
        Share of channels that encoder and decoder blocks drop in training.
    activation : {"prelu", "relu"}
        ``relu`` is what the thesis says, ``prelu`` what its code does.
    bottleneck_excitation : {"unused", "applied", "none"}
        The published code makes squeeze and excitation for the bottleneck and never calls it.
        ``unused`` keeps these 4,257 parameters, frozen, so that the count is the published one.

    Raises
    ------
    ValueError
        If an option is none of those listed, or ``kernel`` is even.
    """

    depth = 4

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        filters: int = 64,
        kernel: int = 5,
        dropout: float = 0.2,
        activation: Activation = "prelu",
        bottleneck_excitation: Bottleneck = "unused",
    ) -> None:
        super().__init__()
        if activation not in {"prelu", "relu"}:
            raise ValueError(f"activation must be prelu or relu, not {activation!r}")
        if bottleneck_excitation not in {"unused", "applied", "none"}:
            raise ValueError(
                "bottleneck_excitation must be unused, applied or none, "
                f"not {bottleneck_excitation!r}"
            )
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, not {kernel}")
        inputs = [in_channels] + [filters] * (self.depth - 1)
        self.encoder = nn.ModuleList(
            ExcitedBlock(each, filters, kernel, dropout, activation) for each in inputs
        )
        self.bottleneck = DenseBlock(filters, filters, kernel, activation)
        self.bottleneck_excitation: SqueezeExcitation | None = None
        self.excite_bottleneck = bottleneck_excitation == "applied"
        if bottleneck_excitation != "none":
            self.bottleneck_excitation = SqueezeExcitation(filters)
            # Parameters without a gradient would stop distributed training.
            self.bottleneck_excitation.requires_grad_(self.excite_bottleneck)
        self.decoder = nn.ModuleList(
            ExcitedBlock(2 * filters, filters, kernel, dropout, activation)
            for _ in range(self.depth)
        )
        self.classifier = nn.Conv2d(filters, out_channels, 1)

    def forward(self, image: Tensor) -> Outputs:
        """Logits at the image's resolution.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Y, X)
            CT slices of any size from 16 x 16 pixels on.

        Returns
        -------
        Outputs
            ``seg`` of shape (N, out_channels, Y, X).

        Raises
        ------
        ValueError
            If a side is smaller than 16.
        """
        if min(image.shape[2:]) < 2**self.depth:
            raise ValueError(
                f"slices of {tuple(image.shape[2:])} pixels are too small; "
                f"both sides must be at least {2**self.depth}"
            )
        kept: list[tuple[Tensor, Tensor]] = []
        features = image
        for encode in self.encoder:
            skip = encode(features)
            features, indices = functional.max_pool2d(skip, 2, return_indices=True)
            kept.append((skip, indices))
        features = self.bottleneck(features)
        if self.bottleneck_excitation is not None and self.excite_bottleneck:
            features = self.bottleneck_excitation(features)
        for decode in self.decoder:
            skip, indices = kept.pop()
            size = list(skip.shape[2:])  # odd sides lose a line in pooling and get it back here
            features = functional.max_unpool2d(features, indices, (2, 2), output_size=size)
            features = decode(torch.cat([skip, features], dim=1))
        return {"seg": self.classifier(features)}
