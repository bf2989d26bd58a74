"""The loss: a weighted sum of terms, each about one output of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from renalis.training.losses.registry import Term
from renalis.training.losses.shapes import to_resolution

__all__ = ["LossTerm", "total_loss"]

Outputs = Mapping[str, Tensor | Sequence[Tensor]]


@dataclass(frozen=True)
class LossTerm:
    """One summand: ``weight`` times a term about one output.

    Parameters
    ----------
    name : str
        Under which its value is logged; unique in a loss.
    term : Term
        For example ``CrossEntropy((0.5, 1.0, 1.5))``.
    weight : float
        Its factor in the sum.
    output : str
        The network's output, and its target: "seg", "low" or "cls".
    pixel_weights : str, optional
        Name of the target that holds a weight per voxel (N, ...).
    deep_weights : tuple of float
        Deep supervision: factors of the same term on ``outputs["deep"]``, from the finest of the
        lower resolutions on. The factors with the full resolution's 1 are scaled to sum to 1.
    """

    name: str
    term: Term
    weight: float = 1.0
    output: str = "seg"
    pixel_weights: str | None = None
    deep_weights: tuple[float, ...] = field(default=())

    def value(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """The term's value before ``weight``; a scalar."""
        logits = outputs[self.output]
        assert isinstance(logits, Tensor), f"the output {self.output!r} is not a tensor"
        target = targets[self.output]
        weights = targets[self.pixel_weights] if self.pixel_weights else None
        value = self.term(logits, target, weights)
        if not self.deep_weights:
            return value
        lower = outputs["deep"]
        if len(lower) != len(self.deep_weights):
            raise ValueError(
                f"{len(self.deep_weights)} deep weights were given, "
                f"the network has {len(lower)} lower resolutions"
            )
        for factor, small in zip(self.deep_weights, lower, strict=True):
            shape = small.shape[2:]
            value = value + factor * self.term(
                small,
                to_resolution(target, shape),
                None if weights is None else to_resolution(weights, shape),
            )
        return value / (1 + sum(self.deep_weights))


def total_loss(
    terms: Sequence[LossTerm], outputs: Outputs, targets: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of all terms, and each term's own value.

    Parameters
    ----------
    terms : sequence of LossTerm
    outputs : mapping of str to Tensor
        Logits of the network, (N, K, ...) each; "deep" is a list of them.
    targets : mapping of str to Tensor
        Label maps (N, ...), weights (N, ...) and numbers (N, 1) by name.

    Returns
    -------
    total : Tensor
        Scalar with gradient.
    parts : dict of str to Tensor
        Scalars without gradient, before their factors.

    Raises
    ------
    ValueError
        If there are no terms, two have one name, or shapes do not fit.
    KeyError
        If an output or a target is missing.
    """
    if not terms or len({term.name for term in terms}) != len(terms):
        raise ValueError("a loss needs at least one term, and every term its own name")
    values = [term.value(outputs, targets) for term in terms]
    total = torch.stack([t.weight * v for t, v in zip(terms, values, strict=True)]).sum()
    return total, {t.name: v.detach() for t, v in zip(terms, values, strict=True)}
