"""Processes that this one starts: they end with it, however it ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from renalis.errors import InputError
from renalis.signals import ENDING

__all__ = [
    "done_by_processes",
    "end_with_launcher",
    "end_with_parent",
    "killed_with_parent",
    "map_cases",
]

_PR_SET_PDEATHSIG = 1

Item = TypeVar("Item")
Result = TypeVar("Result")


def end_with_parent() -> None:
    """Called in a process of `multiprocessing`: ends it at once when its starter is gone.

    A program that is killed outright has no time to end others. Ctrl-C, which a terminal sends to
    all processes of a command, is left to the starter.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in ENDING:
        # A forked process has its starter's handlers.
        if number != signal.SIGINT and callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    starter = multiprocessing.parent_process()
    if starter is None:
        return

    def watch() -> None:
        starter.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_with_launcher() -> None:
    """Called in a process that another program started as one of several: ends it with that one.

    What is started by ``torchrun``, a scheduler or Lightning is no child of `multiprocessing`; when
    its launcher is gone, it would wait for the others for ever.
    """
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def killed_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent is gone, where it can (Linux).

    A thread that waits for that does so everywhere, but not while something that never gives up
    Python's lock hangs.

    Parameters
    ----------
    parent : int
        The parent's process number; where that is gone already, this process ends at once.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def done_by_processes(
    work: Callable[[Item], Result], items: Sequence[Item], jobs: int
) -> Iterator[tuple[int, Result]]:
    """Numbers of items and what came of them, as they are done.

    Parameters
    ----------
    work : callable
        A function of a module, so that other processes find it.
    items : sequence
        What to work on.
    jobs : int
        Processes; 1 works in this one.

    Raises
    ------
    InputError
        If one of the processes is killed, as the system does when memory runs out.
    """
    if jobs <= 1 or len(items) <= 1:
        yield from enumerate(map(work, items))
        return
    with ProcessPoolExecutor(min(jobs, len(items)), initializer=end_with_parent) as pool:
        futures = {pool.submit(work, item): number for number, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "one of the processes that share the cases was killed, probably because memory "
                "ran out; run again with fewer --jobs"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
