"""A small 3D U-Net with residual-free double convolutions and instance normalization.

After Çiçek et al., "3D U-Net" (MICCAI 2016), with the changes that nnU-Net (Isensee et al., 2021)
made common: padded convolutions, instance normalization, leaky ReLU, strided down-sampling. Few
channels at full resolution, because there a convolution on a CPU waits for memory, not for
arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from renalis.networks.registry import register

__all__ = ["PooledNorm3d", "UNet"]


class PooledNorm3d(nn.InstanceNorm3d):
    """Instance normalization that, outside of training, pools its statistics over the batch.

    The batch is then one scan's windows. Each window by itself is normalized by what happens to
    lie in it, so that the same voxel gets other answers from other windows; windows together are
    normalized by what lies around the kidneys of this scan. Seams between tiles from instance
    normalization are known from stain transfer (Ho et al., "Ultra-high-resolution unpaired stain
    transformation via kernelized instance normalization", ECCV 2022). In training every member of
    a batch is another patient and is normalized by itself.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalize features (N, C, Z, Y, X)."""
        if self.training:
            return super().forward(input)
        return functional.batch_norm(
            input, None, None, self.weight, self.bias, training=True, eps=self.eps
        )


class DoubleConvolution(nn.Sequential):
    """Two 3 x 3 x 3 convolutions, each followed by normalization and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, pooled: bool = False) -> None:
        norm = PooledNorm3d if pooled else nn.InstanceNorm3d
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            norm(outputs, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
            nn.Conv3d(outputs, outputs, 3, padding=1, bias=False),
            norm(outputs, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        )


@register("unet", tiny={"out_channels": 2, "channels": (4, 8)}, inputs=((2, 1, 8, 8, 8),))
class UNet(nn.Module):
    """Encoder and decoder with concatenated skips.

    Parameters
    ----------
    in_channels : int
        Input channels; 1 for CT.
    out_channels : int
        Classes including background.
    channels : sequence of int
        Feature channels at each level, finest first. The input's sides must be multiples of
        ``stem * 2 ** (len(channels) - 1)``.
    stem : int
        Voxels along each side that one voxel of the finest level stands for. With 2, a first
        convolution folds 2 x 2 x 2 voxels into features and a last one unfolds the class scores:
        a quarter of the time for the same region, at the cost of the finest edges.
    pooled : bool
        Whether a batch's members are normalized together, see `PooledNorm3d`.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 4,
        channels: Sequence[int] = (16, 32, 64, 96),
        stem: int = 1,
        pooled: bool = False,
    ) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.stem = stem
        before = in_channels
        if stem > 1:
            self.fold = nn.Conv3d(before, self.channels[0], stem, stride=stem, bias=False)
            before = self.channels[0]
        self.encoder = nn.ModuleList()
        for level, width in enumerate(self.channels):
            self.encoder.append(
                DoubleConvolution(before, width, stride=2 if level else 1, pooled=pooled)
            )
            before = width
        self.reduce = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for width in reversed(self.channels[:-1]):
            self.reduce.append(nn.Conv3d(before, width, 1, bias=False))
            self.decoder.append(DoubleConvolution(2 * width, width, pooled=pooled))
            before = width
        head = nn.ConvTranspose3d if stem > 1 else nn.Conv3d
        self.head = head(before, out_channels, stem, stride=stem)

    @property
    def multiple(self) -> int:
        """Every side of the input must be a multiple of this number."""
        return int(self.stem * 2 ** (len(self.channels) - 1))

    def forward(self, image: Tensor) -> Tensor:
        """Logits of each class.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Z, Y, X)
            Windowed CT, about -1 to 1. In training, Z of 1 is a slice: see `forward_slices`.

        Returns
        -------
        Tensor, shape (N, out_channels, Z, Y, X)
            Unnormalized class scores.
        """
        if self.training and image.shape[2] == 1:  # a condition that no tracing meets
            return self.forward_slices(image[:, :, 0])[:, :, None]
        skips: list[Tensor] = []
        features = self.fold(image) if self.stem > 1 else image
        for encode in self.encoder:
            features = encode(features)
            skips.append(features)
        skips.pop()
        for reduce, decode in zip(self.reduce, self.decoder, strict=True):
            # Reducing the channels before enlarging costs an eighth of doing it after.
            features = functional.interpolate(reduce(features), scale_factor=2, mode="nearest")
            features = decode(torch.cat([features, skips.pop()], dim=1))
        logits: Tensor = self.head(features)
        return logits

    def forward_slices(self, images: Tensor) -> Tensor:
        """Logits of slices that go on unchanged along the body, at the cost of a 2D network.

        Where an image does not change along Z, a 3D convolution is the 2D one with its weights
        summed along Z, and means and spreads are those of one slice. What comes out is exactly
        what `forward` says in the middle of an endless repetition of the slice (its zero padding
        at the ends apart), so that single slices can be read and learned from without repeating
        them. A stem's voxels of two slices hold one answer each; their logits are averaged.

        Parameters
        ----------
        images : Tensor, shape (N, in_channels, Y, X)
            Windowed CT, about -1 to 1; sides are multiples of `multiple`.

        Returns
        -------
        Tensor, shape (N, out_channels, Y, X)
            Unnormalized class scores.
        """
        skips: list[Tensor] = []
        features = _flat(self.fold, images) if self.stem > 1 else images
        for encode in self.encoder:
            features = _flat(encode, features)
            skips.append(features)
        skips.pop()
        for reduce, decode in zip(self.reduce, self.decoder, strict=True):
            features = functional.interpolate(
                _flat(reduce, features), scale_factor=2, mode="nearest"
            )
            features = _flat(decode, torch.cat([features, skips.pop()], dim=1))
        return _flat(self.head, features)


def _flat(layer: nn.Module, features: Tensor) -> Tensor:
    """A layer's answer to features (N, C, Y, X) that do not change along Z."""
    if isinstance(layer, nn.Sequential):
        for part in layer:
            features = _flat(part, features)
        return features
    if isinstance(layer, nn.Conv3d):
        weight, stride, padding = layer.weight.sum(2), layer.stride[1:], layer.padding[1:]
        return functional.conv2d(features, weight, layer.bias, stride, padding)
    if isinstance(layer, nn.ConvTranspose3d):
        weight, stride = layer.weight.mean(2), layer.stride[1:]
        return functional.conv_transpose2d(features, weight, layer.bias, stride)
    if isinstance(layer, nn.InstanceNorm3d):
        return functional.instance_norm(
            features, weight=layer.weight, bias=layer.bias, eps=layer.eps
        )
    return layer(features)  # type: ignore[no-any-return]
