"""The service's time of day, which does not jump.

Somebody sets the machine's clock, or it sets itself: by a jump forward everything would be too old
and be deleted, by one back nothing would be sent again for as long.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from renalis.service.database import Database

__all__ = ["SteadyClock", "open_clock"]


@dataclass(frozen=True)
class SteadyClock:
    """The time of day at the start, and what has passed since by a clock that nobody sets.

    Attributes
    ----------
    begin : float
        Seconds since 1970.
    """

    begin: float = field(default_factory=time.time)
    _since: float = field(default_factory=time.monotonic)

    def now(self) -> float:
        """Seconds since 1970."""
        return self.begin + time.monotonic() - self._since


def open_clock(database: Database) -> SteadyClock:
    """A clock that begins no earlier than the last thing that the queue knows to have happened."""
    (row,) = database.rows(
        "SELECT max(coalesce((SELECT max(heard) FROM series), 0), coalesce((SELECT "
        "max(max(created, coalesce(began, 0), coalesce(ended, 0))) FROM jobs), 0)) AS last"
    )
    return SteadyClock(max(time.time(), float(row["last"])))
