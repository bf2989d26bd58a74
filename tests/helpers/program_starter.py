"""A process that has imported what programs need, and forks one whenever a test starts one.

Nearly all of a short program's time is imports. ``python -m helpers.program_starter FD`` does them
once per test worker; `helpers.programs` speaks with it. Each program is a process of its own: own
arguments, folder, environment, streams and signals. Nothing is computed and no thread is started
before the fork, so each begins as if from nothing. It ends as the interpreter does, except that
nothing is freed: that would touch all objects of all modules, and so copy the memory that programs
share, which took 0.4 CPU seconds each. A word after FD leaves the imports out.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import types
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["SAME_FOR_ALL", "import_all", "thread_count"]

SAME_FOR_ALL = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED")
"""Variables that are read once, when Python or a library is loaded; a program that needs others has
to be started from nothing."""

OTHERS = ("torch", "lightning_fabric", "scipy.optimize", "scipy.interpolate", "skimage.measure",
          "pydicom", "nibabel", "jinja2", "highdicom", "optuna", "fastapi", "uvicorn",
          "pynetdicom")  # fmt: skip


@dataclass
class Begun:
    """A program that runs; `reins` leads to the test that started it."""

    pid: int
    reins: socket.socket


def import_all() -> None:
    """Import renalis whole, and what it imports late."""
    for name in OTHERS:
        with suppress(ImportError):  # an optional one
            importlib.import_module(name)
    import renalis

    for module in pkgutil.walk_packages(renalis.__path__, "renalis."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(module.name)


def thread_count() -> int:
    """Threads of this process, those that Python does not know of as well."""
    return len(list(Path("/proc/self/task").iterdir()))


def serve(orders: socket.socket) -> dict[str, Any] | None:
    """Fork a program for each order until the tests are over; in such a program, its order comes
    back."""
    begun: list[Begun] = []
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    with selectors.DefaultSelector() as selector:
        for source in (orders, woken):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    with suppress(BlockingIOError):
                        woken.recv(4096)
                elif key.fileobj is orders:
                    _, descriptors, _, _ = socket.recv_fds(orders, 1, 4)
                    if not descriptors:
                        _kill(begun)
                        return None
                    reins = socket.socket(fileno=descriptors[0])
                    with reins.makefile("r", encoding="utf-8") as text:
                        order = json.loads(text.readline())
                    pid = os.fork()
                    if pid == 0:
                        signal.set_wakeup_fd(-1)
                        for end in (orders, woken, wake, reins, *(one.reins for one in begun)):
                            end.close()
                        _become(order, descriptors[1:])
                        return order
                    for descriptor in descriptors[1:]:
                        os.close(descriptor)
                    begun.append(Begun(pid, reins))
                    selector.register(reins, selectors.EVENT_READ)
                    reins.sendall(f"{pid}\n".encode())
                else:  # the test has let go of its program, or is dead
                    _kill([one for one in begun if one.reins is key.fileobj])
            for one in [one for one in begun if _has_ended(one)]:
                selector.unregister(one.reins)
                one.reins.close()
                begun.remove(one)


def _kill(begun: list[Begun]) -> None:
    for one in begun:
        os.kill(one.pid, signal.SIGKILL)


def _has_ended(one: Begun) -> bool:
    """Whether a program has ended; tells the test how."""
    pid, status = os.waitpid(one.pid, os.WNOHANG)
    if pid == 0:
        return False
    with suppress(OSError):  # the test has let go of it
        one.reins.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    return True


def _become(order: dict[str, Any], streams: list[int]) -> None:
    """Make of a fork the process that the order asks for."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(order["folder"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(order["environment"])
    after = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [
        "" if order["kind"] == "-c" else order["folder"],
        *filter(None, after),
        *(place for place in sys.path[1:] if place not in before),
    ]
    importlib.invalidate_caches()


def run(order: dict[str, Any]) -> None:
    """Run what the order asks for as `python` does."""
    kind, what = order["kind"], order["what"]
    sys.argv = ["-c" if kind == "-c" else what, *order["words"]]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    exec(compile(what, "<string>", "exec"), main.__dict__)


def run_to_the_end(order: dict[str, Any]) -> None:
    """Run what the order asks for, and end this process."""
    code, interrupted = 0, False
    try:
        run(order)
    except SystemExit as end:
        if isinstance(end.code, int):
            code = end.code & 255
        elif end.code is not None:
            sys.stderr.write(f"{end.code}\n")
            code = 1
    except BaseException as error:
        code, interrupted = 1, type(error) is KeyboardInterrupt  # as Python asks
        sys.excepthook(type(error), error, error.__traceback__)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError:
            code = 120
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


def _main() -> None:
    orders = socket.socket(fileno=int(sys.argv[1]))
    os.fsync = lambda _: None  # as in the tests, see conftest
    gc.disable()  # nothing of what is imported becomes garbage
    if len(sys.argv) == 2:
        import_all()
    if thread_count() != 1:
        sys.exit("what programs import starts threads: they cannot be forked")
    gc.freeze()  # the programs share this memory
    gc.enable()
    order = serve(orders)
    if order is not None:
        run_to_the_end(order)


if __name__ == "__main__":
    _main()
