"""The networks by name: each module registers its own, with a tiny variant that tests sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypedDict, TypeVar

from torch import Tensor, nn

__all__ = ["Entry", "Outputs", "build", "parameter_count", "register", "registered"]


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
class Entry:
    """A registered network.

    Attributes
    ----------
    name : str
        What a configuration calls it.
    make : callable
        The constructor.
    tiny : mapping
        Options for a network that a CPU trains in milliseconds.
    inputs : tuple of tuple of int
        Shapes of the arguments of ``forward`` that suit the tiny network.
    """

    name: str
    make: Callable[..., nn.Module]
    tiny: Mapping[str, Any]
    inputs: tuple[tuple[int, ...], ...]


_ENTRIES: dict[str, Entry] = {}
_Network = TypeVar("_Network", bound=type[nn.Module])


def register(
    name: str, *, tiny: Mapping[str, Any], inputs: tuple[tuple[int, ...], ...]
) -> Callable[[_Network], _Network]:
    """Make a network known to `build`; the parameters are those of `Entry`.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def remember(network: _Network) -> _Network:
        if name in _ENTRIES:
            raise ValueError(f"there already is a network {name!r}")
        _ENTRIES[name] = Entry(name, network, MappingProxyType(dict(tiny)), inputs)
        return network

    return remember


def registered() -> Mapping[str, Entry]:
    """All networks by name; cannot be written to."""
    return MappingProxyType(_ENTRIES)


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
    """
    options = dict(config)
    name = options.pop("name", None)
    if name not in _ENTRIES:
        raise ValueError(f"there is no network {name!r}; known are {', '.join(_ENTRIES)}")
    return _ENTRIES[name].make(**options)


def parameter_count(network: nn.Module) -> int:
    """Number of parameters, those that are never trained included."""
    return sum(parameter.numel() for parameter in network.parameters())
