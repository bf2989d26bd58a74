"""Additive attention gates on skip connections (Oktay et al., "Attention U-Net", MIDL 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["AttentionGate"]


class AttentionGate(nn.Module):
    """Weight every voxel of a skip by how relevant the decoder finds it.

    The gating signal is the decoder's features after enlarging, so that both have one size; the
    publication compares at the coarser size and enlarges the weights.

    Parameters
    ----------
    channels : int
        Channels of the skip and of the decoder's features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.skip = nn.Conv3d(channels, inner, 1, bias=False)
        self.gate = nn.Conv3d(channels, inner, 1)
        self.weight = nn.Conv3d(inner, 1, 1)

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        """The skip, weighted; all tensors have shape (N, channels, Z, Y, X)."""
        weight = torch.sigmoid(self.weight(functional.relu(self.skip(skip) + self.gate(gate))))
        return skip * weight
