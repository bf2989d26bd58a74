"""``renalis serve``: DICOM node, DICOMweb client and REST API around one durable queue."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import threading
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.errors import UsageError
from renalis.signals import ended_by_signals

if TYPE_CHECKING:
    from renalis.pipeline import SegmentOptions
    from renalis.service.config import Config

__all__ = ["add_arguments", "run"]

_FIELDS = {"folder": "folder", "model": "model", "threads": "threads", "host": "rest.host",
           "port": "rest.port"}  # fmt: skip
"""Options that stand for a field of the configuration."""
_NEEDED = {
    "fastapi": "FastAPI",
    "uvicorn": "uvicorn",
    "pynetdicom": "pynetdicom",
    "dicomweb_client": "dicomweb-client",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, metavar="FILE", help="YAML file that says what to do")
    what.add_argument(
        "--example-config",
        action="store_true",
        help="print a configuration with all its fields, to begin with",
    )
    add("--folder", metavar="DIR", help="where everything is kept (overrides the file)")
    add("--model", metavar="NAME|FILE|RUN", help="what segments (overrides the file)")
    add("--threads", type=int, metavar="N", help="threads for the networks (overrides the file)")
    add("--host", metavar="ADDRESS", help="address of the REST API (overrides the file)")
    add("--port", type=int, metavar="N", help="port of the REST API (overrides the file)")
    add(
        "--new-token",
        metavar="NAME",
        help="make a token for the REST API, print it once, keep its hash, and end",
    )
    add("--check", action="store_true", help="check the configuration, and end")
    add("--debug", action="store_true", help="show where the program failed")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal says to end."""
    if arguments.example_config:
        print(example(), end="")
        return 0
    from renalis.service.config import read_config
    from renalis.service.tokens import add_token

    config = read_config(arguments.config, _overrides(arguments))
    if arguments.new_token is not None:
        print(add_token(config.tokens, arguments.new_token))
        print(f"shown only now; its hash is in {config.tokens}", file=sys.stderr)
        return 0
    _check_installed()
    options = _options(config)
    options.check()
    if arguments.check:
        print(f"{arguments.config} is in order")
        return 0
    from renalis.service.logs import plain_log
    from renalis.service.run import serve

    stopping = threading.Event()
    with plain_log(), ended_by_signals(lambda _: stopping.set()):
        serve(config, options, stopping)
    return 0


def example() -> str:
    """A configuration with all its fields and what they mean."""
    return (resources.files("renalis.service") / "example.yaml").read_text(encoding="utf-8")


def _overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {field: getattr(arguments, name) for name, field in _FIELDS.items()}
    return {field: value for field, value in given.items() if value is not None}


def _options(config: Config) -> SegmentOptions:
    """How to segment."""
    from renalis.pipeline import SegmentOptions
    from renalis.prediction.options import PredictionOptions

    memory = config.max_ram_mb
    prediction = None if memory is None else PredictionOptions(max_ram_mb=memory)
    return SegmentOptions(
        model=config.model,
        prediction=prediction,
        device=config.device,
        threads=config.threads,
        report=config.report,
        write=config.write,
    )


def _check_installed() -> None:
    """Refuse to begin without the packages of the extra ``serve``."""
    lost = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if lost:
        raise UsageError(
            f"renalis serve needs {' and '.join(lost)}, not installed here: "
            "pip install 'renalis[serve]'"
        )
