"""renalis' U-Net as nnU-Net's PlainConvUNet, with the same weights.

A 1 x 1 x 1 convolution followed by enlarging with the nearest voxel is a transposed convolution of
kernel and stride 2 whose eight positions have the same weights, so nothing is approximated. A
network with a stem gets its first convolution before the first stage and its last one as the layer
that names the classes. Where renalis normalizes a scan's windows together, the statistics of these
windows are given with the weights, and the normalization is one with fixed statistics.
"""

from __future__ import annotations

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

CONVOLUTION, NORM = (0, 3), (1, 4)


def plain_unet(file: str) -> PlainConvUNet:
    """The network whose weights renalis wrote to ``file`` (npz, names of renalis' U-Net)."""
    weights = {name: torch.from_numpy(array) for name, array in np.load(file).items()}
    widths = [weights[f"encoder.{s}.0.weight"].shape[0] for s in range(levels(weights))]
    stages = len(widths)
    fixed = f"encoder.0.{NORM[0]}.running_mean" in weights
    network = PlainConvUNet(
        input_channels=weights["encoder.0.0.weight"].shape[1],
        n_stages=stages,
        features_per_stage=widths,
        conv_op=nn.Conv3d,
        kernel_sizes=[[3, 3, 3]] * stages,
        strides=[[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        n_conv_per_stage=[2] * stages,
        num_classes=len(weights["head.bias"]),
        n_conv_per_stage_decoder=[2] * (stages - 1),
        conv_bias=False,
        norm_op=nn.BatchNorm3d if fixed else nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True, "negative_slope": 0.01},
        deep_supervision=False,
    )
    with torch.no_grad():
        for stage in range(stages):
            fill(network.encoder.stages[stage][0].convs, weights, f"encoder.{stage}")
        for level in range(stages - 1):
            fill(network.decoder.stages[level].convs, weights, f"decoder.{level}")
            reduce = weights[f"reduce.{level}.weight"].transpose(0, 1)
            network.decoder.transpconvs[level].weight.copy_(reduce.expand(-1, -1, 2, 2, 2))
        if "fold.weight" in weights:
            fold, unfold = stem(weights)
            network.encoder.stages[0] = nn.Sequential(fold, network.encoder.stages[0])
            network.decoder.seg_layers[-1] = unfold
        network.decoder.seg_layers[-1].weight.copy_(weights["head.weight"])
        network.decoder.seg_layers[-1].bias.copy_(weights["head.bias"])
    return network.eval()


def stem(weights: dict[str, torch.Tensor]) -> tuple[nn.Conv3d, nn.ConvTranspose3d]:
    """What folds voxels into features, filled, and what unfolds class scores, to be filled."""
    kernel = weights["fold.weight"]
    size = tuple(kernel.shape[2:])
    fold = nn.Conv3d(kernel.shape[1], kernel.shape[0], size, stride=size, bias=False)
    fold.weight.copy_(kernel)
    before, classes = weights["head.weight"].shape[:2]
    return fold, nn.ConvTranspose3d(before, classes, size, stride=size)


def levels(weights: dict[str, torch.Tensor]) -> int:
    """Number of resolutions."""
    return len({name.split(".")[1] for name in weights if name.startswith("encoder.")})


def fill(blocks: nn.ModuleList, weights: dict[str, torch.Tensor], prefix: str) -> None:
    """Give both convolutions of a stage, and their normalizations, their weights."""
    for block, convolution, norm in zip(blocks, CONVOLUTION, NORM, strict=True):
        block.conv.weight.copy_(weights[f"{prefix}.{convolution}.weight"])
        for name in ("weight", "bias", "running_mean", "running_var"):
            if f"{prefix}.{norm}.{name}" in weights:
                getattr(block.norm, name).copy_(weights[f"{prefix}.{norm}.{name}"])


def difference(file: str, example: str) -> float:
    """Largest difference of logits between this network and renalis' own on one example."""
    data = np.load(example)
    with torch.inference_mode():
        logits = plain_unet(file)(torch.from_numpy(data["image"])).numpy()
    return float(np.abs(logits - data["logits"]).max())
