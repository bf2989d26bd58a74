"""OpenVINO without its report to a web analytics service.

``import openvino`` also imports its model converter, and that sends an event as soon as it is
imported. The converter is not needed here, so its import is made to fail, which OpenVINO is
prepared for. If a program has imported OpenVINO before renalis, that was its own decision.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import Any

__all__ = ["core", "op", "ov"]

_CONVERTER = "openvino.tools.ovc"


def _imported() -> Any:
    """The package, imported without its converter."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # makes an import of it fail
    try:
        return importlib.import_module("openvino")
    finally:
        del sys.modules[_CONVERTER]


ov: Any = _imported()
op: Any = importlib.import_module("openvino.opset13")


@cache
def core() -> Any:
    """OpenVINO's core, one for the life of the process.

    Its CPU plugin gives the thread a stack for signal handlers and, when the plugin goes, puts
    back the one that was there before. With several cores that may be one that is freed already,
    and the next signal, such as Ctrl-C or the end of a child process, ends the program.
    """
    return ov.Core()
