"""Networks: plain ``torch.nn.Module``s built from a small configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from renalis.networks.unet import UNet

__all__ = ["UNet", "build"]

_NETWORKS: dict[str, type[nn.Module]] = {"unet": UNet}


def build(config: Mapping[str, Any]) -> nn.Module:
    """Build the network that ``config`` describes.

    Parameters
    ----------
    config : mapping
        ``name`` chooses the network, everything else goes to its constructor.

    Raises
    ------
    ValueError
        If there is no network of that name.
    """
    options = dict(config)
    name = options.pop("name", None)
    if name not in _NETWORKS:
        raise ValueError(f"there is no network {name!r}; known are {', '.join(_NETWORKS)}")
    return _NETWORKS[name](**options)
