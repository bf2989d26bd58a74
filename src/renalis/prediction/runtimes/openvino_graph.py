"""Networks as OpenVINO's graphs.

The network's graph, as torch.fx traces it, is built operation by operation with OpenVINO's own
operation set. OpenVINO's converter is not used; see `renalis.prediction.runtimes.quiet_openvino`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from renalis.networks.unet import PooledNorm3d
from renalis.prediction.runtimes.quiet_openvino import op, ov
from renalis.prediction.runtimes.tracing import (
    UnsupportedNetwork,
    float_array,
    nearest_scale,
    walked,
)

__all__ = ["export", "openvino_graph"]


def openvino_graph(network: nn.Module, shape: Sequence[int]) -> Any:
    """The network, with a softmax at its end, as an OpenVINO model.

    Parameters
    ----------
    network : Module
        Gives logits (N, 4, Z, Y, X).
    shape : sequence of int
        C, Z, Y, X of what it sees; a batch may have any size.

    Raises
    ------
    UnsupportedNetwork
        If it contains an operation that cannot be translated.
    """
    image = op.parameter([-1, *shape], np.float32, "image")
    logits = walked(network, image, _MODULES, _function)
    return ov.Model([op.softmax(logits, 1)], [image], "renalis")


def export(
    network: nn.Module, shape: Sequence[int], path: Path, notes: dict[str, str] | None = None
) -> None:
    """Write the network as an OpenVINO model (``.xml`` and ``.bin``), in float32, with notes."""
    graph = openvino_graph(network, shape)
    for name, text in (notes or {}).items():
        graph.set_rt_info(text, ["renalis", name])
    ov.save_model(graph, path, compress_to_fp16=False)


def _per_channel(tensor: torch.Tensor) -> Any:
    return op.constant(float_array(tensor).reshape(1, -1, 1, 1, 1))


def _convolution(layer: nn.Conv3d, x: Any) -> Any:
    if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UnsupportedNetwork("a grouped or specially padded convolution")
    pads = list(layer.padding)
    weight = op.constant(float_array(layer.weight))
    y = op.convolution(x, weight, list(layer.stride), pads, pads, list(layer.dilation))
    return y if layer.bias is None else op.add(y, _per_channel(layer.bias))


def _transposed_convolution(layer: nn.ConvTranspose3d, x: Any) -> Any:
    if layer.groups != 1 or any(layer.output_padding):
        raise UnsupportedNetwork("a grouped or specially padded transposed convolution")
    assert isinstance(layer.padding, tuple)
    pads = list(layer.padding)
    weight = op.constant(float_array(layer.weight))
    y = op.convolution_backprop_data(
        x,
        weight,
        list(layer.stride),
        pads_begin=pads,
        pads_end=pads,
        dilations=list(layer.dilation),
    )
    return y if layer.bias is None else op.add(y, _per_channel(layer.bias))


def _instance_norm(layer: nn.InstanceNorm3d, x: Any) -> Any:
    if layer.track_running_stats:
        raise UnsupportedNetwork("a normalization with running statistics")
    pooled = isinstance(layer, PooledNorm3d)
    axes = op.constant(np.array([0, 2, 3, 4] if pooled else [2, 3, 4], np.int64))
    y = op.mvn(x, axes, True, float(layer.eps), "inside_sqrt")
    if layer.affine:
        y = op.add(op.multiply(y, _per_channel(layer.weight)), _per_channel(layer.bias))
    return y


def _leaky_relu(layer: nn.LeakyReLU, x: Any) -> Any:
    return op.prelu(x, op.constant(np.array([layer.negative_slope], np.float32)))


_MODULES: dict[type[nn.Module], Callable[[Any, Any], Any]] = {
    nn.Conv3d: _convolution,
    nn.ConvTranspose3d: _transposed_convolution,
    nn.InstanceNorm3d: _instance_norm,
    PooledNorm3d: _instance_norm,
    nn.LeakyReLU: _leaky_relu,
    nn.ReLU: lambda _, x: op.relu(x),
    nn.Identity: lambda _, x: x,
}


def _function(function: Any, args: Any, options: Any) -> Any:
    """Translate one call in the network's ``forward``."""
    if function is torch.cat:
        return op.concat(list(args[0]), options.get("dim", args[1] if len(args) > 1 else 0))
    factor = nearest_scale(function, options)
    if factor is not None:
        scales = op.constant(np.full(3, factor, np.float32))
        axes = op.constant(np.array([2, 3, 4], np.int64))
        return op.interpolate(
            args[0], scales, "nearest", "scales", axes=axes,
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
    if getattr(function, "__name__", "") in ("add", "iadd"):
        return op.add(args[0], args[1])
    raise UnsupportedNetwork(str(function))
