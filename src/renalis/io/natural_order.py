"""The order of names in which people count: ``case_9`` before ``case_10``."""

from __future__ import annotations

import re

__all__ = ["by_number"]


def by_number(text: str) -> tuple[tuple[tuple[int, str, int], ...], str]:
    """Sort key under which ``case_9`` comes before ``case_10``.

    Names that differ only in leading zeros or capitals follow each other, in an order that does
    not depend on where they came from.

    >>> sorted(["case_10", "case_9"], key=by_number)
    ['case_9', 'case_10']
    """
    parts = re.findall(r"\d+|\D+", text)
    key = tuple((0, "", int(p)) if p.isdecimal() else (1, p.casefold(), 0) for p in parts)
    return key, text
