"""Values of DICOM elements as text and numbers, also where a writer broke the standard."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset

__all__ = ["numbers_of", "text_of"]

_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")


def text_of(place: Dataset, tag: str) -> str:
    """A value as text, empty if absent; several values joined with backslashes."""
    try:
        value = place.get(tag)
    except (TypeError, ValueError):
        return _raw(place, tag)
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Sequence):
        return "\\".join(str(v) for v in value)
    return str(value).strip()


def numbers_of(place: Dataset, tag: str) -> tuple[tuple[float, ...], bool]:
    """A value as finite floats, and whether it was written with decimal commas.

    Exporters write commas in some languages; they are read as the points that PS3.5 6.2 demands.
    There are no numbers if the value is absent or holds anything else.
    """
    try:
        value: Any = place.get(tag)
        if value is None or value == "":
            return (), False
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        numbers, comma = tuple(float(v) for v in values), False
    except (TypeError, ValueError):
        parts = _raw(place, tag).split("\\")
        if not all(_COMMA.fullmatch(p) or _is_number(p) for p in parts):
            return (), False
        numbers, comma = tuple(float(p.replace(",", ".")) for p in parts), True
    return (numbers, comma) if all(map(math.isfinite, numbers)) else ((), False)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _raw(place: Dataset, tag: str) -> str:
    """The value as it is stored, or as pydicom leaves it where it cannot convert it."""
    element = place.get_item(tag)
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        value = "\\".join(str(v) for v in value)
    parts = str("" if value is None else value).split("\\")
    return "\\".join(part.strip(" \0") for part in parts)
