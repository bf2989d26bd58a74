"""End with the process that started this one, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Ask the system to kill this process when its parent is gone (Linux).

    A thread that sees the end of a pipe does so elsewhere, but not while code that never gives up
    Python's lock hangs.

    Parameters
    ----------
    parent : int
        The parent's process number; where it is gone already, this process ends at once.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
