"""Muon against PyTorch's own, which takes matrices, and against AdamW for everything else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from renalis.training.muon import Muon, orthogonalized


@given(st.integers(2, 40), st.integers(2, 60), st.integers(0, 1000))
def test_a_matrix_becomes_nearly_orthogonal_and_keeps_its_directions(
    rows: int, columns: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, _, right = torch.linalg.svd(
        torch.randn(rows, columns, generator=generator), full_matrices=False
    )
    values = torch.linspace(0.2, 1, len(right))
    got = orthogonalized(left @ torch.diag(values) @ right)
    inside = left.T @ got @ right.T
    assert torch.diag(inside).min() > 0.4
    assert torch.diag(inside).max() < 1.35
    assert (inside - torch.diag(torch.diag(inside))).abs().max() < 0.1


def test_kernels_move_as_pytorchs_muon_moves_matrices() -> None:
    torch.manual_seed(0)
    kernel = nn.Parameter(torch.randn(24, 16, 3, 3, 3))
    matrix = nn.Parameter(kernel.detach().flatten(1).clone())
    ours = Muon([kernel], 0.01, 0.1)
    theirs = torch.optim.Muon(
        [matrix], 0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    before = matrix.detach().clone()
    for _ in range(5):
        gradient = torch.randn(24, 16, 3, 3, 3)
        kernel.grad, matrix.grad = gradient, gradient.flatten(1)
        ours.step()
        theirs.step()
    moved = (matrix - before).norm()
    # Both compute in bfloat16, which they round to at different places.
    assert (kernel.flatten(1) - matrix).norm() < 0.04 * moved


@pytest.mark.parametrize("shape", [(16,), (16, 1, 3, 3, 3), (4, 16, 1, 1, 1), (20, 30)])
def test_everything_else_moves_as_by_adamw(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    ours = nn.Parameter(torch.randn(shape))
    theirs = nn.Parameter(ours.detach().clone())
    one = Muon([ours], 0.01, 0.1)
    two = torch.optim.AdamW([theirs], 0.01, (0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        one.step()
        two.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_parameters_without_a_gradient_stay() -> None:
    frozen = nn.Parameter(torch.ones(16, 16, 3, 3, 3))
    Muon([frozen], 0.01, 0.1).step()
    assert bool((frozen == 1).all())
