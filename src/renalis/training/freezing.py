"""Frozen layers: parts of a network that are not trained for a while."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from renalis.errors import InputError

__all__ = ["Freezing", "freeze", "train_mode"]


@dataclass(frozen=True)
class Freezing:
    """Which parts stand still.

    Parameters
    ----------
    frozen : tuple of str
        Beginnings of parameter names, such as ``"low."``; none of these is trained ...
    learning : tuple of str
        ... except those whose name begins with one of these.
    """

    frozen: tuple[str, ...] = ()
    learning: tuple[str, ...] = ()

    def holds(self, name: str) -> bool:
        """Whether the parameter or module of this name stands still."""
        return name.startswith(self.frozen) and not name.startswith(self.learning)


def freeze(network: nn.Module, freezing: Freezing) -> None:
    """Freeze all parameters but those that should be trained.

    Raises
    ------
    InputError
        If a beginning fits no parameter, or nothing is left to train.
    """
    names = [name for name, _ in network.named_parameters()]
    for prefix in freezing.frozen + freezing.learning:
        if not any(name.startswith(prefix) for name in names):
            raise InputError(
                f"no parameter of the network begins with {prefix!r}; "
                "correct the round's frozen or learning parts"
            )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not freezing.holds(name))
    if all(freezing.holds(name) for name in names):
        raise InputError("every parameter is frozen; a round needs something to train")


def train_mode(network: nn.Module, freezing: Freezing) -> None:
    """Training mode, except for frozen parts: no dropout there, batch statistics stand still."""
    network.train()
    for name, module in network.named_modules():
        # Only layers: a block that holds both kinds may use its own mode for other reasons.
        if next(module.children(), None) is None and freezing.holds(f"{name}."):
            module.eval()
