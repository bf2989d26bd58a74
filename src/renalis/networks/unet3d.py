"""Plain, residual and pre-activation 3D U-Nets, as Zhang compares them on KiTS19.

After Isensee and Maier-Hein, "An attempt at beating the 3D U-Net" (2019): strided convolutions
down, transposed ones up, residual blocks only in the encoder, more of them the deeper. Instance
normalization without learned scale. The first step down keeps the number of slices, because the
published grid is twice as coarse along z.

The published code applies the weights of each level's residual block repeatedly instead of
having several blocks; ``share_repeats`` chooses.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from renalis.networks.attention import AttentionGate
from renalis.networks.registry import Outputs, register

__all__ = ["UNet3d"]

Variant = Literal["plain", "residual", "preact"]
Steps = tuple[int, int, int]


class ConvolutionUnit(nn.Sequential):
    """3 x 3 x 3 convolution, instance normalization, (leaky) ReLU."""

    def __init__(self, inputs: int, outputs: int, slope: float, stride: Steps = (1, 1, 1)) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1),
            nn.InstanceNorm3d(outputs),
            nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True),
        )


def _double(inputs: int, outputs: int, slope: float, stride: Steps = (1, 1, 1)) -> nn.Sequential:
    return nn.Sequential(
        ConvolutionUnit(inputs, outputs, slope, stride), ConvolutionUnit(outputs, outputs, slope)
    )


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut; the shortcut is 1 x 1 x 1 where the shape changes.

    ``preact`` normalizes and activates before each convolution (He et al., "Identity mappings",
    ECCV 2016), otherwise after it, and after the addition.
    """

    def __init__(self, inputs: int, outputs: int, preact: bool, stride: Steps = (1, 1, 1)) -> None:
        super().__init__()
        self.preact = preact
        self.conv1 = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != (1, 1, 1) or inputs != outputs:
            self.shortcut = nn.Conv3d(inputs, outputs, 1, stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features of shape (N, outputs, Z, Y, X), each side divided by its stride."""
        norm = functional.instance_norm
        shortcut: Tensor = self.shortcut(features)
        if self.preact:
            inner = self.conv1(functional.relu(norm(features)))
            inner = functional.relu(norm(inner))
            residual: Tensor = self.conv2(inner)
            return shortcut + residual
        inner = functional.relu(norm(self.conv1(features)))
        return functional.relu(norm(self.conv2(inner)) + shortcut)


class Repeated(nn.Module):
    """A level's residual blocks: ``times`` different ones, or one applied ``times`` times."""

    def __init__(self, channels: int, times: int, preact: bool, share: bool) -> None:
        super().__init__()
        own = 1 if share else times
        self.blocks = nn.ModuleList(ResidualBlock(channels, channels, preact) for _ in range(own))
        self.rounds = times // own

    def forward(self, features: Tensor) -> Tensor:
        """Features of the same shape."""
        for _ in range(self.rounds):
            for block in self.blocks:
                features = block(features)
        return features


class UpBlock(nn.Module):
    """Transposed convolution, concatenation with the (gated) skip, convolutions."""

    def __init__(
        self, inputs: int, outputs: int, stride: Steps, variant: Variant, attention: bool
    ) -> None:
        super().__init__()
        # Where the size along Z stays, three slices contribute to one, as in the published code.
        kernel, padding = ((3, 2, 2), (1, 0, 0)) if stride[0] == 1 else ((2, 2, 2), (0, 0, 0))
        self.up = nn.ConvTranspose3d(inputs, outputs, kernel, stride=stride, padding=padding)
        self.gate = AttentionGate(outputs) if attention else None
        self.convolve: nn.Module = (
            _double(2 * outputs, outputs, _SLOPE)
            if variant == "plain"
            else ConvolutionUnit(2 * outputs, outputs, 0.0)
        )

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Features of the skip's shape, (N, outputs, Z, Y, X)."""
        features = self.up(features)
        if self.gate is not None:
            skip = self.gate(skip, features)
        result: Tensor = self.convolve(torch.cat([features, skip], dim=1))
        return result


_SLOPE = 0.2  # of the plain network's leaky ReLU; the residual ones have ReLU
_BASES = {"plain": 30, "residual": 24, "preact": 24}


@register(
    "unet3d",
    tiny={"variant": "residual", "base": 4, "levels": 3, "deep_supervision": 1},
    inputs=((2, 1, 8, 16, 16),),
)
class UNet3d(nn.Module):
    """3D U-Net of one of three kinds.

    Parameters
    ----------
    variant : {"plain", "residual", "preact"}
        Kind of the encoder's blocks.
    in_channels : int
        1 for CT.
    out_channels : int
        Classes including background.
    base : int, optional
        Channels at full resolution, doubled at every level up to ``max_channels``; the
        publication's 30 (plain) or 24 when left out.
    max_channels : int
        Most channels of a level.
    levels : int
        Resolutions, 2 to 8.
    share_repeats : bool
        Apply one residual block per level repeatedly, as the published code does, instead of
        several blocks with weights of their own.
    deep_supervision : int
        Lower resolutions of the decoder that return a segmentation too, at most ``levels - 2``.
    attention : bool
        Attention gates on the skips; one of the publication's wishes.

    Raises
    ------
    ValueError
        If ``variant`` is unknown, or ``levels`` or ``deep_supervision`` is out of range.
    """

    def __init__(
        self,
        variant: Variant = "residual",
        in_channels: int = 1,
        out_channels: int = 3,
        base: int | None = None,
        max_channels: int = 320,
        levels: int = 6,
        share_repeats: bool = True,
        deep_supervision: int = 0,
        attention: bool = False,
    ) -> None:
        super().__init__()
        if variant not in _BASES:
            raise ValueError(f"variant must be one of {', '.join(_BASES)}, not {variant!r}")
        if not 2 <= levels <= 8:
            raise ValueError(f"levels must be 2 to 8, not {levels}")
        if not 0 <= deep_supervision <= levels - 2:
            raise ValueError(
                f"deep_supervision must be 0 to {levels - 2} with {levels} levels, "
                f"not {deep_supervision}"
            )
        first = _BASES[variant] if base is None else base
        widths = [min(first * 2**level, max_channels) for level in range(levels)]
        strides: list[Steps] = [(1, 2, 2)] + [(2, 2, 2)] * (levels - 2)
        slope = _SLOPE if variant == "plain" else 0.0
        self.encoder = nn.ModuleList([_double(in_channels, first, slope)])
        for level, stride in enumerate(strides, start=1):
            inputs, outputs = widths[level - 1], widths[level]
            if variant == "plain":
                self.encoder.append(_double(inputs, outputs, slope, stride))
            else:
                preact = variant == "preact"
                down = ResidualBlock(inputs, outputs, preact, stride)
                again = Repeated(outputs, level, preact, share_repeats)
                self.encoder.append(nn.Sequential(down, again))
        self.decoder = nn.ModuleList(
            UpBlock(widths[level], widths[level - 1], strides[level - 1], variant, attention)
            for level in range(levels - 1, 0, -1)
        )
        self.head = nn.Conv3d(first, out_channels, 1)
        self.deep_heads = nn.ModuleList(  # finest first: levels 1, 2, ...
            nn.Conv3d(widths[1 + place], out_channels, 1) for place in range(deep_supervision)
        )

    @property
    def multiple(self) -> Steps:
        """Z, Y and X of the input must be multiples of these numbers."""
        levels = len(self.encoder)
        return (2 ** (levels - 2), 2 ** (levels - 1), 2 ** (levels - 1))

    def forward(self, image: Tensor) -> Outputs:
        """Logits at the patch's resolution.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Z, Y, X)
            Normalized CT; sides are multiples of `multiple`.

        Returns
        -------
        Outputs
            ``seg`` of shape (N, out_channels, Z, Y, X); with deep supervision also ``deep``,
            whose first is (N, out_channels, Z, Y / 2, X / 2).

        Raises
        ------
        ValueError
            If a side does not fit `multiple`.
        """
        sides = tuple(image.shape[2:])
        if any(side % by for side, by in zip(sides, self.multiple, strict=True)):
            raise ValueError(
                f"patches of {sides} voxels do not fit; pad to multiples of {self.multiple}"
            )
        skips: list[Tensor] = []
        features = image
        for encode in self.encoder:
            features = encode(features)
            skips.append(features)
        skips.pop()
        decoded: list[Tensor] = []
        for decode in self.decoder:
            features = decode(features, skips.pop())
            decoded.append(features)
        outputs: Outputs = {"seg": self.head(decoded.pop())}
        if self.deep_heads:
            finest_first = reversed(decoded[-len(self.deep_heads) :])
            outputs["deep"] = [
                head(each) for head, each in zip(self.deep_heads, finest_first, strict=True)
            ]
        return outputs
