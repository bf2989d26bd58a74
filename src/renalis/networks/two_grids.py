"""Networks that see a fine and a coarse patch around the same place at once.

What uses networks asks `two_grids` for this capability and never for a class, so that a network
from elsewhere can have it too.
"""

from __future__ import annotations

from typing import Protocol, TypeGuard

from torch import Tensor, nn

from renalis.networks.registry import Outputs

__all__ = ["CoarseHalf", "FineHalf", "TwoGridNetwork", "two_grids"]


class TwoGridNetwork(Protocol):
    """A network (`torch.nn.Module`) whose ``forward`` takes ``image`` and ``low_image``."""

    ratio: int
    """Fine voxels per coarse voxel along each axis."""

    @property
    def two_grids(self) -> bool:
        """Whether it has both halves; an ablation may have lost the coarse one."""

    def forward_low(self, low_image: Tensor) -> Tensor:
        """Logits (N, 2, ...) of kidney on the coarse grid, from a coarse patch (N, 1, z, y, x)."""

    def forward_fine(self, image: Tensor, low_image: Tensor) -> Outputs:
        """All but ``low``; fine patch (N, 1, Z, Y, X) and coarse patch have one center."""


class _Known(nn.Module, TwoGridNetwork):
    """For the type checker: both a module and a network of two grids."""


def two_grids(network: nn.Module) -> TypeGuard[_Known]:
    """Whether a network sees two grids at once (`TwoGridNetwork`)."""
    return getattr(network, "two_grids", False) is True


class CoarseHalf(nn.Module):
    """The coarse half of a network of two grids alone: ``low`` from ``low_image``.

    Raises
    ------
    ValueError
        If the network sees one grid only.
    """

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = _known(whole)

    def forward(self, low_image: Tensor) -> Outputs:
        """Logits on the coarse grid."""
        return {"low": self.whole.forward_low(low_image)}


class FineHalf(nn.Module):
    """A network of two grids whose coarse half computes no more than the fine prediction needs.

    Raises
    ------
    ValueError
        If the network sees one grid only.
    """

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = _known(whole)

    def forward(self, image: Tensor, low_image: Tensor) -> Outputs:
        """Logits on the fine grid."""
        return self.whole.forward_fine(image, low_image)


def _known(network: nn.Module) -> _Known:
    if not two_grids(network):
        raise ValueError(f"{type(network).__name__} sees one grid only")
    return network
