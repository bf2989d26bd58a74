"""The storage of a search: Optuna's journal, one JSON line per change, in ``journal.jsonl``.

Of Optuna's storages this one keeps no pickles, needs no lock file that a killed process leaves
behind, works on network drives (SQLite may not) and has no schema that a new version must convert.
The lines are those of Optuna's own ``JournalFileBackend``, so its tools can read the file; the
backend here differs in that a last line cut short by a crash is dropped in place of spoiling all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from renalis.disk_failures import check_not_gone
from renalis.errors import InputError, OutputError
from renalis.tuning.search import MedianPruner, Search

__all__ = ["JournalLines", "new_study", "open_study"]

NAME = "renalis"


class JournalLines(BaseJournalBackend):
    """Lines of a file; for one process at a time, see `renalis.io.lock`.

    Parameters
    ----------
    path : Path
        Made when it is not there. An unfinished last line is cut off.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = (0, 0)  # number of a line and the byte where it begins
        with _written(path), path.open("ab+") as file:
            file.seek(0)
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Every change from that number on."""
        number, start = self._place if log_number_from >= self._place[0] else (0, 0)
        check_not_gone(self._path)
        with self._path.open("rb") as file:
            file.seek(start)
            for line in file:
                if number >= log_number_from:
                    yield json.loads(line)
                number, start = number + 1, start + len(line)
                self._place = (number, start)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add changes; they are on the disk when this returns."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        check_not_gone(self._path)
        with _written(self._path), self._path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})") from error


def new_study(search: Search) -> optuna.Study:
    """A study in memory whose pruner is the search's."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if isinstance(search.pruner, MedianPruner):
        # Optuna counts steps from 0, the epochs here count from 1.
        pruner = optuna.pruners.MedianPruner(
            search.pruner.startup_trials, search.pruner.warmup_epochs + 1
        )
    return optuna.create_study(direction=_direction(search), pruner=pruner)


def _direction(search: Search) -> Literal["maximize", "minimize"]:
    return "maximize" if search.higher_is_better else "minimize"


def open_study(path: Path, search: Search) -> optuna.Study:
    """The search's study, begun or gone on with.

    Raises
    ------
    InputError
        If the journal is damaged.
    OutputError
        If it cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = JournalStorage(JournalLines(path))
        if not storage.get_all_studies():
            optuna.create_study(
                storage=storage,
                study_name=NAME,
                direction=_direction(search),
            )
        # Values are proposed by `renalis.tuning.search_space`, trials judged by `run_trial`.
        sampler = optuna.samplers.RandomSampler(0)
        return optuna.load_study(study_name=NAME, storage=storage, sampler=sampler)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}: {error}); search again in another folder"
        ) from error
