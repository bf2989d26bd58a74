"""How far two label maps of a scan agree."""

from __future__ import annotations

import numpy as np

from renalis.conventions import REGIONS
from renalis.volume import Volume

__all__ = ["agreement"]

_SHOWN = ("kidney", "tumor", "cyst")


def agreement(one: Volume, other: Volume) -> dict[str, float | None]:
    """Dice of the regions kidney (everything renal), tumor and cyst; None where neither has it."""
    counts = np.bincount(
        (one.array.astype(np.uint8) * 4 + other.array).ravel(order="K"), minlength=16
    ).reshape(4, 4)
    found: dict[str, float | None] = {}
    for name in _SHOWN:
        values = [int(label) for label in REGIONS[name]]
        both = counts[np.ix_(values, values)].sum()
        total = counts[values].sum() + counts[:, values].sum()
        found[name] = float(2 * both / total) if total else None
    return found
