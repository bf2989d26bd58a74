"""Whether a scan can lie in the patient as its header says: size, axes, one body and not two.

No header proves itself. A body that ends in air at head and feet and is cut at both flanks has
exchanged axes, whatever its affine says; one of 12 cm is an infant's, or has lost its spacing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.scan import Scan, shown
from renalis.preparation.body import Body, find_body
from renalis.preparation.repeated_anatomy import repetition
from renalis.volume import Volume

__all__ = ["NARROW_MM", "Doubt", "extent_mm", "is_cut", "place_doubts", "with_place_notes"]

_TISSUE_HU = -300
_BONE_HU = 200
_AIR_HU = -930
"""Lung is denser, but for emphysema."""
_SAMPLES = 96
"""Voxels along each axis that are examined."""
_CLOSED, _OPEN = 0.1, 0.2
"""Tissue in an outermost slice over that in the fullest one: where a body ends, and where it is cut
through. Trunks are cut through at head and feet."""
NARROW_MM, _WIDE_MM = 180.0, 650.0
"""A body as narrow is a small child's; none as wide fits into a scanner's field of view."""
_KIDNEY_MM = 60.0
"""No adult's kidney is as short."""
_FEWEST_VOXELS = 64
"""Along the longest axis of what may be a whole scan; less is a snippet."""
_LARGE_MATRIX = 512
_SIDEWAYS, _CENTRAL, _FRONT = 0.2, 0.25, -0.25
_BEHIND = 0.1
"""Where a spine lies, in half widths and depths of the body from its middle."""
_DEEP = 1.1
"""Depth over width of a body that lies on its side; 0.5 to 0.8 otherwise."""
_LEAST_COLUMN = 0.6
"""Share of the slices in which a spine shows bone in the same place, more or less."""
_MIN_LEVELS = 8
_AXES = ("head to feet", "front to back", "right to left")
_ADVICE = "export the scan again, best from DICOM with dcm2niix"
_SURE = "if you are sure that it is right, go on with --trust-place"


@dataclass(frozen=True)
class Doubt:
    """Something about a scan's place that is odd, or cannot be.

    Attributes
    ----------
    sentence : str
        What is wrong; begins in small letters and names no file.
    advice : str
        What to do; empty where it is merely odd.
    """

    sentence: str
    advice: str = ""

    @property
    def impossible(self) -> bool:
        """Whether the scan should not be used as it is."""
        return bool(self.advice)


def with_place_notes(scan: Scan, trusted: bool = False) -> Scan:
    """A scan with warnings about its place, or a refusal where the header cannot be right.

    Parameters
    ----------
    scan : Scan
        As read.
    trusted : bool
        Whether its user is sure: nothing is refused, all is a warning.

    Returns
    -------
    Scan
        With more warnings where its place is odd.

    Raises
    ------
    InputError
        If the scan cannot lie in a patient as its header says.
    """
    doubts = place_doubts(scan.volume)
    for doubt in doubts:
        if doubt.impossible and not trusted:
            name = shown(scan.source.path)
            raise InputError(f"{name}: {doubt.sentence}; {doubt.advice}, or {_SURE}")
    notes = tuple(f"{scan.case_id}: {doubt.sentence}" for doubt in doubts)
    return replace(scan, warnings=(*scan.warnings, *notes))


def place_doubts(scan: Volume) -> list[Doubt]:
    """What is odd or impossible about a scan's place.

    Parameters
    ----------
    scan : Volume
        HU, any orientation. About 96 voxels along each axis are examined.

    Returns
    -------
    list of Doubt
        Empty for nearly every scan.
    """
    canonical = scan.reoriented()
    axes = _swapped(canonical)
    if axes is not None:
        return [axes]
    body = find_body(canonical)
    doubts = _lost_affine(canonical, body) + _size(canonical, body) + _turned(canonical, body)
    again = repetition(canonical)
    return doubts if again is None else [*doubts, _stacked(canonical, again)]


def _stacked(scan: Volume, place: int) -> Doubt:
    """The same anatomy twice."""
    return Doubt(
        f"the slices from {place + 1} of {scan.shape[0]} on, counted from the feet, show the same "
        f"part of the body again, as when two contrast phases are stacked in one file",
        "give one phase as a file of its own",
    )


def _swapped(scan: Volume) -> Doubt | None:
    """Axes exchanged: the body ends in air at head and feet, and is cut through elsewhere."""
    steps = [max(1, n // _SAMPLES) for n in scan.shape]
    small = scan.array[:: steps[0], :: steps[1], :: steps[2]]
    open_ = [_openness(small > _TISSUE_HU, axis) for axis in range(3)]
    along = 1 + int(np.argmax(open_[1:]))
    if max(open_[0], open_[3 - along]) >= _CLOSED or open_[along] < _OPEN:
        return None
    # A crop may end in lung on two sides, a whole body ends in air.
    if max(float(np.median(small[end])) for end in (0, -1)) > _AIR_HU:
        return None
    return Doubt(
        f"the body is cut through at both ends of the axis from {_AXES[along]} and ends in air "
        "towards head and feet, so the axes are exchanged (slices stored first, described as if "
        "they came last?) and right, left and volumes are wrong",
        _ADVICE,
    )


def _openness(tissue: NDArray[np.bool_], axis: int) -> float:
    """Tissue in the emptier of the two outermost slices along an axis over that in the fullest."""
    others = tuple(other for other in range(3) if other != axis)
    shares = tissue.mean(axis=others)
    return float(min(shares[0], shares[-1]) / max(shares.max(), 1e-9))


def _lost_affine(scan: Volume, body: Body) -> list[Doubt]:
    """An affine that says nothing: 1 mm along each axis, from the origin."""
    affine = scan.affine
    corner = scan.world(np.array([[0, 0, 0], [n - 1 for n in scan.shape]]))
    plain = np.allclose(np.sort(np.abs(affine[:3, :3]), axis=0), [[0] * 3, [0] * 3, [1] * 3])
    if not plain or not np.all(np.minimum(*np.abs(corner)) < 1e-6):
        return []
    sentence = (
        "the affine is the identity, voxels of 1 mm from the origin on, as where the true one was "
        "lost: volumes, right and left are not to be trusted"
    )
    width = extent_mm(body, 2)
    # A body that fills the field of view is no wider for that.
    narrow = width is None or width < NARROW_MM
    side = _spine_side(scan, body)
    forward = side is not None and side[0] < _BEHIND
    wrong = narrow or forward or (width is not None and width > _WIDE_MM)
    if wrong or max(scan.shape[1:]) >= _LARGE_MATRIX:
        return [Doubt(sentence, _ADVICE)]
    return [Doubt(sentence)]


def _size(scan: Volume, body: Body) -> list[Doubt]:
    """A field of view that holds no kidney, a body that is narrow or wide."""
    field = max(n * mm for n, mm in zip(scan.shape, scan.spacing, strict=True))
    if field < _KIDNEY_MM and max(scan.shape) >= _FEWEST_VOXELS:
        return [
            Doubt(
                f"the whole scan is only {field / 10:.1f} cm large, smaller than a kidney: the "
                "voxel spacing is wrong (in cm instead of mm?), and volumes with it"
            )
        ]
    width = extent_mm(body, 2)
    if width is None:
        return []
    if width > _WIDE_MM:
        return [
            Doubt(
                f"the body is {width / 10:.0f} cm wide, more than any scanner shows, so the voxel "
                "spacing is wrong",
                _ADVICE,
            )
        ]
    if width < NARROW_MM and not is_cut(body, 2):
        return [
            Doubt(
                f"the body is only {width / 10:.0f} cm wide: a small child or an animal, or the "
                "voxel spacing is wrong and volumes with it"
            )
        ]
    return []


def _turned(scan: Volume, body: Body) -> list[Doubt]:
    """A spine that does not lie at the back."""
    place = _spine_side(scan, body)
    if place is None:
        return []
    back, left = place
    width, depth = extent_mm(body, 2), extent_mm(body, 1)
    if width is None or depth is None or is_cut(body, 2):
        return []
    if abs(left) > _SIDEWAYS and abs(back) < _CENTRAL and depth > _DEEP * width:
        side = "left" if left > 0 else "right"
        return [
            Doubt(
                f"the spine lies at the patient's {side} and the body is deeper than wide, so the "
                "axes from front to back and from right to left are exchanged, or the patient lay "
                "on one side and the header does not say so: right and left are wrong",
                _ADVICE,
            )
        ]
    if back < _FRONT and abs(left) < _SIDEWAYS and not is_cut(body, 1):
        return [
            Doubt(
                "the spine lies at the front: the patient lay face down and the header does not "
                "say so, or the scan is mirrored or turned; right and left may be exchanged"
            )
        ]
    return []


def _spine_side(scan: Volume, body: Body) -> tuple[float, float] | None:
    """Where a column of bone runs through the slices: towards the back and towards the left.

    In half depths and half widths of the body from its middle; None where there is no column.
    """
    if body.mask is None:
        return None
    steps = body.steps
    mask = body.mask.array > 0
    bone = mask & (scan.array[:: steps[0], :: steps[1], :: steps[2]] > _BONE_HU)
    levels = mask.any(axis=(1, 2))
    if levels.sum() < _MIN_LEVELS:
        return None
    # A vertebra's middle wanders: bone somewhere in three by three coarse voxels counts.
    wide = np.pad(bone, ((0, 0), (1, 1), (1, 1)))
    rows, columns = bone.shape[1:]
    near = np.zeros_like(bone)
    for y in range(3):
        for x in range(3):
            near |= wide[:, y : y + rows, x : x + columns]
    column = near.sum(axis=0) / levels.sum()
    if column.max() < _LEAST_COLUMN:
        return None
    spine = np.argwhere(column >= 0.9 * column.max()).mean(axis=0)
    ends = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in (1, 2)]
    back, left = (
        float((place - (e[0] + e[-1]) / 2) / max(1.0, (e[-1] - e[0]) / 2))
        for place, e in zip(spine, ends, strict=True)
    )
    return back, left


def extent_mm(body: Body, axis: int) -> float | None:
    """Width or depth of the body where it is widest, in mm; None without a body."""
    if body.mask is None:
        return None
    there = np.flatnonzero((body.mask.array > 0).any(axis=tuple({0, 1, 2} - {axis})))
    return float((there[-1] - there[0] - 1) * body.mask.spacing[axis])


def is_cut(body: Body, axis: int) -> bool:
    """Whether the field of view cuts through the body along an axis."""
    if body.mask is None:
        return True
    mask = np.moveaxis(body.mask.array > 0, axis, 0)
    shares = mask.mean(axis=(1, 2))
    # The mask is one voxel wider than the body, so a touch is no cut.
    return bool(max(shares[0], shares[-1]) > _CLOSED * shares.max())
