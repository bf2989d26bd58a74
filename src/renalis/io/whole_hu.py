"""From stored values to whole HU, whatever format they were stored in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.hu import HIGHEST, UNMEASURED, settle_hu

__all__ = ["Scaling", "Seen", "to_whole_hu"]

Scaling = tuple[float | None, float | None]
"""Slope and intercept; None where a header leaves them open."""


@dataclass
class Seen:
    """What was met while converting voxels."""

    not_finite: int = 0
    too_high: int = 0
    fractions: bool = False

    def settled(self, array: NDArray[np.int16], name: str) -> list[str]:
        """Bring voxels to HU in place, refuse what is none; return what is doubtful.

        Parameters
        ----------
        array : ndarray, three axes, int16
            All voxels, converted.
        name : str
            The file, for what is refused.

        Raises
        ------
        InputError
            If there were voxels that are no numbers, or `settle_hu` refuses the rest.
        """
        if self.not_finite:
            raise InputError(
                f"{name} holds {self.not_finite} voxels that are not numbers (NaN or infinite); "
                "export the scan again, with air (-1024 HU) outside the field of view"
            )
        warnings = settle_hu(array, name, self.fractions)
        if self.too_high:
            warnings.append(f"{self.too_high} voxels above {HIGHEST} HU were set to {HIGHEST}")
        return warnings


def to_whole_hu(raw: NDArray[Any], out: NDArray[np.int16], scaling: Scaling, seen: Seen) -> None:
    """Fill ``out`` with stored values as whole numbers, counting what cannot be one."""
    slope, intercept = scaling
    values = raw.astype(np.float64)
    if slope is not None:
        values *= slope
        values += intercept or 0.0
    finite = np.isfinite(values)
    if not finite.all():
        seen.not_finite += int(finite.size - finite.sum())
        values[~finite] = 0
    whole = np.rint(values)
    # A slope that is stored as float32 leaves tiny remainders on whole numbers.
    seen.fractions = seen.fractions or bool((np.abs(values - whole) > 1e-3).any())
    seen.too_high += int((whole > HIGHEST).sum())
    out[:] = np.clip(whole, UNMEASURED, HIGHEST).astype(np.int16)
