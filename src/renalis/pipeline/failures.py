"""What is said and written down about an error that a case ended with.

A traceback shows where the program failed; its messages may quote paths, and those hold patients'
names. So lines of code are kept, messages only as far as they can name nobody.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import traceback
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from renalis.errors import InputError, OutputError, RenalisError, UsageError
from renalis.io import ScanSource
from renalis.io.scan import shown
from renalis.remote.attempts import UnreachableError

__all__ = [
    "Cause",
    "cause_of",
    "is_internal",
    "names_in",
    "plain",
    "reason",
    "traceback_of",
    "unnamed",
    "within",
]

_READERS = ("renalis/io/", "pydicom/", "nibabel/", "pylibjpeg", "gdcm", "SimpleITK")
"""Where messages may quote the headers of a scan, in any form."""

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|‘[^’]*’|“[^”]*”")
_PATH = re.compile(r"\S*[/\\]\S*")
_BRACKETS = re.compile(r"\([^()]*\)?")
_MOST_FOLDERS = 5000
_NAME = re.compile(r"\S*\^\S*|\d+(?:\.\d+){3,}")
"""Persons' names as DICOM writes them, and UIDs."""


class Cause(StrEnum):
    """The class of what a case failed by, to count failures."""

    BAD_INPUT = "bad input"
    OPTIONS = "options"
    """A limit or an option that this scan does not fit."""
    OUTPUT = "output"
    """Results could not be written, or others are there."""
    MEMORY = "not enough memory"
    INTERNAL = "internal"
    """A defect of the program that was caught."""
    CRASH = "crash"
    """The process that worked on the case crashed."""
    KILLED = "killed"
    """The process was killed from outside, as the system does when memory runs out."""
    TIMED_OUT = "timed out"
    UNREACHABLE = "unreachable"
    """A store with scans or results did not answer."""


def cause_of(error: BaseException) -> Cause:
    """The class of an error."""
    for kind, cause in (
        (UsageError, Cause.OPTIONS),
        (UnreachableError, Cause.UNREACHABLE),
        (InputError, Cause.BAD_INPUT),
        (OutputError, Cause.OUTPUT),
        (MemoryError, Cause.MEMORY),
    ):
        if isinstance(error, kind):
            return cause
    return Cause.INTERNAL


def is_internal(error: BaseException) -> bool:
    """Whether an error is a defect of the program instead of something a user can act on."""
    return not isinstance(error, RenalisError | MemoryError)


def reason(error: BaseException, known: tuple[str, ...] = ()) -> str:
    """Why a step failed, for the middle of a sentence; of a defect without what may be a name.

    Parameters
    ----------
    error : BaseException
        What was raised.
    known : tuple of str
        Words that must not appear in what is said of a defect.
    """
    if isinstance(error, RenalisError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory for this scan; close other programs"
    said = f"{type(error).__name__}: {plain(str(error), known)}".removesuffix(": ")
    return f"internal error ({said}); this is a defect, please report it"


def names_in(source: ScanSource) -> tuple[str, ...]:
    """Words of a scan's place that may name the patient."""
    series = source.series
    described = () if series is None else (series.description, series.uid)
    places = (*source.path.parts, *source.place.split("/"))
    return (source.case_id, *places, source.study_uid, *described)


def unnamed(sentence: str, source: ScanSource) -> str:
    """An error's sentence without anything that could name a patient, for ``--anonymous``.

    What it says is wrong stays; paths, names of files, descriptions, UIDs, and all in quotation
    marks and brackets go.
    """
    for place in (shown(source.path, 300), shown(source.path), str(source.path)):
        sentence = sentence.replace(place, "the scan")
    series = (source.series, *source.others)
    words = [w for one in series if one is not None for w in (one.description, one.uid, one.kernel)]
    words += [*source.path.parts, source.study_uid, *source.place.split("/"), *_files(source)]
    for word in sorted({w for w in words if len(w) > 2}, key=len, reverse=True):
        sentence = re.sub(re.escape(word), "…", sentence, flags=re.IGNORECASE)
    return plain(_BRACKETS.sub("(…)", sentence), ())


def _files(source: ScanSource) -> list[str]:
    """Names of the files and folders that lie where a scan does, with and without their endings."""
    headers = source.headers
    frames = (getattr(f, "file", "") for f in getattr(headers, "frames", ()))
    names = [*frames, *getattr(headers, "files", ())]
    if source.path.is_dir():
        for _, folders, files in itertools.islice(os.walk(source.path), _MOST_FOLDERS):
            names += [*folders, *files]
    parts = {part for name in names for part in name.split("/")}
    return [word for part in parts for word in (part, Path(part).stem)]


def traceback_of(error: BaseException, known: tuple[str, ...] = ()) -> str:
    """An error's traceback without anything that could name a patient.

    Parameters
    ----------
    error : BaseException
        With its causes.
    known : tuple of str
        Words that must not appear, such as the case's name.

    Returns
    -------
    str
        Several lines: files below the packages' folders, lines of code, types of errors; messages
        without paths, quotations, names and UIDs, and none at all of errors met while reading.
    """
    lines = [f"renalis {metadata.version('renalis')}, Python {sys.version.split()[0]}"]
    chain: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    for one in reversed(chain):
        frames = traceback.extract_tb(one.__traceback__)
        lines += ["", "Traceback (most recent call last):"]
        for frame in frames:
            lines.append(f'  File "{within(frame.filename)}", line {frame.lineno}, in {frame.name}')
            if frame.line:
                lines.append(f"    {frame.line}")
        read = any(part in within(frame.filename) for frame in frames for part in _READERS)
        message = "(left out: it may quote the scan's headers)" if read else plain(str(one), known)
        lines.append(f"{type(one).__module__}.{type(one).__qualname__}: {message}")
    return "\n".join(lines) + "\n"


def within(filename: str) -> str:
    """A source file's path from its package on."""
    parts = Path(filename).parts
    for root in ("site-packages", "dist-packages", "src"):
        if root in parts:
            last = len(parts) - 1 - parts[::-1].index(root)
            return "/".join(parts[last + 1 :])
    return "/".join(parts[-2:]) if "renalis" in parts or len(parts) < 3 else parts[-1]


def plain(message: str, known: tuple[str, ...]) -> str:
    """A message without what could be a path or a name."""
    for word in sorted((word for word in known if len(word) > 1), key=len, reverse=True):
        message = re.sub(re.escape(word), "…", message, flags=re.IGNORECASE)
    for pattern in (_QUOTED, _PATH, _NAME):
        message = pattern.sub("…", message)
    return message[:500]
