"""What a check of a dataset finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Level"]


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """Training or scoring with the case would be wrong."""
    WARNING = "warning"
    """Somebody should look at the case."""
    NOTE = "note"
    """Unusual, and handled."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found in one case.

    Parameters
    ----------
    case : str
        Its id.
    level : Level
        How bad it is.
    code : str
        The kind of finding, for machines: ``"grid"``, ``"label-values"``, and so on.
    sentence : str
        What is wrong and what to do.
    """

    case: str
    level: Level
    code: str
    sentence: str
