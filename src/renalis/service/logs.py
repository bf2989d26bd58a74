"""The log: plain lines that name jobs by their ids, and nothing that names a patient."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from renalis.pipeline.failures import traceback_of

__all__ = ["plain_log"]

_LOG = logging.getLogger(__name__)

_SAY_TOO_MUCH = ("pynetdicom", "pydicom", "dicomweb_client", "urllib3", "uvicorn", "highdicom")
"""Whose messages may quote headers, UIDs or requests."""


@contextmanager
def plain_log() -> Iterator[None]:
    """Send the service's own lines to standard error, and those of other packages nowhere."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    with ExitStack() as ending:
        ending.enter_context(_only("renalis.service", shown, logging.INFO))
        for name in _SAY_TOO_MUCH:
            ending.enter_context(_only(name, logging.NullHandler(), logging.CRITICAL + 1))
        ending.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # pydicom's quote values
        ending.callback(setattr, threading, "excepthook", threading.excepthook)
        threading.excepthook = _thread_failed
        yield


def _thread_failed(told: threading.ExceptHookArgs) -> None:
    """What ends a thread, such as that of an association whose peer breaks the protocol."""
    if told.exc_value is not None:
        _LOG.warning("a thread ended with an error\n%s", traceback_of(told.exc_value))


@contextmanager
def _only(name: str, handler: logging.Handler, level: int) -> Iterator[None]:
    """A package's messages from a level on go to one handler alone."""
    logger = logging.getLogger(name)
    before = logger.level, logger.propagate, logger.handlers[:]
    logger.setLevel(level)
    logger.propagate, logger.handlers[:] = False, [handler]
    try:
        yield
    finally:
        logger.setLevel(before[0])
        logger.propagate, logger.handlers[:] = before[1:]
