"""When what failed is tried again: ever less often."""

from __future__ import annotations

__all__ = ["next_try"]

_FIRST_S, _LONGEST_S = 10.0, 3600.0


def next_try(attempts: int, now: float) -> float:
    """When (seconds, as ``now``) to try again after a number of attempts, at least one.

    >>> [next_try(attempts, 0.0) for attempts in (1, 2, 3, 30)]
    [10.0, 20.0, 40.0, 3600.0]
    """
    return now + min(_FIRST_S * 2.0 ** min(attempts - 1, 20), _LONGEST_S)
