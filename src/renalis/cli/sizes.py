"""Sizes as people write them."""

from __future__ import annotations

import re

from renalis.errors import UsageError

__all__ = ["megabytes"]


def megabytes(option: str, text: str | None) -> float | None:
    """``4G`` or ``3500M`` in MB.

    >>> megabytes("--max-ram", "4G"), megabytes("--max-ram", "1.5g"), megabytes("--max-ram", "800M")
    (4000.0, 1500.0, 800.0)

    Raises
    ------
    UsageError
        If it is no size.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([GM])B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"{option} {text!r} is no size; write for example 4G or 3500M")
    return float(match[1]) * (1000.0 if match[2].upper() == "G" else 1.0)
