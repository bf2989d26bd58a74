"""Whether the pictures of a series follow each other as slices of one body do.

Neighboring slices differ less than those further apart. What an export mixes, exchanges or damages
breaks that, whatever file the series ended in: single slices from elsewhere, slices in a wrong
order, two contrast phases in turn. The limits lie between what four real scans show and what they
show with such faults made in them (docs/explanation/reading.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalis.io.block_means import block_means

__all__ = ["LONGEST_GAP_MM", "SliceFaults", "most_in_gap", "slice_faults"]

LONGEST_GAP_MM = 25.0
"""Filling more than that would invent anatomy."""

_HU = (-150, 300)
"""Fat to enhanced vessels: what a fault changes in a body, without bone and without air."""
_SIDE = 72
"""Blocks of a side whose means are compared; noise is averaged out in them."""
_FEWEST_PIXELS = 4_096
_FEWEST_SLICES = 8
_FLAT_HU = 1.0
"""Slices of a body differ from each other by more, on average; others show next to nothing."""

_STRAY = 1.5
"""A slice from elsewhere differs from both neighbors by 2 to 5 times what they differ by from each
other; a slice of its own place by 0.75 of it at most."""
_LONGEST_STRAY = 3
_JUMP = 3.0
"""Where pictures break off, they differ by 5 to 14 times as much as slices around; in whole scans
by 2.1 times at most."""
_AROUND = 11
_DISORDER = 4
"""As many jumps, each to a picture that goes on from one far away, come of an order that is wrong.
Jumps alone come of breathing too, where a scanner stops for each few slices."""
_GOES_ON = 1.5

_WINDOW = 16
_IN_TURN = {2: ((0.55, 0.65), 1.0), 3: ((0.417, 0.917), 0.667)}
"""Phases in turn: frequencies along the slices to compare with, and that of the phases (1: every
other slice)."""
_STRONGER = 8.0
_LEAST_HU = 2.0
_TISSUE_HU = -100
_FEWEST_BLOCKS = 50
_SHARE = 0.1
"""Of the blocks in a body, those in which every other slice differs 8 times as strongly as slices
change more slowly: 0.035 at most in whole scans, thinned to slices of 9 mm too, since neighbors
are alike, and 0.04 in mere noise; 0.14 and more with phases in turn."""


def most_in_gap(step_mm: float) -> int:
    """Slices next to each other that may be filled in, as many millimeters apart."""
    return int(LONGEST_GAP_MM / max(step_mm, 1e-3)) - 1


@dataclass(frozen=True)
class SliceFaults:
    """What breaks the sequence of slices; indices count from 0.

    Attributes
    ----------
    stray : tuple of int
        Slices that are like neither neighbor, while the neighbors are like each other.
    copies : tuple of int
        Slices that equal the one before them, pixel by pixel.
    jumps : tuple of int
        Slices with which the picture changes abruptly, once, from the one before.
    disorder : bool
        Whether pictures go on from others far away so often that the order must be wrong.
    in_turn : int
        How many pictures of different brightness follow each other in turn, 2 or 3; 0 if none do.
    """

    stray: tuple[int, ...] = ()
    copies: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()
    disorder: bool = False
    in_turn: int = 0


def slice_faults(
    pictures: Sequence[NDArray[np.int16]] | NDArray[np.int16], near: int = 3
) -> SliceFaults:
    """Compare slices with those around them.

    Parameters
    ----------
    pictures : sequence of ndarray, shape (rows, columns), or one of three axes, int16
        HU of slices in order along the body.
    near : int
        Slices within 25 mm. As many next to each other may be called stray, at most 3, and
        breathing moves a body by no more.

    Returns
    -------
    SliceFaults
        None where slices are too small or too few to tell.
    """
    if len(pictures) < _FEWEST_SLICES or pictures[0].size < _FEWEST_PIXELS:
        return SliceFaults()
    blocks = block_means(pictures, _SIDE, _HU)
    change = _changes(blocks)
    copies = tuple(
        k
        for k in (np.flatnonzero(change == 0) + 1).tolist()
        if blocks[k].std() > _FLAT_HU and np.array_equal(pictures[k], pictures[k - 1])
    )
    stray = _stray(blocks, change, min(near, _LONGEST_STRAY))
    kept = np.setdiff1d(np.arange(len(blocks)), stray)
    if stray:
        blocks = blocks[kept]
        change = _changes(blocks)
    jumps = _jumps(blocks, change)
    disorder = len(jumps) >= _DISORDER and _goes_on_afar(blocks, change, jumps, near) >= _DISORDER
    return SliceFaults(
        stray=stray,
        copies=copies,
        jumps=() if disorder else tuple(int(kept[k]) for k in jumps),
        disorder=disorder,
        in_turn=0 if disorder else _in_turn(blocks),
    )


def _apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean difference of two slices, HU."""
    return float(np.abs(one - other).mean())


def _changes(blocks: NDArray[np.float32]) -> NDArray[np.float64]:
    """By how much each slice differs from the next."""
    return np.array([_apart(one, other) for one, other in pairwise(blocks)])


def _stray(
    blocks: NDArray[np.float32], change: NDArray[np.float64], longest: int
) -> tuple[int, ...]:
    """Slices, or few next to each other, that are like neither side."""
    found: list[int] = []
    start = 1
    while start < len(blocks) - 1:
        for count in range(1, longest + 1):
            after = start + count
            if after >= len(blocks):
                break
            nearest = min(change[start - 1], change[after - 1])
            if nearest <= _STRAY * _FLAT_HU:
                continue
            if nearest > _STRAY * max(_apart(blocks[start - 1], blocks[after]), _FLAT_HU):
                found += range(start, after)
                start = after
                break
        start += 1
    return tuple(found)


def _jumps(blocks: NDArray[np.float32], change: NDArray[np.float64]) -> list[int]:
    """Slices at which the picture breaks off, of those whose changes to the next are known."""
    usual = np.maximum(ndimage.median_filter(change, _AROUND, mode="nearest"), _FLAT_HU)
    abrupt = np.flatnonzero(change > _JUMP * usual)
    # Empty slices at an end are followed by a body.
    return [int(k) + 1 for k in abrupt if min(blocks[k].std(), blocks[k + 1].std()) > _FLAT_HU]


def _goes_on_afar(
    blocks: NDArray[np.float32], change: NDArray[np.float64], jumps: Sequence[int], near: int
) -> int:
    """How many jumps lead to a picture that is as like to one far away as neighbors are."""
    usual = max(float(np.median(change)), _FLAT_HU)
    places = np.arange(len(blocks))
    found = 0
    for k in jumps:
        afar = blocks[np.abs(places - k) > max(near, _LONGEST_STRAY)]
        apart = np.abs(afar - blocks[k]).mean(axis=(1, 2))
        found += bool(apart.size and apart.min() <= _GOES_ON * usual)
    return found


def _in_turn(blocks: NDArray[np.float32]) -> int:
    """How many pictures follow each other in turn, by how strongly they repeat."""
    window = np.hanning(_WINDOW + 2)[1:-1]
    frequencies = np.array([f for others, own in _IN_TURN.values() for f in (*others, own)])
    angles = np.pi * np.outer(frequencies, np.arange(_WINDOW))
    waves = window / window.sum() * np.concatenate([np.cos(angles), np.sin(angles)])
    waves = waves.astype(np.float32)
    found: set[int] = set()
    for start in range(0, len(blocks) - _WINDOW + 1, _WINDOW // 2):
        part = blocks[start : start + _WINDOW].reshape(_WINDOW, -1)
        mean = part.mean(axis=0)
        tissue = mean > _TISSUE_HU
        cosines, sines = np.split(waves @ (part[:, tissue] - mean[tissue]), 2)
        strength = cosines**2 + sines**2
        least = _SHARE * max(int(np.count_nonzero(tissue)), _FEWEST_BLOCKS)
        for count, (below, above, own) in zip(_IN_TURN, strength.reshape(2, 3, -1), strict=True):
            slower = np.maximum((below + above) / 2, _LEAST_HU**2)
            if np.count_nonzero(own > _STRONGER * slower) > least:
                found.add(count)
    return min(found, default=0)
