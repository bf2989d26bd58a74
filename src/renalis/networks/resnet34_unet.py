"""2D U-Net whose encoder is ResNet34 (He et al., CVPR 2016), as Beheshtifard et al. use it.

The publication names the layout by its figure only. This is the one that the widely used
``segmentation_models_pytorch`` builds for ``Unet("resnet34")``: same operations, same number of
parameters, and the same weight names (``encoder.layer1.0.conv1.weight``,
``decoder.blocks.0.conv1.0.weight``), so that weights go both ways. The encoder's names are also
torchvision's; see `renalis.networks.pretrained` for ImageNet weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from renalis.networks.registry import Outputs, register

__all__ = ["ResNet34Encoder", "ResNet34UNet"]

_BLOCKS = (3, 4, 6, 3)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (ResNet, figure 5 left)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, image: Tensor) -> Tensor:
        """Features of shape (N, outputs, Y / stride, X / stride)."""
        shortcut = image if self.downsample is None else self.downsample(image)
        features = functional.relu(self.bn1(self.conv1(image)))
        return functional.relu(self.bn2(self.conv2(features)) + shortcut)


class ResNet34Encoder(nn.Module):
    """ResNet34 without its classifier, returning the features of every resolution."""

    def __init__(self, in_channels: int, base: int) -> None:
        super().__init__()
        self.channels = (base, base, 2 * base, 4 * base, 8 * base)
        self.conv1 = nn.Conv2d(in_channels, base, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.layer1 = _layer(base, base, _BLOCKS[0], stride=1)
        self.layer2 = _layer(base, 2 * base, _BLOCKS[1], stride=2)
        self.layer3 = _layer(2 * base, 4 * base, _BLOCKS[2], stride=2)
        self.layer4 = _layer(4 * base, 8 * base, _BLOCKS[3], stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # torchvision's initialization
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's sides."""
        features = [functional.relu(self.bn1(self.conv1(image)))]
        reduced = functional.max_pool2d(features[0], 3, stride=2, padding=1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            reduced = layer(reduced)
            features.append(reduced)
        return features


def _layer(inputs: int, outputs: int, count: int, stride: int) -> nn.Sequential:
    blocks = [BasicBlock(inputs, outputs, stride)]
    blocks += [BasicBlock(outputs, outputs, 1) for _ in range(count - 1)]
    return nn.Sequential(*blocks)


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_uniform_(convolution.weight, mode="fan_in", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class DecoderBlock(nn.Module):
    """Nearest doubling, concatenation with the skip, two convolutions."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs + skip, outputs)
        self.conv2 = _convolution(outputs, outputs)

    def forward(self, features: Tensor, skip: Tensor | None) -> Tensor:
        """Features of shape (N, outputs, 2 Y, 2 X)."""
        features = functional.interpolate(features, scale_factor=2, mode="nearest")
        if skip is not None:
            features = torch.cat([features, skip], dim=1)
        result: Tensor = self.conv2(self.conv1(features))
        return result


class Decoder(nn.Module):
    """Five blocks, the last one without a skip."""

    def __init__(self, encoder: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        inputs = (encoder[-1], *widths[:-1])
        skips = (*reversed(encoder[:-1]), 0)
        self.blocks = nn.ModuleList(
            DecoderBlock(*each) for each in zip(inputs, skips, widths, strict=True)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """From the encoder's features to those at full resolution."""
        *skips, result = features
        waiting: list[Tensor | None] = [None, *skips]
        for block in self.blocks:
            result = block(result, waiting.pop())
        return result


@register("resnet34_unet", tiny={"base": 8}, inputs=((2, 1, 64, 96),))
class ResNet34UNet(nn.Module):
    """U-Net with a ResNet34 encoder.

    Parameters
    ----------
    in_channels : int
        1 for CT.
    out_channels : int
        Logits per pixel; 1 for a binary mask.
    base : int
        Channels at the first level; 64 is ResNet34, a multiple of 4.

    Raises
    ------
    ValueError
        If ``base`` is no positive multiple of 4.
    """

    multiple = 32

    def __init__(self, in_channels: int = 1, out_channels: int = 1, base: int = 64) -> None:
        super().__init__()
        if base < 4 or base % 4:
            raise ValueError(f"base must be a positive multiple of 4, not {base}")
        self.encoder = ResNet34Encoder(in_channels, base)
        widths = (4 * base, 2 * base, base, base // 2, base // 4)
        self.decoder = Decoder(self.encoder.channels, widths)
        self.segmentation_head = nn.Sequential(nn.Conv2d(widths[-1], out_channels, 3, padding=1))
        for name, parameter in self.segmentation_head.named_parameters():
            if name.endswith("weight"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    def forward(self, image: Tensor) -> Outputs:
        """Logits at the image's resolution.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Y, X)
            Normalized CT slices; sides are multiples of 32.

        Returns
        -------
        Outputs
            ``seg`` of shape (N, out_channels, Y, X).

        Raises
        ------
        ValueError
            If a side is no multiple of 32.
        """
        if any(side % self.multiple for side in image.shape[2:]):
            raise ValueError(
                f"slices of {tuple(image.shape[2:])} pixels do not fit; "
                f"pad both sides to multiples of {self.multiple}"
            )
        return {"seg": self.segmentation_head(self.decoder(self.encoder(image)))}
