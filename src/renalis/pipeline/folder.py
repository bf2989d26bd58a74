"""A case's folder of results: appears at once with its labels, and is never half-replaced."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from renalis.errors import OutputError
from renalis.io import write_text
from renalis.io.lock import held
from renalis.io.straight import STRAIGHT
from renalis.pipeline.formats import is_output
from renalis.pipeline.saved_prediction import UNFINISHED

__all__ = [
    "CORRECTIONS",
    "FAILURE",
    "FILES",
    "LABELS",
    "MEASUREMENTS",
    "PREVIEW",
    "PROVENANCE",
    "REPORT",
    "file_sha256",
    "half_written",
    "is_ours",
    "make_output",
    "missing",
    "provenance",
    "result_folder",
    "sweep",
    "worked_on",
    "write_json",
]

LABELS, MEASUREMENTS = "segmentation.nii.gz", "measurements.json"
PREVIEW, REPORT = "preview.png", "report.html"
PROVENANCE = "provenance.json"
CORRECTIONS = "corrections"
"""Folder of what people corrected (`renalis.corrections`); never replaced or removed here."""
FAILURE = "renalis-error.log"
"""Where the program failed, without anything that names the patient."""
FILES = (
    LABELS, STRAIGHT, MEASUREMENTS, PREVIEW, REPORT, PROVENANCE, FAILURE, UNFINISHED,
)  # fmt: skip
"""Files that renalis writes for every case, apart from further formats."""

_PATIENCE_S = 5.0
"""For the processes of a killed run, which hold the lock until they have ended."""

_LEFT_OVER = re.compile(r"\.(?P<case>.+)\.(?P<kind>partial|old)-[0-9a-f]{8}-(?P<process>\d+)")
"""Names of folders that are being written, or set aside while they are replaced."""

_HALF = re.compile(r"\.(?P<file>.+)\.[0-9a-f]{8}\.part")
"""Names of files that are being written; see `renalis.io.whole_file`."""


def make_output(output: Path) -> None:
    """Make the output folder, and find out at once whether it can be written.

    Raises
    ------
    OutputError
        If it cannot.
    """
    trial = output / f".renalis-{os.getpid()}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written ({error.strerror}); choose another output folder with -o"
        ) from error
    sweep(output)


@contextlib.contextmanager
def worked_on(output: Path) -> Iterator[tuple[int, ...]]:
    """Make the output folder, and keep a second process out of it while the block runs.

    Yields
    ------
    tuple of int
        Open files of the lock, see `renalis.io.lock.held`.

    Raises
    ------
    InputError
        If another process works there.
    OutputError
        If it cannot be written.
    """
    make_output(output)
    busy = (
        f"another renalis segment works on {output}; wait until it has ended, or choose another "
        "output folder with -o"
    )
    with held(output, busy, _PATIENCE_S) as lock:
        sweep(output)
        yield lock


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as manifests and ``provenance.json`` keep it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(folder: Path) -> dict[str, Any] | None:
    """What is known about how a case's results were made; None if there is no such file of ours."""
    try:
        content = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        known = {str(name) for name in content["files"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return content if LABELS in known else None


def missing(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """A case's files that could not be made yet, or are no longer there; see `provenance`."""
    names = (*content["files"], *content.get("missing", ()))
    return [str(name) for name in names if not (folder / str(name)).is_file()]


def is_ours(name: str) -> bool:
    """Whether renalis writes a file of that name for a case."""
    return name in FILES or is_output(name)


def half_written(path: Path) -> bool:
    """Whether a file is one of a case's that a killed run was writing."""
    match = _HALF.fullmatch(path.name)
    return match is not None and is_ours(match["file"])


@contextlib.contextmanager
def result_folder(output: Path, case_id: str, overwrite: bool) -> Iterator[Path]:
    """A temporary folder that becomes the case's folder when the block ends well.

    When the block raises, also by Ctrl-C, the temporary folder is removed and older results stay
    as they were.

    Raises
    ------
    OutputError
        If there are results already and they may not be replaced, or nothing can be written.
    """
    target = output / case_id
    part = output / f".{case_id}.partial-{_host()}-{os.getpid()}"
    _refuse(target, overwrite)
    # Of this process, from before the folder was out of reach for a while.
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
    except OSError as error:
        raise OutputError(
            f"{part} cannot be made ({error.strerror}); choose another output folder with -o"
        ) from error
    try:
        yield part
        _put_in_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _refuse(target: Path, overwrite: bool) -> None:
    """Never delete what somebody may want to keep."""
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{target} is a file where a folder is needed; choose another -o")
    names = {path.name for path in target.iterdir() if not half_written(path)} - {FAILURE}
    if not names:
        return
    if not overwrite:
        what = "results of another scan, model or choice of options"
        known = provenance(target)
        if known is None:
            what = "incomplete results, or other files"
        elif missing(target, known):
            what = f"incomplete {what} (repeat the command that made them to finish them)"
        raise OutputError(
            f"{target} holds {what}; give --overwrite or another output folder with -o"
        )
    # A reference may be called segmentation.nii.gz, too; folders of ours appear whole.
    foreign = sorted(n for n in names if PROVENANCE not in names or not is_ours(n))
    if foreign == [CORRECTIONS]:
        raise OutputError(
            f"{target} holds corrections, which belong to the result that is there; "
            f"choose another output folder with -o, or move its {CORRECTIONS} away"
        )
    if foreign:
        raise OutputError(
            f"{target} holds files that renalis did not write ({foreign[0]!r}); "
            "move them away or choose another output folder with -o"
        )


def _put_in_place(part: Path, target: Path) -> None:
    """Rename the finished folder; an older one is set aside for that moment."""
    old = part.with_name(part.name.replace(".partial-", ".old-"))
    try:
        if target.exists():
            os.replace(target, old)
        os.replace(part, target)
    except OSError as error:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise OutputError(
            f"{target} cannot be written ({error.strerror}); choose another output folder with -o"
        ) from error
    finally:
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


def sweep(output: Path) -> None:
    """Clear up after runs that were killed on this machine; others may be at work elsewhere."""
    if sys.platform == "win32":  # where asking whether a process lives would interrupt it
        return
    for path in output.glob(f".*-{_host()}-*"):
        match = _LEFT_OVER.fullmatch(path.name)
        if match is None or _lives(int(match["process"])):
            continue
        target = output / match["case"]
        if match["kind"] == "old" and not target.exists():
            # Killed between setting an older result aside and putting the new one in its place.
            with contextlib.suppress(OSError):
                os.replace(path, target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def _host() -> str:
    """This machine, in folders' names: processes of others cannot be seen from here."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _lives(process: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
