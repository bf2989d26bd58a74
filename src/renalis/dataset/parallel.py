"""Map a function over cases, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from renalis.child_processes import done_by_processes

__all__ = ["map_cases"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_cases(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> list[Result]:
    """Results in the order of the items.

    Parameters
    ----------
    work : callable
        A function of a module, so that other processes find it.
    items : sequence
        What to work on.
    jobs : int
        Processes; 1 works in this one.
    progress : callable
        Called after each item with how many are done and how many there are.

    Raises
    ------
    InputError
        If one of the processes is killed.
    """
    results: dict[int, Result] = {}
    for number, result in done_by_processes(work, items, jobs):
        results[number] = result
        progress(len(results), len(items))
    return [results[number] for number in range(len(items))]
