"""The networks by name: each module registers its own, with a tiny variant that tests sweep.

Networks of other packages are registered in the same way, with the fields that they have in a
recipe; see ``docs/how-to/add-a-system.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import torch
from torch import Tensor, nn

from renalis.plugins import NETWORKS, Addition

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "Entry",
    "Outputs",
    "build",
    "parameter_count",
    "register",
    "registered",
    "with_weights",
]


class Outputs(TypedDict, total=False):
    """What the published systems' networks return: logits, never probabilities."""

    seg: Tensor
    """Shape (N, K, [Z,] Y, X): the segmentation."""
    low: Tensor
    """Shape (N, 2, Z, Y, X): the low-resolution segmentation of a cascade."""
    cls: Tensor
    """Shape (N, 1): whether the patch contains tumor."""
    deep: list[Tensor]
    """Segmentations of lower resolution, finest first, each (N, K, Z, Y, X)."""


@dataclass(frozen=True)
class Entry(Addition):
    """A registered network.

    Attributes
    ----------
    name : str
        What a configuration calls it.
    make : callable
        The constructor.
    options : type or None
        Its fields in a recipe, where it is not one of renalis's own.
    tiny : mapping
        Options for a network that a CPU trains in milliseconds.
    inputs : tuple of tuple of int
        Shapes of the arguments of ``forward`` that suit the tiny network.
    """

    make: Callable[..., nn.Module]
    tiny: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[tuple[int, ...], ...] = ()


_Network = TypeVar("_Network", bound=type[nn.Module])


def register(
    name: str,
    *,
    options: type[BaseModel] | None = None,
    tiny: Mapping[str, Any] | None = None,
    inputs: tuple[tuple[int, ...], ...] = (),
) -> Callable[[_Network], _Network]:
    """Make a network known to `build` and, if it has ``options``, to recipes.

    Parameters
    ----------
    name, options, tiny, inputs
        See `Entry`; ``options`` is a `renalis.recipes.NetworkOptions`.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def remember(network: _Network) -> _Network:
        NETWORKS.add(Entry(name, network, options, MappingProxyType(dict(tiny or {})), inputs))
        return network

    return remember


def registered() -> Mapping[str, Entry]:
    """The networks of renalis and of packages imported so far, by name; cannot be written to."""
    known = NETWORKS.known().items()
    return MappingProxyType({name: entry for name, entry in known if isinstance(entry, Entry)})


def build(config: Mapping[str, Any]) -> nn.Module:
    """Build the network that ``config`` describes.

    Parameters
    ----------
    config : mapping
        ``name`` chooses the network, everything else goes to its constructor.

    Raises
    ------
    ValueError
        If there is no network of that name, or an option has no meaning for it.
    InputError
        If the package that offers it cannot be used.
    """
    options = dict(config)
    network: nn.Module = NETWORKS.find(str(options.pop("name", None))).make(**options)
    return network


def with_weights(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """A network with the weights of a file that nobody vouches for, ready to predict.

    Parameters
    ----------
    config : mapping
        As for `build`.
    weights : mapping of str to Tensor
        All of its state.

    Raises
    ------
    ValueError, RuntimeError, TypeError, IndexError
        If configuration and weights do not fit each other.
    InputError
        If the package that offers the network cannot be used.
    """
    with torch.device("meta"):  # a hostile configuration costs no memory
        network = build(config)
    network.load_state_dict(weights, strict=True, assign=True)
    if not type(network).__module__.startswith("renalis."):
        # It may have constants besides its state, which are nowhere on that device.
        network = build(config)
        network.load_state_dict(weights, strict=True)
    return network.eval().requires_grad_(False)


def parameter_count(network: nn.Module) -> int:
    """Number of parameters, those that are never trained included."""
    return sum(parameter.numel() for parameter in network.parameters())
