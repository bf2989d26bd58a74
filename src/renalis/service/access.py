"""Who may ask, and how often."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from renalis.errors import InputError
from renalis.service.tokens import Tokens, read_tokens

__all__ = ["Rate", "TokenFile"]

_MOST_NAMES = 10_000


class Rate:
    """So many a minute for each name, and as many at once after a pause."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def allows(self, name: str, now: float | None = None) -> bool:
        """Count one more; False if it is one too many."""
        with self._lock:
            left, now = self._now(name, now)
            if left < 1:
                return False
            if len(self._left) >= _MOST_NAMES:  # addresses can be made up
                self._left.clear()
            self._left[name] = left - 1, now
            return True

    def exhausted(self, name: str) -> bool:
        """Whether one more would be too many; nothing is counted."""
        with self._lock:
            return self._now(name, None)[0] < 1

    def _now(self, name: str, now: float | None) -> tuple[float, float]:
        now = time.monotonic() if now is None else now
        left, then = self._left.get(name, (self._most, now))
        return min(self._most, left + (now - then) * self._most / 60), now


class TokenFile:
    """The tokens as the file has them now: one that is taken out counts no more at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._state: tuple[int, int] | None = None
        self._tokens = read_tokens(path)
        self._state = self._now()

    def _now(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def name_of(self, token: str) -> str | None:
        """Whose token this is."""
        with self._lock:
            state = self._now()
            if state != self._state:
                try:
                    self._tokens = read_tokens(self._path)
                except InputError:
                    self._tokens = Tokens(())  # nobody, until the file is mended
                self._state = state
            return self._tokens.name_of(token)
