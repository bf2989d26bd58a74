"""Whether a volume's slices follow each other, where no header of single slices is left to ask.

NIfTI, MetaImage and NRRD files are made of DICOM series, and of what was wrong with those. The file
stays as it is, since label maps lie on its grid: what is found is said, and nothing is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from renalis.io.slice_sequence import most_in_gap, slice_faults
from renalis.io.slice_words import faults_in_words, listed_mm, slices_in_words
from renalis.volume import Volume

__all__ = ["slice_doubts"]

_THICKER = 1.1
"""Slices are as far apart as no pixels are; where all distances are alike, they are axial."""


def slice_doubts(volume: Volume) -> list[str]:
    """What is doubtful about the sequence of slices, as sentences without a name.

    Parameters
    ----------
    volume : Volume
        int16 HU, any orientation.
    """
    axis = _slice_axis(volume)
    pictures = np.moveaxis(volume.array, axis, 0)
    faults = slice_faults(pictures, most_in_gap(volume.spacing[axis]))

    def places(indices: Sequence[int]) -> str:
        return _places(volume, axis, indices)

    if faults.disorder:
        return [
            "the pictures of its slices do not follow each other in their order, so that it shows "
            "no body as it is; make the file again from the series, best from the archive that it "
            "came from"
        ]
    found = []
    if faults.stray:
        found.append(
            f"{slices_in_words(len(faults.stray), 'does', 'do')} not fit the neighbors (damaged, "
            f"or from another scan?), so what is found there is not to be trusted, at "
            f"{places(faults.stray)}"
        )
    if faults.in_turn:
        second = "second" if faults.in_turn == 2 else "third"
        found.append(
            f"its slices change in brightness with every {second} one, as when {faults.in_turn} "
            "contrast phases are mixed; make a file of each phase"
        )
    return [*found, *faults_in_words(faults, places)]


def _slice_axis(volume: Volume) -> int:
    spacing = volume.spacing
    longest = int(np.argmax(spacing))
    others = [mm for axis, mm in enumerate(spacing) if axis != longest]
    if spacing[longest] > _THICKER * max(others):
        return longest
    return next(axis for axis, code in enumerate(volume.orientation) if code in "SI")


def _places(volume: Volume, axis: int, indices: Sequence[int]) -> str:
    """The coordinate that users know a slice by: along the patient's axis that is nearest to it."""
    index = np.zeros((len(indices), 3))
    index[:, axis] = indices
    along = int(np.argmax(np.abs(volume.affine[:3, axis])))
    return listed_mm([float(place) for place in volume.world(index)[:, along]])
