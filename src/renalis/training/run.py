"""A whole training: bodies, every stage, the model file. Safe to stop and to call again."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from renalis.errors import InputError
from renalis.io import whole_file
from renalis.prediction.heap import keep_freed_memory
from renalis.recipes import Recipe
from renalis.training.bodies import bodies_folder, build_bodies, training_maps
from renalis.training.loop import train_stage
from renalis.training.pack import pack
from renalis.training.workers import join

__all__ = ["train"]


def train(
    recipe: Recipe, data: Path, run: Path, processes: int, report: Callable[[str], None]
) -> Path:
    """Carry out a recipe.

    Parameters
    ----------
    recipe : Recipe
        What to do; stored in the run's folder.
    data : Path
        Folder of KiTS23 label maps.
    run : Path
        The run's folder. A later call with the same folder goes on where this one stopped.
    processes : int
        Processes that share the work; the result depends on their number only by rounding.
    report : callable
        Takes progress lines.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    InputError
        If the folder holds no label maps, or the run was started with another recipe.
    OutputError
        If the recipe cannot be stored.
    """
    maps = training_maps(recipe, data)
    _store(recipe, run / "recipe.json")
    report(f"{len(maps)} label maps to train with; composing {recipe.bodies.count} bodies")
    _together(_build, processes, recipe, data, run)
    for stage in recipe.stages:
        _together(_train, processes, recipe, stage.name, run)
    path = pack(recipe, run)
    report(f"packed {path}")
    return path


def _store(recipe: Recipe, path: Path) -> None:
    """Note what is trained, once: what is there already must be the same."""
    text = recipe.model_dump_json(indent=1).encode()
    if not path.exists():
        with whole_file(path) as file:
            file.write(text)
    elif path.read_bytes() != text:
        raise InputError(
            f"{path.parent} was started with another recipe or other --set; choose another folder "
            "with -o"
        )


def _together(work: Callable[..., None], processes: int, *arguments: object) -> None:
    """Run ``work(rank, processes, meeting_file, *arguments)`` in every process."""
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        if processes == 1:
            work(0, 1, meeting, *arguments)
            return
        context = multiprocessing.get_context("spawn")
        crew = [
            context.Process(target=work, args=(rank, processes, meeting, *arguments))
            for rank in range(processes)
        ]
        for process in crew:
            process.start()
        try:
            for process in crew:
                process.join()
        finally:
            for process in crew:
                process.terminate()
        failed = [process.exitcode for process in crew if process.exitcode]
        if failed:
            raise RuntimeError(f"a training process ended with exit code {failed[0]}")


def _build(rank: int, count: int, _: Path, recipe: Recipe, data: Path, run: Path) -> None:
    torch.set_num_threads(1)
    build_bodies(recipe, data, run, (rank, count))


def _train(rank: int, count: int, meeting: Path, recipe: Recipe, stage: str, run: Path) -> None:
    keep_freed_memory()
    torch.set_num_threads(1)

    def report(line: str) -> None:
        print(line, flush=True)  # noqa: T201 - the progress of a training goes to standard output

    chosen = recipe.stage(stage)
    pool = bodies_folder(run, chosen)
    train_stage(recipe, chosen, pool, run, report, join(rank, count, meeting))
