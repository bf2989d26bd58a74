"""Try inputs in a process of their own, which may crash, hang, or ask for too much.

A parent forks a worker from itself once all code is loaded. The worker says before each input
which one it is; when it dies or is silent for too long, that input is the finding, and another
worker goes on with the next.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzzing.kinds import KINDS, Target, random_of
from renalis.errors import RenalisError

__all__ = ["Limits", "Outcome", "outcome_of", "tried"]

_LARGEST_FILE = 64 << 20
_WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink",
           "os.truncate", "os.chmod", "shutil.move")  # fmt: skip
_PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system")


@dataclass(frozen=True)
class Limits:
    """What an input may cost: CPU seconds, and MB of address space beyond what is loaded.

    Six times as many seconds on the clock: the machine may be busy, and a hang may sleep.
    """

    seconds: float
    memory_mb: int


@dataclass(frozen=True)
class Outcome:
    """How an input ended; ``finding`` is empty where that is as it should be."""

    kind: str
    number: int
    changes: tuple[str, ...] = ()
    said: str = ""
    finding: str = ""
    seconds: float = 0.0
    peak_mb: float = 0.0


def tried(
    kind: str, seed: int, numbers: Iterable[int], limits: Limits, output: Path
) -> list[Outcome]:
    """Try inputs of one kind, and keep those that were not borne below ``output/findings``."""
    memory = Path("/dev/shm")  # disks of busy machines stall
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=place) as scratch:
        return _tried(kind, seed, list(numbers), limits, output, Path(scratch).resolve())


def _tried(
    kind: str, seed: int, waiting: list[int], limits: Limits, output: Path, scratch: Path
) -> list[Outcome]:
    """See `tried`."""
    (scratch / "shared").mkdir()
    context = multiprocessing.get_context("fork")
    target = KINDS[kind].target(scratch / "shared")
    outcomes: list[Outcome] = []
    while waiting:
        here, there = context.Pipe()
        worker = context.Process(
            target=_work, args=(there, target, kind, seed, waiting, limits, scratch, output)
        )
        worker.start()
        there.close()
        found, ended = _watched(here, worker, 6 * limits.seconds)
        outcomes += found
        if ended:
            outcomes.append(Outcome(kind, waiting[len(found)], _changes(scratch), finding=ended))
            _keep(output, outcomes[-1], scratch)
        waiting = waiting[len(found) + bool(ended) :]
    return outcomes


def _watched(pipe: Connection, worker: Any, seconds: float) -> tuple[list[Outcome], str]:
    """What a worker says until it ends; how it ended if that is a finding."""
    outcomes: list[Outcome] = []
    began, patience = False, 60.0  # until it has begun
    while True:
        try:
            if not pipe.poll(patience):
                if not began:
                    raise RuntimeError("the worker does not begin")
                worker.kill()
                worker.join()
                return outcomes, f"hang: more than {patience:.0f} s"
            said = pipe.recv()
        except EOFError:
            worker.join()
            code = worker.exitcode or 0
            if not began:
                raise RuntimeError(f"the worker does not begin ({code})") from None
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return outcomes, f"crash: {name}"
        if said is None:
            worker.join()
            return outcomes, ""
        if isinstance(said, Outcome):
            outcomes.append(said)
        patience, began = seconds, True


def _work(
    pipe: Connection,
    target: Target,
    kind: str,
    seed: int,
    numbers: list[int],
    limits: Limits,
    scratch: Path,
    output: Path,
) -> None:
    """The worker."""
    errors = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # decoders write their complaints there
        os.dup2(errors, stream)
    outside: list[str] = []
    target.begin()
    folder = scratch / "input"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, _too_long)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    room = _address_space() + (limits.memory_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    sys.addaudithook(_guard(scratch, output, outside))
    os.chdir(folder)
    for number in numbers:
        pipe.send("begins")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        os.chdir(folder)
        (scratch / "changes").write_text("while it is made")
        signal.setitimer(signal.ITIMER_PROF, limits.seconds)
        changes = target.make(random_of(kind, seed, number), folder)
        (scratch / "changes").write_text("\n".join(changes))
        outside.clear()
        signal.setitimer(signal.ITIMER_PROF, limits.seconds)
        began = time.process_time()
        said, finding = outcome_of(target, folder)
        signal.setitimer(signal.ITIMER_PROF, 0)
        finding = finding or (f"outside: {outside[0]}" if outside else "")
        if finding:
            keep = Outcome(kind, number, tuple(changes), finding=finding)
            _keep(output, keep, scratch)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        spent = time.process_time() - began
        pipe.send(Outcome(kind, number, tuple(changes), said, finding, spent, peak))
    pipe.send(None)
    pipe.close()
    os._exit(0)  # threads of the service need not end


def outcome_of(target: Target, folder: Path) -> tuple[str, str]:
    """What the program says of an input, and what is wrong with that: empty, or in words."""
    try:
        target.use(folder)
    except RenalisError as error:
        said = str(error)
        if "\n" in said or len(said) > 2000:
            return "", f"sentence: {said[:500]}"
        return said, ""
    except _TooLong as error:
        return "", f"hang: it takes too long, at\n{error}"
    except Exception:
        text = traceback.format_exc()
        return "", f"exception: {text[-3000:]}"
    return "accepted", ""


class _TooLong(BaseException):
    """Raised where an input takes longer than allowed, so that its place is seen."""


def _too_long(number: int, frame: Any) -> None:
    place = "".join(traceback.format_stack(frame)[-8:])
    raise _TooLong(place)


def _guard(scratch: Path, output: Path, outside: list[str]) -> Any:
    """An audit hook that notes what is written anywhere else, and programs that are started."""
    allowed = (str(scratch), str(output), "/dev/null")

    def told(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _PROGRAMS:
            outside.append(f"{event} {arguments[0]!r}")
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not writes or isinstance(path, int):
                return
        elif event in _WRITES:
            path = arguments[0]
        else:
            return
        with contextlib.suppress(TypeError, ValueError):
            place = os.path.abspath(os.fsdecode(path))
            if not place.startswith(allowed):
                outside.append(f"{event} {place}")

    return told


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _changes(scratch: Path) -> tuple[str, ...]:
    with contextlib.suppress(OSError):
        return tuple((scratch / "changes").read_text().splitlines())
    return ()


def _keep(output: Path, outcome: Outcome, scratch: Path) -> None:
    """Keep a finding's input and what is known about it."""
    place = output / "findings" / f"{outcome.kind}-{outcome.number}"
    place.mkdir(parents=True, exist_ok=True)
    if (scratch / "input").is_dir():
        shutil.rmtree(place / "input", ignore_errors=True)
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(scratch / "input", place / "input", symlinks=True)
    words = [f"{outcome.kind} {outcome.number}", *outcome.changes, "", outcome.finding, ""]
    (place / "finding.txt").write_text("\n".join(words), encoding="utf-8", errors="replace")


def lines_of(findings: Iterable[Outcome]) -> Iterator[str]:
    """One line for each finding."""
    for one in findings:
        yield f"{one.kind} {one.number}: {one.finding.strip().splitlines()[-1]}"
