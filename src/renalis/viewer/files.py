"""The page's own files, all from this package."""

from __future__ import annotations

from functools import cache
from importlib import resources

from renalis.errors import InputError

__all__ = ["static_file"]

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "svg": "image/svg+xml",
}


def static_file(name: str) -> tuple[bytes, str]:
    """Content and type of a file of the page.

    Parameters
    ----------
    name : str
        As a request names it; only files that are listed beforehand exist.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if name not in _names():
        raise InputError(f"the viewer has no file {name[:100]!r}")
    content = resources.files("renalis.viewer").joinpath("static", *name.split("/")).read_bytes()
    return content, _KINDS[name.rsplit(".", 1)[-1]]


@cache
def _names() -> frozenset[str]:
    """All files below ``static``."""
    root = resources.files("renalis.viewer").joinpath("static")
    found = set()
    for entry in root.iterdir():
        inner = [f"{entry.name}/{one.name}" for one in entry.iterdir()] if entry.is_dir() else []
        found |= set(inner or [entry.name])
    return frozenset(name for name in found if name.rsplit(".", 1)[-1] in _KINDS)
