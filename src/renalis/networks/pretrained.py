"""ImageNet weights for the ResNet34 encoder, from a file that the user has.

Only safetensors files are read. A ``.pth`` file is a pickle, and even torch's restricted reader
of pickles has let crafted files run code before (CVE-2025-32434). A user who trusts a file
converts it once; the message says how.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from renalis.errors import InputError
from renalis.networks.resnet34_unet import ResNet34Encoder

__all__ = ["adapt_channels", "load_imagenet_encoder"]

_CONVERT = (
    'convert it once, where you trust it: python -c "import torch; '
    "from safetensors.torch import save_file; "
    "save_file(torch.load('resnet34.pth', weights_only=True), 'resnet34.safetensors')\""
)


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Adapt a first convolution made for RGB to another number of input channels.

    Parameters
    ----------
    weight : Tensor, shape (outputs, 3, kernel, kernel)
        The convolution's weights.
    channels : int
        Wanted input channels.

    Returns
    -------
    Tensor, shape (outputs, channels, kernel, kernel)
        For one channel the sum over R, G and B: a gray image gives what it would have given as
        three equal channels. Otherwise R, G, B in turn, scaled by ``3 / channels``. These are the
        rules of ``segmentation_models_pytorch`` (``patch_first_conv``).
    """
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = torch.arange(channels) % weight.shape[1]
    return weight[:, turns] * (weight.shape[1] / channels)


def load_imagenet_encoder(encoder: ResNet34Encoder, path: str | Path) -> None:
    """Put the weights of a torchvision ``resnet34`` into an encoder.

    The classifier (``fc``) is left out. Nothing is changed when the file does not fit.

    Parameters
    ----------
    encoder : ResNet34Encoder
        Its first convolution may have any number of input channels.
    path : path-like
        A ``.safetensors`` file with torchvision's names (``conv1.weight``,
        ``layer1.0.conv1.weight``, ...).

    Raises
    ------
    InputError
        If the file cannot be read, or its weights are not those of a ResNet34.
    """
    path = Path(path)
    if path.suffix.lower() in {".pth", ".pt", ".bin", ".ckpt"}:
        raise InputError(f"{path} is a pickle, which could run code when it is read; {_CONVERT}")
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read as ImageNet weights ({error}); "
            "give a .safetensors file with torchvision's resnet34"
        ) from error
    wanted = encoder.state_dict()
    first = found.get("conv1.weight")
    if first is not None and first.ndim == 4 and first.shape[1] == 3:
        found["conv1.weight"] = adapt_channels(first.float(), wanted["conv1.weight"].shape[1])
    weights: dict[str, Tensor] = {}
    for name, old in wanted.items():
        new = found.get(name)
        if new is None and name.endswith("num_batches_tracked"):
            new = torch.zeros_like(old)  # files older than torch 0.4.1 lack this count
        if new is None:
            raise InputError(f"{path} holds no {name}; give the weights of torchvision's resnet34")
        if new.shape != old.shape:
            raise InputError(
                f"{name} in {path} has shape {tuple(new.shape)} instead of {tuple(old.shape)}; "
                "give the weights of torchvision's resnet34"
            )
        if not torch.isfinite(new).all():
            raise InputError(f"{name} in {path} is not finite; get the file again")
        weights[name] = new
    encoder.load_state_dict(weights)
