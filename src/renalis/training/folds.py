"""Folds: the same training on each, over the devices there are.

Each fold is a process of its own, so nothing of one fold is left over for the next, and each
device has one fold at a time. It ends with the process that started it, however that ends: what is
killed outright has no time to end others.
"""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from renalis.child_processes import end_with_parent
from renalis.errors import InputError, RenalisError
from renalis.signals import Ended
from renalis.training.devices import Devices

__all__ = ["refuse_failed", "run_folds"]

FoldTraining = Callable[[int, Devices], None]


def run_folds(
    train: FoldTraining,
    folds: Sequence[int],
    devices: Sequence[Devices],
    report: Callable[[str], None] = print,
) -> None:
    """Train all folds; as many at the same time as there are entries in ``devices``.

    Parameters
    ----------
    train : callable
        ``train(fold, devices)``, a function of a module (it is imported in the new processes). It
        should resume, so that folds that are finished end at once when all are started again.
    folds : sequence of int
        Their numbers.
    devices : sequence of Devices
        One entry per fold at a time, such as `renalis.training.devices.devices_here`.
    report : callable
        Takes a line when a fold begins or ends.

    Raises
    ------
    InputError
        If a fold failed; the others are trained to their end first.
    """
    if not devices:
        raise ValueError("folds need at least one device")
    context = multiprocessing.get_context("spawn")
    ahead, free = deque(folds), deque(devices)
    running: dict[int, tuple[int, Devices, SpawnProcess, Connection]] = {}
    failed: dict[int, str] = {}
    try:
        while ahead or running:
            while ahead and free:
                fold, place = ahead.popleft(), free.popleft()
                ours, theirs = context.Pipe(duplex=False)
                # Not a daemon: the training may have loader processes of its own.
                process = context.Process(target=_train, args=(train, fold, place, theirs))
                process.start()
                theirs.close()
                running[process.sentinel] = (fold, place, process, ours)
                report(f"fold {fold} begins")
            for sentinel in wait(list(running)):
                assert isinstance(sentinel, int)
                fold, place, process, ours = running.pop(sentinel)
                process.join()
                free.append(place)
                if process.exitcode:
                    failed[fold] = _last_words(ours, process.exitcode)
                report(f"fold {fold} failed" if process.exitcode else f"fold {fold} is done")
                ours.close()
    finally:
        for _, _, process, _ in running.values():
            process.terminate()
            process.join()
    refuse_failed(failed)


def refuse_failed(failed: Mapping[int, str]) -> None:
    """Say which folds failed and why.

    Raises
    ------
    InputError
        If there are any.
    """
    if failed:
        raise InputError("; ".join(f"fold {fold}: {why}" for fold, why in sorted(failed.items())))


def _train(train: FoldTraining, fold: int, devices: Devices, parent: Connection) -> None:
    end_with_parent()
    try:
        train(fold, devices)
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"renalis: fold {fold}: {stop}\n")
        sys.exit(stop.exit_code if isinstance(stop, Ended) else 1)
    except RenalisError as error:
        parent.send_bytes(str(error).encode())
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        parent.send_bytes(f"{type(error).__name__}: {error}".encode())
        sys.exit(3)


def _last_words(connection: Connection, exit_code: int) -> str:
    try:
        if connection.poll():
            return connection.recv_bytes().decode()
    except EOFError:
        pass
    return f"its process ended with code {exit_code}; resume to go on with it"
