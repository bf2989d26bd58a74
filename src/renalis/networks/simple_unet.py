"""2D U-Net (Ronneberger et al., MICCAI 2015) with batch normalization: Beheshtifard's baseline.

The publication says "simple U-Net model comprising of 5 layers". Read as five resolutions of 64
to 1024 channels, padded convolutions and 2 x 2 transposed convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from renalis.networks.registry import Outputs, register

__all__ = ["SimpleUNet"]


def _double(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


@register("simple_unet", tiny={"base": 4, "levels": 3}, inputs=((2, 1, 16, 24),))
class SimpleUNet(nn.Module):
    """U-Net of double convolutions.

    Parameters
    ----------
    in_channels : int
        1 for CT.
    out_channels : int
        Logits per pixel; 1 for a binary mask.
    base : int
        Channels at full resolution, doubled at every level.
    levels : int
        Resolutions, 2 to 8.

    Raises
    ------
    ValueError
        If ``levels`` is out of range.
    """

    def __init__(
        self, in_channels: int = 1, out_channels: int = 1, base: int = 64, levels: int = 5
    ) -> None:
        super().__init__()
        if not 2 <= levels <= 8:
            raise ValueError(f"levels must be 2 to 8, not {levels}")
        widths = [base * 2**level for level in range(levels)]
        self.encoder = nn.ModuleList(
            _double(inputs, outputs)
            for inputs, outputs in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in reversed(widths[:-1])
        )
        self.decoder = nn.ModuleList(_double(2 * width, width) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(base, out_channels, 1)

    @property
    def multiple(self) -> int:
        """Every side of the input must be a multiple of this number."""
        return int(2 ** (len(self.encoder) - 1))

    def forward(self, image: Tensor) -> Outputs:
        """Logits at the image's resolution.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Y, X)
            Normalized CT slices; sides are multiples of `multiple`.

        Returns
        -------
        Outputs
            ``seg`` of shape (N, out_channels, Y, X).

        Raises
        ------
        ValueError
            If a side is no multiple of `multiple`.
        """
        if any(side % self.multiple for side in image.shape[2:]):
            raise ValueError(
                f"slices of {tuple(image.shape[2:])} pixels do not fit; "
                f"pad both sides to multiples of {self.multiple}"
            )
        skips: list[Tensor] = []
        features = image
        for level, encode in enumerate(self.encoder):
            features = encode(functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        skips.pop()
        for up, decode in zip(self.up, self.decoder, strict=True):
            features = decode(torch.cat([skips.pop(), up(features)], dim=1))
        return {"seg": self.head(features)}
