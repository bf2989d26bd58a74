"""A run's folder: the recipe that is stored in it, its folds, and who may write into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.disk_failures import check_not_gone
from renalis.errors import InputError, RenalisError
from renalis.io import write_text
from renalis.io.lock import held
from renalis.recipes import stored_system, stored_text
from renalis.recipes.system import System
from renalis.systems.longer_training import with_longer_training

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = [
    "check_recipe",
    "fold_folder",
    "fold_numbers",
    "is_finished",
    "locked_folder",
    "on_first_process",
    "refuse_other_training",
    "store_recipe",
]

_NAME = "recipe.json"
_PATIENCE_S = 10.0
"""Folds of a killed training end within moments."""


def on_first_process(fabric: Fabric, act: Callable[[], object]) -> None:
    """Let the first process act; what it raises is raised in all of them.

    Further processes are started with the same command: what the first one has stored would be
    another training to them.

    Raises
    ------
    RenalisError
        Whatever ``act`` raises.
    """
    problem: RenalisError | None = None
    if fabric.global_rank == 0:
        try:
            act()
        except RenalisError as error:
            problem = error
    problem = fabric.broadcast(problem)
    if problem is not None:
        raise problem


def refuse_other_training(run: Path, system: System, resume: bool) -> None:
    """Refuse a folder that holds another training; nothing is written.

    Raises
    ------
    InputError
        If there is a training that is not resumed, or one with another recipe that this one does
        not only train on, see `renalis.systems.longer_training`.
    """
    if not (run / _NAME).exists():
        return
    if not resume:
        raise InputError(f"{run} holds a training; add --resume or choose another folder")
    # Not their texts: a field that came later has its default. What it says about scores is for
    # the reader.
    try:
        stored = with_longer_training(stored_system(run), system)
    except InputError as error:
        raise InputError(f"{run}: {error}") from error
    if stored.model_copy(update={"evaluation": system.evaluation}) != system:
        raise InputError(
            f"{run} was started with another recipe; see `renalis recipe diff`, or choose "
            "another folder"
        )


def store_recipe(run: Path, system: System, there: bool = False) -> None:
    """Note in a run's folder what is trained there, after `refuse_other_training`.

    Parameters
    ----------
    run : Path
    system : System
    there : bool
        Whether the folder was there already: it is not made anew then.

    Raises
    ------
    OutputError
        If the folder cannot be written, or is gone.
    """
    if there:
        check_not_gone(run)
    if (run / _NAME).exists():
        stored = stored_system(run)
        kept = with_longer_training(stored, system)
        if kept == stored:
            return
        system = kept
    write_text(run / _NAME, stored_text(system))


def check_recipe(run: Path) -> None:
    """Refuse to go on where the recipe was stored and is not any more; see `check_not_gone`."""
    check_not_gone(run / _NAME)


def fold_folder(run: Path, fold: int) -> Path:
    """Where a fold's weights are."""
    return run / f"fold_{fold}"


def fold_numbers(run: Path) -> list[int]:
    """Of the folds in a run's folder; copies that somebody keeps next to them are not folds."""
    found = (
        re.fullmatch(r"fold_(0|[1-9][0-9]*)", path.name) for path in run.iterdir() if path.is_dir()
    )
    return sorted(int(name[1]) for name in found if name)


def is_finished(system: System, run: Path, fold: int) -> bool:
    """Whether all networks of a fold are trained."""
    folder = fold_folder(run, fold)
    return all((folder / f"{stage.name}.safetensors").exists() for stage in system.all_stages())


@contextmanager
def locked_folder(folder: Path, fabric: Fabric) -> Iterator[None]:
    """Keep a second training out of a fold's folder, for all processes of this one.

    Two would write the same files in turns, and the fold would end as a mixture of both.

    Raises
    ------
    InputError
        If another training works there.
    """
    with ExitStack() as stack:

        def hold() -> None:
            busy = f"another training works in {folder}; wait for its end, or end it and resume"
            stack.enter_context(held(folder, busy, _PATIENCE_S))

        on_first_process(fabric, hold)
        yield
