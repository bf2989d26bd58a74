"""Muon: momentum whose matrices are made orthogonal before they move the weights.

K. Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024); step sizes as in Liu et
al., "Muon is scalable for LLM training" (arXiv 2502.16982, 2025), so that AdamW's learning rates
fit. PyTorch's own takes two-dimensional parameters only; here a convolution's kernel is a matrix
with one row per output channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalized"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_LEAST_SIDE = 16
"""Kernels with fewer input or output channels are left to AdamW: too few directions to balance."""


class Muon(torch.optim.Optimizer):
    """Muon for the inner convolutions of a network, AdamW for everything else.

    Parameters
    ----------
    parameters : iterable of Parameter
        What to move. Kernels with at least 16 input and output channels are *inner*.
    lr : float
        Learning rate of both parts.
    weight_decay : float
        Decoupled, as in AdamW.
    momentum : float
        Of the kernels' gradients, with Nesterov's look ahead.
    betas, eps
        AdamW's, for everything else.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
    ) -> None:
        inner: list[nn.Parameter] = []
        other: list[nn.Parameter] = []
        for parameter in parameters:
            (inner if _is_inner(parameter) else other).append(parameter)
        groups = [{"params": inner, "inner": True}, {"params": other, "inner": False}]
        super().__init__(
            [group for group in groups if group["params"]],
            {
                "lr": lr,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "betas": betas,
                "eps": eps,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient; ``closure``, if given, is computed before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            move = self._move_inner if group["inner"] else self._move_other
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    move(parameter, parameter.grad, group)
        return loss

    def _move_inner(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
        state["mean"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(state["mean"], group["momentum"]).flatten(1)
        change = orthogonalized(ahead)
        # 0.2 is the root mean square of AdamW's usual changes.
        scale = 0.2 * max(change.shape) ** 0.5
        parameter.add_(change.reshape(parameter.shape), alpha=-group["lr"] * scale)

    def _move_other(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        first, second = group["betas"]
        state["step"] += 1
        step = float(state["step"])
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].lerp_(gradient * gradient, 1 - second)
        mean = state["mean"] / (1 - first**step)
        root = (state["square"] / (1 - second**step)).sqrt_()
        parameter.addcdiv_(mean, root.add_(group["eps"]), value=-group["lr"])


def _is_inner(parameter: Tensor) -> bool:
    return parameter.ndim > 2 and min(parameter.shape[:2]) >= _LEAST_SIDE


def orthogonalized(matrix: Tensor) -> Tensor:
    """The matrix with singular values near 1, by Newton and Schulz's iteration.

    Parameters
    ----------
    matrix : Tensor, shape (rows, columns), float32
        Any matrix.

    Returns
    -------
    Tensor, same shape, float32
        Singular values between about 0.7 and 1.2, singular vectors as before.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if tall else matrix
    # The iteration bears bfloat16, as in Jordan's own program, which takes half the time.
    wide = (wide / (wide.norm() + 1e-7)).bfloat16()
    for _ in range(_ITERATIONS):
        square = wide @ wide.T
        wide = a * wide + (b * square + c * (square @ square)) @ wide
    whole: Tensor = wide.float()
    return whole.T if tall else whole
