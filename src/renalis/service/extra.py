"""Whether the packages of the extra ``serve`` are installed."""

from __future__ import annotations

import importlib.util

from renalis.errors import UsageError

__all__ = ["check_serve"]

_NEEDED = {
    "fastapi": "FastAPI",
    "uvicorn": "uvicorn",
    "pynetdicom": "pynetdicom",
    "dicomweb_client": "dicomweb-client",
}


def check_serve() -> None:
    """Refuse to begin without them.

    Raises
    ------
    UsageError
        If one is not installed.
    """
    lost = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if lost:
        raise UsageError(
            f"renalis serve needs {' and '.join(lost)}, not installed here: "
            "pip install 'renalis[serve]'"
        )
