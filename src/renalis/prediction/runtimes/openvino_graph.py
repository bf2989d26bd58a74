"""Networks as OpenVINO's graphs.

The network's graph, as torch.fx traces it, is built operation by operation with OpenVINO's own
operation set. OpenVINO's converter is not used; see `renalis.prediction.runtimes.quiet_openvino`.
Foldings, doublings and concatenations wait for the convolution that follows, which may be able to
do them at once (`renalis.prediction.runtimes.merged_convolutions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from renalis.networks.unet import PooledNorm3d
from renalis.prediction.runtimes.merged_convolutions import after_fold, doubled, unfolded
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
    logits = _made(walked(network, image, _MODULES, _function))
    return ov.Model([op.softmax(logits, 1)], [image], "renalis")


def export(
    network: nn.Module, shape: Sequence[int], path: Path, notes: dict[str, str] | None = None
) -> None:
    """Write the network as an OpenVINO model (``.xml`` and ``.bin``), in float32, with notes."""
    graph = openvino_graph(network, shape)
    for name, text in (notes or {}).items():
        graph.set_rt_info(text, ["renalis", name])
    ov.save_model(graph, path, compress_to_fp16=False)


@dataclass(frozen=True)
class _Folded:
    """An image folded by a convolution without bias whose stride is its kernel; not made yet."""

    layer: nn.Conv3d
    image: Any


@dataclass(frozen=True)
class _Enlarged:
    """Features enlarged by the nearest voxel; not made yet."""

    features: Any
    factor: float


@dataclass(frozen=True)
class _Joined:
    """Features one after the other along the channels; not made yet."""

    parts: tuple[Any, ...]


def _made(x: Any) -> Any:
    """What waited, made."""
    if isinstance(x, _Folded):
        return _convolved(x.layer, float_array(x.layer.weight), x.image)
    if isinstance(x, _Enlarged):
        scales = op.constant(np.full(3, x.factor, np.float32))
        axes = op.constant(np.array([2, 3, 4], np.int64))
        return op.interpolate(
            _made(x.features), scales, "nearest", "scales", axes=axes,
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
    if isinstance(x, _Joined):
        return op.concat([_made(part) for part in x.parts], 1)
    return x


def _per_channel(tensor: torch.Tensor) -> Any:
    return op.constant(float_array(tensor).reshape(1, -1, 1, 1, 1))


def _channels(x: Any) -> int:
    return int(x.get_output_partial_shape(0)[1].get_length())


def _convolution(layer: nn.Conv3d, x: Any) -> Any:
    if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UnsupportedNetwork("a grouped or specially padded convolution")
    if _folds(layer, x):
        return _Folded(layer, x)
    y = _before_bias(layer, x)
    return y if layer.bias is None else op.add(y, _per_channel(layer.bias))


def _before_bias(layer: nn.Conv3d, x: Any) -> Any:
    """A convolution, together with what waits for it."""
    weight = float_array(layer.weight)
    if isinstance(x, _Folded):
        side = x.layer.kernel_size[0]
        if x.layer.in_channels * side**3 < layer.in_channels:
            blocks = op.space_to_depth(x.image, "blocks_first", side)
            return _convolved(layer, after_fold(weight, float_array(x.layer.weight)), blocks)
    if isinstance(x, _Joined | _Enlarged) and _keeps_size(layer):
        parts = x.parts if isinstance(x, _Joined) else (x,)
        if any(map(_doubles, parts)):
            return _sum_over(layer, weight, parts)
    return _convolved(layer, weight, _made(x))


def _sum_over(layer: nn.Conv3d, weight: NDArray[np.float32], parts: Sequence[Any]) -> Any:
    """A 3 x 3 x 3 convolution over joined parts: the sum of one over each part."""
    sums = []
    first = 0
    for part in parts:
        source = _made(part.features if _doubles(part) else part)
        own = np.ascontiguousarray(weight[:, first : first + _channels(source)])
        first += own.shape[1]
        if _doubles(part):
            kernel, two, one = op.constant(doubled(own)), [2] * 3, [1] * 3
            sums.append(
                op.convolution_backprop_data(source, kernel, two, pads_begin=one, pads_end=one)
            )
        else:
            sums.append(_convolved(layer, own, source))
    return reduce(op.add, sums)


def _convolved(layer: nn.Conv3d, weight: NDArray[np.float32], x: Any) -> Any:
    """OpenVINO's convolution with a layer's steps and these weights."""
    pads = list(layer.padding)
    return op.convolution(
        x, op.constant(weight), list(layer.stride), pads, pads, list(layer.dilation)
    )


def _folds(layer: nn.Conv3d, x: Any) -> bool:
    """Whether a convolution takes an image apart into equal cubes, with nothing added."""
    return (
        not isinstance(x, _Folded | _Enlarged | _Joined)
        and layer.bias is None
        and layer.kernel_size == layer.stride
        and len(set(layer.stride)) == 1
        and layer.stride[0] > 1
        and set(layer.padding) == {0}
        and set(layer.dilation) == {1}
    )


def _keeps_size(layer: nn.Conv3d) -> bool:
    """Whether a convolution is 3 x 3 x 3 and leaves the size as it is."""
    steps = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return steps == ((3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1))


def _doubles(part: Any) -> bool:
    return isinstance(part, _Enlarged) and part.factor == 2


def _transposed_convolution(layer: nn.ConvTranspose3d, x: Any) -> Any:
    if layer.groups != 1 or any(layer.output_padding):
        raise UnsupportedNetwork("a grouped or specially padded transposed convolution")
    assert isinstance(layer.padding, tuple)
    pads = list(layer.padding)
    weight = float_array(layer.weight)
    side = layer.stride[0]
    if layer.kernel_size == layer.stride == (side,) * 3 and not any(pads):
        flat = op.convolution(_made(x), op.constant(unfolded(weight)), [1] * 3, pads, pads, [1] * 3)
        if layer.bias is not None:
            flat = op.add(flat, _per_channel(layer.bias.repeat_interleave(side**3)))
        return op.depth_to_space(flat, "depth_first", side)
    y = op.convolution_backprop_data(
        _made(x),
        op.constant(weight),
        list(layer.stride),
        pads_begin=pads,
        pads_end=pads,
        dilations=list(layer.dilation),
    )
    return y if layer.bias is None else op.add(y, _per_channel(layer.bias))


def _instance_norm(layer: nn.InstanceNorm3d, x: Any) -> Any:
    if layer.track_running_stats:
        raise UnsupportedNetwork("a normalization with running statistics")
    x = _made(x)
    if isinstance(layer, PooledNorm3d):
        return _pooled_norm(layer, x)
    axes = op.constant(np.array([2, 3, 4], np.int64))
    y = op.mvn(x, axes, True, float(layer.eps), "inside_sqrt")
    if layer.affine:
        y = op.add(op.multiply(y, _per_channel(layer.weight)), _per_channel(layer.bias))
    return y


def _pooled_norm(layer: PooledNorm3d, x: Any) -> Any:
    """Normalization over the batch, in two passes over the features instead of OpenVINO's four.

    OpenVINO has no kernel for it and would keep the features without their mean.
    """
    axes = op.constant(np.array([0, 2, 3, 4], np.int64))
    mean = op.reduce_mean(x, axes, True)
    off = op.subtract(x, mean)
    # A power is computed together with the subtraction before it, a product would not be.
    variance = op.reduce_mean(op.power(off, op.constant(np.float32(2))), axes, True)
    spread = op.sqrt(op.add(variance, op.constant(np.float32(layer.eps))))
    if not layer.affine:
        return op.divide(off, spread)
    scale = op.divide(_per_channel(layer.weight), spread)
    shift = op.subtract(_per_channel(layer.bias), op.multiply(mean, scale))
    return op.add(op.multiply(x, scale), shift)


def _leaky_relu(layer: nn.LeakyReLU, x: Any) -> Any:
    return op.prelu(_made(x), op.constant(np.array([layer.negative_slope], np.float32)))


_MODULES: dict[type[nn.Module], Callable[[Any, Any], Any]] = {
    nn.Conv3d: _convolution,
    nn.ConvTranspose3d: _transposed_convolution,
    nn.InstanceNorm3d: _instance_norm,
    PooledNorm3d: _instance_norm,
    nn.LeakyReLU: _leaky_relu,
    nn.ReLU: lambda _, x: op.relu(_made(x)),
    nn.Identity: lambda _, x: x,
}


def _function(function: Any, args: Any, options: Any) -> Any:
    """Translate one call in the network's ``forward``."""
    if function is torch.cat:
        dim = options.get("dim", args[1] if len(args) > 1 else 0)
        parts = tuple(args[0])
        return _Joined(parts) if dim == 1 else op.concat([_made(part) for part in parts], dim)
    factor = nearest_scale(function, options)
    if factor is not None:
        return _Enlarged(args[0], factor)
    if getattr(function, "__name__", "") in ("add", "iadd"):
        return op.add(_made(args[0]), _made(args[1]))
    raise UnsupportedNetwork(str(function))
