"""The loss: a weighted sum of terms, each about one output of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from renalis.training.terms.overlap import Dice, Tversky
from renalis.training.terms.renal import RenalCrossEntropyDice
from renalis.training.terms.shapes import to_resolution
from renalis.training.terms.voxels import BinaryCrossEntropy, CrossEntropy, Focal, SquaredError

__all__ = ["LossTerm", "Term", "build_term", "total_loss"]

Outputs = Mapping[str, Tensor | Sequence[Tensor]]


class Term(Protocol):
    """What every kind of term can do."""

    def __call__(self, logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor: ...


_KINDS: dict[str, type[Any]] = {
    "dice": Dice,
    "tversky": Tversky,
    "ce": CrossEntropy,
    "bce": BinaryCrossEntropy,
    "focal": Focal,
    "mse": SquaredError,
    "renal_ce_dice": RenalCrossEntropyDice,
}


def build_term(kind: str, **options: Any) -> Term:
    """The term called ``kind`` with its options.

    Parameters
    ----------
    kind : {"dice", "tversky", "ce", "bce", "focal", "mse", "renal_ce_dice"}
    **options
        Fields of the term's class.

    Raises
    ------
    ValueError
        If there is no such term or it has no such option.
    """
    if kind not in _KINDS:
        raise ValueError(f"there is no loss term {kind!r}; known are {', '.join(_KINDS)}")
    try:
        term: Term = _KINDS[kind](**options)
    except TypeError as error:
        raise ValueError(f"loss term {kind}: {error}") from error
    return term


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
