"""A drive that goes away under a command, for real, and comes back.

    python benchmarks/vanishing_drive.py [--scans 5] [--only segment tune] [--name NAME]

Each command of `vanishing_commands` has what it is given, or its results, on a file system of its
own (ext4 on a loop device). After two finished parts that is unmounted at once (``umount -l``: its
folder is there and empty, as of a share that was taken away), or shut down (every access ends with
EIO, as of a disk that was pulled out). When the command has ended, the drive is mounted again and
the command repeated. Needs Linux, root and loop devices; where one is missing, nothing is tried and
a sentence says so (exit code 2). Everything happens in a mount namespace of its own.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from machine import machine
from results import commit
from vanishing_commands import Command, commands

HERE = Path(__file__).resolve().parent
WAYS = ("unmounted", "shut down")
PATIENCE_S = 900.0
_INSIDE = "--inside"
_SHUT_DOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
"""EXT4_IOC_SHUTDOWN, and the flag by which nothing more is written."""
_WITHOUT_LOG = 2


class Drive:
    """A file system in a file, that can go and come back."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.image, self.folder = folder.with_suffix(".img"), folder
        folder.mkdir()
        with self.image.open("wb") as file:
            file.truncate(megabytes << 20)
        _quiet("mkfs.ext4", "-q", "-F", str(self.image))
        self.mount()

    def mount(self) -> None:
        """Bring it (back)."""
        _quiet("mount", "-o", "loop", str(self.image), str(self.folder))

    def go(self, way: str) -> None:
        """Take it away."""
        if way == "shut down":
            place = os.open(self.folder, os.O_RDONLY)
            fcntl.ioctl(place, _SHUT_DOWN, struct.pack("I", _WITHOUT_LOG))
            os.close(place)
        else:
            os.sync()
            self.leave()

    def leave(self) -> None:
        """Unmount at once, whoever works on it."""
        _quiet("umount", "-l", str(self.folder))


def _quiet(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def main() -> int:
    """Try each way with what each command is given and with its results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", type=int, default=5)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "vanishing")
    parser.add_argument("--only", nargs="+", help="these commands")
    parser.add_argument("--name", default="vanishing-drive", help="of the file of results")
    parser.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    missing = _missing()
    if missing:
        print(f"a drive that vanishes was not tried: {missing}", file=sys.stderr)
        return 2
    if not arguments.inside:
        return subprocess.run(
            ["unshare", "--mount", sys.executable, *sys.argv, _INSIDE], check=False
        ).returncode
    trials = arguments.work / "trials"
    shutil.rmtree(trials, ignore_errors=True)
    tried = []
    for command in commands(arguments.work, trials, arguments.scans):
        if arguments.only and command.name not in ("train", *arguments.only):
            continue
        # What is trained undisturbed is what is cross-validated.
        calm = trials / ("run" if command.name == "train" else f"{command.name}-calm")
        if _started(command.line(command.given, calm), trials / "calm.log").wait():
            raise SystemExit(f"{command.name} failed undisturbed; see {trials / 'calm.log'}")
        true = command.bits(calm)
        if arguments.only and command.name not in arguments.only:
            continue
        for what in command.drives:
            for way in WAYS:
                tried.append(_tried(trials, command, what, way, true))
                print(tried[-1], file=sys.stderr)
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "tried": tried,
        "machine": machine(),
    }
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    (HERE / "results" / f"{arguments.name}.json").write_text(text)
    return 0 if all(_is_well(one) for one in tried) else 1


def _missing() -> str:
    """What this machine lacks for it; empty if nothing."""
    if not sys.platform.startswith("linux"):
        return "this is not Linux"
    if os.geteuid() != 0:
        return "only root may mount a drive"
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    tools = [name for name in ("unshare", "mount", "umount", "mkfs.ext4") if not shutil.which(name)]
    if tools:
        return f"there is no {tools[0]}"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    return ""


def _started(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, "-m", "renalis", *words], stdout=file, stderr=file)


def _tried(
    trials: Path, command: Command, what: str, way: str, true: dict[str, str]
) -> dict[str, Any]:
    """One trial: the drive goes after two finished parts, comes back, the command is repeated."""
    folder = trials / f"{command.name}-{what}-{way.replace(' ', '-')}"
    folder.mkdir()
    drive = Drive(folder / "drive", 256)
    try:
        given, output = command.given, folder / "out"
        if what == "results":
            output = drive.folder / "out"
        else:
            given = drive.folder / what
            shutil.copytree(command.given, given)
        os.sync()
        words = command.line(given, output)
        first = _started(words, folder / "first.log")
        end = time.monotonic() + PATIENCE_S
        while command.done(output) < 2 and first.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        drive.go(way)
        code = first.wait(PATIENCE_S)
        whole = what != "results" and command.bits(output) == true
        if way == "shut down":
            drive.leave()
        under = sorted(str(p.relative_to(drive.folder)) for p in drive.folder.rglob("*"))
        drive.mount()
        kept = command.done(output)
        again = _started([*words, *command.again], folder / "again.log").wait(PATIENCE_S)
        return {
            "command": command.name,
            "on the drive": what,
            "it was": way,
            "exit code": code,
            "last lines": _last(folder / "first.log", (folder, trials)),
            "traceback": b"Traceback" in (folder / "first.log").read_bytes(),
            "written where the drive was": under,
            "whole all the same": whole,
            "kept": kept,
            "exit code again": again,
            "alike": command.bits(output) == true,
        }
    finally:
        drive.leave()


def _last(log: Path, folders: Sequence[Path]) -> list[str]:
    """The end of what was said, without the places of this machine."""
    text = log.read_text(encoding="utf-8", errors="replace")
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return [line for line in text.splitlines() if line.strip()][-2:]


def _is_well(one: dict[str, Any]) -> bool:
    return (
        one["alike"]
        and not one["traceback"]
        and (one["exit code"] in (1, 2) or one["whole all the same"])
        and one["exit code again"] == 0
        and not one["written where the drive was"]
    )


if __name__ == "__main__":
    sys.exit(main())
