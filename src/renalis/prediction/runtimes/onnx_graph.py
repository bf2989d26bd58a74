"""Networks as ONNX models, built operation by operation (opset 17)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from renalis.networks.unet import PooledNorm3d
from renalis.prediction.runtimes.tracing import (
    UnsupportedNetwork,
    float_array,
    nearest_scale,
    walked,
)

__all__ = ["onnx_model"]

_OPSET = 17
_IR = 8
"""The version of the file format that came with that opset, for old readers."""


class _Writer:
    """Nodes and constants of a graph in the making; values are known by their names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: NDArray[Any]) -> str:
        """A number or weights."""
        name = f"w{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """An operation's only output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name


def onnx_model(
    network: nn.Module, shape: Sequence[int | None], notes: dict[str, str] | None = None
) -> onnx.ModelProto:
    """The network, with a softmax at its end, as an ONNX model.

    Parameters
    ----------
    network : Module
        Gives logits (N, 4, Z, Y, X).
    shape : sequence of int or None
        C, Z, Y, X of what it sees, None for any; a batch may have any size.
    notes : dict, optional
        Stored with it (``metadata_props``).

    Returns
    -------
    ModelProto
        ``image`` in, ``probability`` out.

    Raises
    ------
    UnsupportedNetwork
        If it contains an operation that cannot be translated.
    """
    write = _Writer()
    modules: dict[type[nn.Module], Callable[[Any, Any], Any]] = {
        kind: lambda layer, x, translate=translate: translate(write, layer, x)  # type: ignore[misc]
        for kind, translate in _MODULES.items()
    }
    logits = walked(network, "image", modules, lambda *call: _function(write, *call))
    write("Softmax", logits, axis=1)
    write.nodes[-1].output[0] = "probability"
    graph = helper.make_graph(
        write.nodes,
        "renalis",
        [_described("image", ["windows", *shape])],
        [_described("probability", ["windows", None, *shape[1:]])],
        write.constants,
    )
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], producer_name="renalis", ir_version=_IR)
    helper.set_model_props(model, notes or {})
    return model


def _described(name: str, shape: list[str | int | None]) -> Any:
    """What goes in or comes out."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _per_channel(write: _Writer, tensor: torch.Tensor) -> str:
    return write.constant(float_array(tensor).reshape(1, -1, 1, 1, 1))


def _convolution(write: _Writer, layer: nn.Conv3d | nn.ConvTranspose3d, x: str) -> str:
    special = layer.padding_mode != "zeros" or isinstance(layer.padding, str)
    if layer.groups != 1 or special or any(layer.output_padding):
        raise UnsupportedNetwork("a grouped or specially padded convolution")
    kind = "ConvTranspose" if isinstance(layer, nn.ConvTranspose3d) else "Conv"
    weights = [write.constant(float_array(layer.weight))]
    if layer.bias is not None:
        weights.append(write.constant(float_array(layer.bias)))
    pads = [int(n) for n in layer.padding] * 2
    return write(
        kind, x, *weights, strides=list(layer.stride), pads=pads, dilations=list(layer.dilation)
    )


def _instance_norm(write: _Writer, layer: nn.InstanceNorm3d, x: str) -> str:
    """By mean and variance: ONNX's own operation has no statistics over a batch."""
    if layer.track_running_stats:
        raise UnsupportedNetwork("a normalization with running statistics")
    axes = [0, 2, 3, 4] if isinstance(layer, PooledNorm3d) else [2, 3, 4]
    away = write("Sub", x, write("ReduceMean", x, axes=axes, keepdims=1))
    variance = write("ReduceMean", write("Mul", away, away), axes=axes, keepdims=1)
    eps = write.constant(np.array(layer.eps, np.float32))
    y = write("Div", away, write("Sqrt", write("Add", variance, eps)))
    if layer.affine:
        scaled = write("Mul", y, _per_channel(write, layer.weight))
        y = write("Add", scaled, _per_channel(write, layer.bias))
    return y


def _leaky_relu(write: _Writer, layer: nn.LeakyReLU, x: str) -> str:
    return write("LeakyRelu", x, alpha=float(layer.negative_slope))


_MODULES: dict[type[nn.Module], Callable[[_Writer, Any, str], str]] = {
    nn.Conv3d: _convolution,
    nn.ConvTranspose3d: _convolution,
    nn.InstanceNorm3d: _instance_norm,
    PooledNorm3d: _instance_norm,
    nn.LeakyReLU: _leaky_relu,
    nn.ReLU: lambda write, _, x: write("Relu", x),
    nn.Identity: lambda _write, _, x: x,
}


def _function(write: _Writer, function: Any, args: Any, options: Any) -> str:
    """Translate one call in the network's ``forward``."""
    if function is torch.cat:
        axis = options.get("dim", args[1] if len(args) > 1 else 0)
        return write("Concat", *args[0], axis=axis)
    factor = nearest_scale(function, options)
    if factor is not None:
        scales = write.constant(np.array([1, 1, factor, factor, factor], np.float32))
        return write(
            "Resize", args[0], "", scales, mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
    if getattr(function, "__name__", "") in ("add", "iadd"):
        return write("Add", args[0], args[1])
    raise UnsupportedNetwork(str(function))
