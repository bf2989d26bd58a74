"""The steps of a case, about how long each takes, and what people call them."""

from __future__ import annotations

__all__ = ["STEP_WORDS", "share_done"]

_SHARES = {
    "download": 0.0,
    "read": 0.14,
    "networks": 0.04,
    "predict": 0.0,
    "coarse": 0.1,
    "fine": 0.28,
    "tidy": 0.06,
    "write": 0.03,
    "measure": 0.08,
    "report": 0.33,
    "upload": 0.0,
}
"""About what part of a case's time each step takes: good enough for a remaining time. Runs of
published systems have the one step ``predict``, of unknown length, in place of two."""

STEP_WORDS = {
    "download": "copying the scan",
    "read": "reading",
    "networks": "opening the networks",
    "coarse": "looking for kidneys",
    "fine": "looking closely",
    "predict": "segmenting",
    "tidy": "tidying",
    "measure": "measuring",
    "write": "writing",
    "report": "drawing the report",
    "upload": "copying the results",
}


def share_done(name: str, done: int, total: int) -> float:
    """About which part of a case is done when ``done`` of ``total`` parts of a step are.

    Steps of unknown length count as nothing.

    >>> round(share_done("coarse", 1, 2), 2)
    0.23
    """
    before = 0.0
    for step, share in _SHARES.items():
        if step == name:
            return before + share * done / max(1, total)
        before += share
    return 0.0
