"""The command line: ``renalis VERB``.

Each verb lives in a module of its own with two functions, ``add_arguments(parser)`` and
``run(arguments) -> int``. A verb's module is imported only when the verb is called, and imports
nothing heavy at its top, so that ``renalis --help`` is fast.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import UnsupportedOperation
from typing import Any

from renalis.cli.closed_pipes import discard_output, ensure_streams
from renalis.compute_failures import is_out_of_memory
from renalis.disk_failures import disk_sentence, is_of_a_disk
from renalis.errors import (
    CacheWarning,
    DamageWarning,
    MemoryWarning,
    PluginWarning,
    RenalisError,
    UsageError,
)
from renalis.signals import Ended, end, ended_by_signals

__all__ = ["VERBS", "main", "verb_parser"]

DONE, SOME_FAILED, BAD_INPUT, INTERNAL = 0, 1, 2, 3

VERBS = {
    "segment": "find and measure kidneys, tumors and cysts in CT scans",
    "cohort": "check what segment made of many scans, or show it as a page",
    "view": "look at results in a browser, and correct them",
    "evaluate": "score predicted label maps against references",
    "compare": "paired statistics between evaluated systems",
    "crossvalidate": "score trained runs, each case by the fold that did not see it",
    "synthesize": "make synthetic CT scans with their label maps",
    "dataset": "check, describe, split and export datasets",
    "recipe": "list, show, copy and compare recipes",
    "train": "train a model with a recipe",
    "tune": "search the fields of a recipe",
    "serve": "take scans from DICOM nodes, DICOMweb and a REST API, and send results back",
    "model": "list, describe, pack, calibrate and export models",
    "doctor": "show what this machine can do",
}
"""Each verb with its one-line help; the verb's module has its name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0 done, 1 some cases failed (each is named), 2 bad usage or input, 3 internal error, 130 after
    Ctrl-C and 143 after SIGTERM.
    """
    ensure_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    if "" in words[1:]:
        # As a path it would mean the current folder.
        print("renalis: an argument is empty; is a variable of your script unset?", file=sys.stderr)
        return BAD_INPUT
    verb = words[0] if words else ""
    if verb not in VERBS:
        return _overview(words)
    try:
        arguments = verb_parser(verb).parse_args(words[1:])
    except SystemExit as stop:
        return int(stop.code or 0)
    return _guarded(importlib.import_module(f"renalis.cli.{verb}").run, arguments)


def verb_parser(verb: str) -> argparse.ArgumentParser:
    """The parser of one verb, which documents and their tests read as well.

    Parameters
    ----------
    verb : str
        One of `VERBS`.
    """
    parser = argparse.ArgumentParser(prog=f"renalis {verb}", description=VERBS[verb])
    importlib.import_module(f"renalis.cli.{verb}").add_arguments(parser)
    return parser


def _guarded(run: object, arguments: argparse.Namespace) -> int:
    """Turn every way a command can end into an exit code and, where wanted, one sentence."""
    try:
        with _plain_warnings(), ended_by_signals(end):
            return int(run(arguments))  # type: ignore[operator]
    except RenalisError as error:
        print(f"renalis: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as stop:
        ended = stop if isinstance(stop, Ended) else Ended(signal.SIGINT)
        print(f"renalis: {ended}", file=sys.stderr)
        return ended.exit_code
    except BrokenPipeError:
        discard_output(sys.stdout)
        return DONE
    except Exception as error:
        if "--debug" in sys.argv and _outside(error) is None:
            raise
        return _failed(error)


def _failed(error: Exception) -> int:
    """Say what went wrong beyond what a verb foresees: on the machine, or in the program."""
    outside = _outside(error)
    if outside is not None:
        # What is buffered for a full device would fail again at the end; a notebook has no device.
        with suppress(UnsupportedOperation):
            discard_output(sys.stdout)
        print(f"renalis: {outside}", file=sys.stderr)
        return BAD_INPUT
    print(
        f"renalis: internal error ({type(error).__name__}: {error}); "
        "this is a defect, please report it",
        file=sys.stderr,
    )
    return INTERNAL


def _outside(error: Exception) -> str | None:
    """The sentence for a disk or memory that does not do its part; None for a defect."""
    if is_out_of_memory(error):
        return (
            "there is not enough memory; close other programs, or let fewer things happen at once "
            "(--jobs, --workers, a smaller batch)"
        )
    if isinstance(error, OSError) and is_of_a_disk(error):
        return disk_sentence(error)
    return None


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """What is said of packages, memory and damage is a sentence, without a line of code."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, PluginWarning | MemoryWarning | DamageWarning | CacheWarning):
                print(f"renalis: {message}", file=sys.stderr)
            else:
                others(message, category, *place, **more)

        warnings.showwarning = show
        yield


def _overview(words: list[str]) -> int:
    """Answer ``renalis``, ``renalis --help``, ``renalis --version`` and unknown verbs."""
    if words[:1] == ["--version"]:
        from importlib.metadata import version

        print(f"renalis {version('renalis')}")
        return DONE
    lines = ["usage: renalis VERB ...", "", "Measured kidneys, tumors and cysts from CT.", ""]
    lines += [f"  {verb:<13} {text}" for verb, text in VERBS.items()]
    lines += ["", "'renalis VERB --help' explains a verb. Research software, not for diagnosis."]
    if not words or words[0] in ("-h", "--help"):
        print("\n".join(lines))
        return DONE if words else BAD_INPUT
    print(f"renalis: {UsageError(f'there is no verb {words[0]!r}')}", file=sys.stderr)
    print("\n".join(lines), file=sys.stderr)
    return BAD_INPUT
