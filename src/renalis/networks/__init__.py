"""Networks: plain ``torch.nn.Module``s built by name from a small configuration.

`UNet`, the shipped model's, returns a tensor; those of the published systems return `Outputs`.
"""

from renalis.networks.cascade3d import Cascade3d
from renalis.networks.pretrained import load_imagenet_encoder
from renalis.networks.quicknat import QuickNat
from renalis.networks.registry import (
    Entry,
    Outputs,
    build,
    parameter_count,
    register,
    registered,
    with_weights,
)
from renalis.networks.resnet34_unet import ResNet34UNet
from renalis.networks.simple_unet import SimpleUNet
from renalis.networks.unet import UNet
from renalis.networks.unet3d import UNet3d
from renalis.networks.valid_unet3d import ValidUNet3d

__all__ = [
    "Cascade3d",
    "Entry",
    "Outputs",
    "QuickNat",
    "ResNet34UNet",
    "SimpleUNet",
    "UNet",
    "UNet3d",
    "ValidUNet3d",
    "build",
    "load_imagenet_encoder",
    "parameter_count",
    "register",
    "registered",
    "with_weights",
]
