"""Seeds on the command line: the same range for every verb."""

from __future__ import annotations

import argparse

__all__ = ["seed"]

_LIMIT = 2**32


def seed(text: str) -> int:
    """A seed from an argument: a whole number that every random generator in renalis takes.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is none, is negative, or is 2**32 or more.

    Examples
    --------
    >>> seed("42")
    42
    """
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < _LIMIT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {_LIMIT - 1}")
    return number
