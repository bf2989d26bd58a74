"""A network's graph, walked operation by operation, for those that write it in another language."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn
from torch.nn import functional

__all__ = ["UnsupportedNetwork", "float_array", "nearest_scale", "walked"]


class UnsupportedNetwork(Exception):
    """The network contains an operation that cannot be translated."""


class _Tracer(fx.Tracer):
    """Looks into the network's modules, but not into those that have a translation."""

    def __init__(self, leaves: Collection[type[nn.Module]]) -> None:
        super().__init__()
        self.leaves = leaves

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in self.leaves or super().is_leaf_module(m, module_qualified_name)


def walked(
    network: nn.Module,
    image: Any,
    modules: dict[type[nn.Module], Callable[[Any, Any], Any]],
    function: Callable[[Any, Any, Any], Any],
) -> Any:
    """The network's output, in another language.

    Parameters
    ----------
    network : Module
        With one input.
    image : object
        That input, in the other language.
    modules : dict
        What translates a layer, given it and the value that it sees, by its type.
    function : callable
        Translates a call in the network's ``forward``: what is called, its arguments, its options.

    Raises
    ------
    UnsupportedNetwork
        If it contains an operation that cannot be translated.
    """
    try:
        graph = _Tracer(modules).trace(network.eval())
    except Exception as error:  # tracing runs the network's own code, which may fail in any way
        raise UnsupportedNetwork(f"cannot be traced: {error}") from error
    layers = dict(network.named_modules())
    values: dict[str, Any] = {}
    for node in graph.nodes:
        args = fx.node.map_arg(node.args, lambda n: values[n.name])
        options = fx.node.map_arg(node.kwargs, lambda n: values[n.name])
        if node.op == "placeholder":
            values[node.name] = image
        elif node.op == "call_module":
            layer = layers[str(node.target)]
            if type(layer) not in modules:
                raise UnsupportedNetwork(type(layer).__name__)
            values[node.name] = modules[type(layer)](layer, args[0])
        elif node.op == "call_function":
            values[node.name] = function(node.target, args, options)
        elif node.op == "output":
            return args[0]
        else:
            raise UnsupportedNetwork(f"{node.op} {node.target}")
    raise UnsupportedNetwork("no output")


def float_array(tensor: torch.Tensor) -> NDArray[np.float32]:
    """Weights as an array."""
    return np.ascontiguousarray(tensor.detach().float().numpy())


def nearest_scale(function: Any, options: Any) -> float | None:
    """The factor of an interpolation by the nearest voxel; None for another function.

    Raises
    ------
    UnsupportedNetwork
        If it is another interpolation.
    """
    if function is not functional.interpolate:
        return None
    factor = options.get("scale_factor")
    if options.get("mode", "nearest") != "nearest" or not isinstance(factor, int | float):
        raise UnsupportedNetwork(f"interpolation with {options}")
    return float(factor)
