"""Map a function over cases, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

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
    """
    results: dict[int, Result] = {}
    if jobs <= 1 or len(items) <= 1:
        for number, item in enumerate(items):
            results[number] = work(item)
            progress(number + 1, len(items))
    else:
        with ProcessPoolExecutor(min(jobs, len(items))) as pool:
            futures = {pool.submit(work, item): number for number, item in enumerate(items)}
            try:
                for future in as_completed(futures):
                    results[futures[future]] = future.result()
                    progress(len(results), len(items))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [results[number] for number in range(len(items))]
