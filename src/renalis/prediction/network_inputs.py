"""What the ways of predicting ask of a network: arrays in, probabilities out.

The ways of predicting know nothing of torch. `torch_network` makes a trained module such a
callable; `mean_network` makes one of several, for example of the folds of one recipe.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from renalis.compute_failures import with_freed_memory
from renalis.errors import MemoryWarning

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "Activation",
    "Answers",
    "BatchNetwork",
    "fewer_at_once",
    "mean_network",
    "torch_network",
]

Activation = Literal["softmax", "sigmoid"]

Answers = Mapping[str, NDArray[np.float32]]
"""Probabilities by name: ``seg`` (N, K, [Z,] Y, X), and where a network has them ``low``
(N, 2, Z, Y, X) and ``cls`` (N, 1)."""


class BatchNetwork(Protocol):
    """A network that is ready to compute batches."""

    def __call__(self, *inputs: NDArray[np.float32]) -> Answers:
        """Probabilities for inputs (N, C, [Z,] Y, X); several inputs share their N."""


def torch_network(
    module: nn.Module,
    activations: Mapping[str, Activation],
    *,
    device: str | torch.device = "cpu",
) -> BatchNetwork:
    """Make a trained module a callable on arrays.

    Parameters
    ----------
    module : nn.Module
        Returns a dict of logits, or the tensor of ``seg`` alone. It is moved to ``device`` and set
        to evaluate, so that dropout rests and batch norms use what they learned.
    activations : mapping of str to {"softmax", "sigmoid"}
        Which outputs to return, and how logits become probabilities (softmax over axis 1).
    device : str or torch.device
        Where to compute.
    """
    import torch

    module = module.to(device).eval()
    kind = torch.device(device).type

    def compute(*inputs: NDArray[np.float32]) -> Answers:
        tensors = [torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in inputs]
        # In float32 also while a training computes in reduced precision.
        with torch.inference_mode(), torch.autocast(kind, enabled=False):
            logits = module(*(tensor.to(device) for tensor in tensors))
            if isinstance(logits, torch.Tensor):
                logits = {"seg": logits}
            outputs: dict[str, NDArray[np.float32]] = {}
            for name, activation in activations.items():
                value = logits[name].float()
                value = value.softmax(1) if activation == "softmax" else value.sigmoid()
                outputs[name] = value.cpu().numpy()
        return outputs

    return fewer_at_once(compute)


def fewer_at_once(network: BatchNetwork) -> BatchNetwork:
    """A network that computes a batch in halves where memory does not suffice for it, and says so.

    For networks whose answer for a patch does not depend on the others of its batch: the
    probabilities are the same.
    """

    def compute(*inputs: NDArray[np.float32]) -> Answers:
        try:
            return with_freed_memory(lambda: network(*inputs))
        except MemoryError:
            if len(inputs[0]) == 1:
                raise
        half = -(-len(inputs[0]) // 2)
        warnings.warn(
            f"memory ran out with {len(inputs[0])} patches at a time; they are computed {half} at "
            "a time, to the same labels",
            MemoryWarning,
            stacklevel=2,
        )
        parts = [compute(*(x[part] for x in inputs)) for part in (slice(half), slice(half, None))]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return compute


def mean_network(
    networks: Sequence[BatchNetwork], regions: Sequence[Sequence[int]] = ()
) -> BatchNetwork:
    """One network whose probabilities are the mean of those of several on the same patch.

    This is how the folds of one recipe become an ensemble (recipe ``unet3d-residual``): one grid,
    one pass of cutting and stitching.

    Parameters
    ----------
    networks : sequence of BatchNetwork
        With the same outputs.
    regions : sequence of sequence of int
        Channels of ``seg`` each: for every region a channel is added behind them, the variance
        over the networks of what the region's channels sum up to.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not networks:
        raise ValueError("a mean of no networks")

    def compute(*inputs: NDArray[np.float32]) -> Answers:
        total: dict[str, NDArray[np.float32]] = {}
        moments: NDArray[np.float32] | None = None
        for network in networks:
            answers = network(*inputs)
            for name, value in answers.items():
                if name in total:
                    total[name] += value
                else:
                    total[name] = np.array(value)
            if regions:
                own = np.stack([answers["seg"][:, list(one)].sum(1) for one in regions], axis=1)
                both = np.stack([own, own * own])
                moments = both if moments is None else moments + both
        share = np.float32(1 / len(networks))
        mean = {name: value * share for name, value in total.items()}
        if moments is not None:
            first, second = moments * share
            variance = np.maximum(second - first * first, 0)
            mean["seg"] = np.concatenate([mean["seg"], variance], axis=1)
        return mean

    return compute
