"""Whether voxels are CT numbers, what is mended, and what to say when they are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.clipping import clipped_ends
from renalis.io.hu_likeness import hu_likeness
from renalis.io.tissue_peaks import Reading, reading_of
from renalis.io.value_counts import value_counts

__all__ = ["AIR", "HIGHEST", "UNMEASURED", "settle_hu"]

AIR = -1024
"""Lowest HU kept: scanners mark pixels outside the field of view by -2000, -2048 or -3024."""

HIGHEST = 32767
"""Highest HU kept, beyond what even metal reaches on an extended scale."""

UNMEASURED = -32768
"""Marks, until `settle_hu`, voxels of which a header says that nothing was measured there."""

_CHUNK = 1 << 21
_SAMPLE = 1 << 22
"""Voxels that are looked at; a histogram of more says the same."""
_FEWEST = 50_000
"""Voxels of the smallest scan that is judged by where its tissues lie."""
_FLUID_HU = -30
"""A scan clipped here or above has lost what tells fluid from fat."""
_FAT_HU = -140
"""A scan clipped above shows air and fat alike."""
_ADVICE = "give the CT as it came from the scanner, slope and intercept applied once"


def settle_hu(array: NDArray[np.int16], name: str, fractions: bool = False) -> list[str]:
    """Bring voxels to HU in place, refuse what is no CT in HU, and return what is doubtful.

    Air, fat and soft tissue lie at -1000, -100 and 40 HU. A scan in which all three are off by
    the same 1024 or 1000, as after an intercept that was lost or applied twice, is shifted. One
    that shows no tissue where tissue lies is refused.

    Parameters
    ----------
    array : ndarray, three axes, int16
        All voxels, rounded, not clipped from below; -32768 where nothing was measured. Afterwards
        HU, none below -1024.
    name : str
        The file, for what is refused.
    fractions : bool
        Whether there were fractions before rounding.

    Returns
    -------
    list of str
        Warnings. They name no file: they are kept with the result, and paths hold patients' names.

    Raises
    ------
    InputError
        If all voxels are equal, the values are labels, their range is that of a normalized image,
        or their tissues do not lie where HU put them.
    """
    flat = array.ravel(order="K")
    if not np.shares_memory(flat, array):
        raise ValueError("voxels have to lie in memory without gaps")
    low = _check_range(flat, name, fractions)
    counts = value_counts(_sample(array))
    judged = counts.sum() >= _FEWEST
    reading = reading_of(counts) if judged else Reading(True)
    if reading.shift is not None:
        _finish(flat, reading.shift)
        return [_shifted(reading.shift), *_clipped(value_counts(_sample(array)), name)]
    if not reading.plausible:
        raise InputError(f"{name} is not in HU: {_why(reading)}; {_ADVICE}")
    if low >= 0 and judged:
        raise InputError(
            f"{name} is not in HU: no value is below 0, as in pictures of 8 bits and in MR, and "
            f"fat and air cannot be told from tissue; {_ADVICE}"
        )
    likeness = hu_likeness(counts) if judged else ""
    if low < AIR:
        _finish(flat)
    if low >= 0:
        return [
            "no value is below 0, so this is probably not in HU (intercept -1024 lost, or windowed "
            "already) and the result is not to be trusted"
        ]
    return [*_unlike(likeness), *_clipped(counts, name)] if judged else []


def _unlike(likeness: str) -> list[str]:
    """A warning about values that show tissue, but not where it lies."""
    if not likeness:
        return []
    return [
        f"values look like HU {likeness}: air, fat and soft tissue do not lie at -1000, -100 and "
        "40, so lesions may be false or missed and no HU is to be trusted"
    ]


def _check_range(flat: NDArray[np.int16], name: str, fractions: bool) -> int:
    """Refuse what is no picture at all, labels, and normalized images; the lowest value."""
    low, high = int(flat.min()), int(flat.max())
    if max(low, AIR) == max(high, AIR):
        raise InputError(f"{name} is empty: every voxel is {max(low, AIR)}; give the CT itself")
    if not fractions and low >= 0 and high <= 255 and _is_label_map(flat):
        raise InputError(
            f"{name} is a label map (whole numbers {low} to {high}), not a CT; give the CT itself"
        )
    if fractions and high - low < 50:
        raise InputError(
            f"{name} holds values from {low} to {high}, so it is not in HU (normalized already?); "
            "give the CT as it came from the scanner"
        )
    return low


def _sample(array: NDArray[np.int16]) -> NDArray[np.int16]:
    """Voxels from all over a scan: every few rows and slices, each row whole."""
    order = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
    turned = array.transpose(order)
    step = max(1, round((array.size / _SAMPLE) ** 0.5))
    steps = [min(step, max(1, n // 16)) for n in turned.shape[:2]]
    return np.ascontiguousarray(turned[:: steps[0], :: steps[1]])


def _finish(flat: NDArray[np.int16], shift: int = 0) -> None:
    """Take a shift away and set everything below air, and what was not measured, to air."""
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        if not shift:
            np.maximum(part, AIR, out=part)
            continue
        shifted = part.astype(np.int32) - shift
        shifted[part == UNMEASURED] = AIR
        part[:] = np.clip(shifted, AIR, HIGHEST)


def _shifted(shift: int) -> str:
    """What was mended."""
    how = "an intercept was lost" if shift > 0 else "an intercept was applied twice"
    return (
        f"air, fat and soft tissue lay {abs(shift)} HU too {'high' if shift > 0 else 'low'} "
        f"({how}), so {abs(shift)} was {'subtracted from' if shift > 0 else 'added to'} all values"
    )


def _why(reading: Reading) -> str:
    """Why values are no HU."""
    looks = f", and they look like {reading.like}" if reading.like else ""
    return f"air (-1000), fat (-100) and soft tissue (40) do not show where they should{looks}"


def _clipped(counts: NDArray[np.int64], name: str) -> list[str]:
    """What is lost in a scan with a display window baked in.

    Raises
    ------
    InputError
        If fat looks like fluid.
    """
    low, high = clipped_ends(counts)
    if low is not None and low >= _FLUID_HU:
        raise InputError(
            f"{name} is clipped at {low} HU, a display window baked in, so that air, fat and fluid "
            "look alike; give the CT as it came from the scanner"
        )
    lost = [] if low is None else ["air, lung and fat" if low > _FAT_HU else "air and lung"]
    lost += [] if high is None else ["bone, stones and strong contrast"]
    if not lost:
        return []
    return [
        f"values are clipped {_range(low, high)}, a display window baked in: "
        f"{' as well as '.join(lost)} look alike, cysts and other lesions may be false, "
        "and HU beyond are not to be trusted"
    ]


def _range(low: int | None, high: int | None) -> str:
    """The ends in words."""
    if low is None:
        return f"at {high} HU"
    return f"at {low} HU" if high is None else f"to {low} to {high} HU"


def _is_label_map(flat: NDArray[np.int16]) -> bool:
    """Few values, or nearly every voxel equal to its neighbour, which noise forbids in a CT."""
    counts = np.zeros(256, dtype=np.int64)
    equal = 0
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        counts += np.bincount(part, minlength=256)
        equal += int(np.count_nonzero(part[1:] == part[:-1]))
    return bool(np.count_nonzero(counts) <= 32 or equal > 0.97 * flat.size)
