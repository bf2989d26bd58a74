"""The settings of one training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from renalis.recipes.system import System
from renalis.training.history import History
from renalis.training.rounds import Round

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """The settings of one training.

    Attributes
    ----------
    system : System
        The recipe, switches applied.
    data : Path
        The dataset.
    run : Path
        The run's folder.
    kind : str
        Kind of the dataset; ``auto`` finds out.
    split : Path or None
        A stored split to use in place of the recipe's own.
    cache : Path or None
        Folder of prepared cases; in the run's folder by default.
    resume : bool
        Go on where an earlier call stopped.
    workers : int
        Processes that prepare batches.
    scores : frozenset of str
        Validation scores to log in addition to those that the recipe needs.
    on_epoch : callable, optional
        Called with a stage's name, its round and the round's epochs after each epoch and on
        resuming; what it raises ends the training of one fold.
    start_from : str, optional
        Name or file of a model whose weights are the first ones.
    slices : tuple of Path
        Files of single real slices to train with.
    tensorboard : bool
        Also write event files for TensorBoard, next to each round's metrics.
    cache_bytes : int, optional
        How large the folder of prepared cases may be, from now on; its own limit, if it has one,
        when not given.
    """

    system: System
    data: Path
    run: Path
    kind: str = "auto"
    split: Path | None = None
    cache: Path | None = None
    resume: bool = False
    workers: int = 0
    scores: frozenset[str] = frozenset()
    on_epoch: Callable[[str, Round, History], None] | None = None
    start_from: str | None = None
    slices: tuple[Path, ...] = ()
    tensorboard: bool = False
    cache_bytes: int | None = None

    @property
    def prepared_cases(self) -> Path:
        """Folder of prepared cases."""
        return self.cache or self.run / "prepared"
