"""Average several systems' class probabilities on the scan's own grid, slab by slab.

Members may lie on grids of their own, come from other programs, or be mere label maps, which vote
with probability 1. At any time one slab of one member and of the mean is in memory, in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from renalis.errors import InputError
from renalis.io.read_labels import read_label_map
from renalis.io.scan import shown
from renalis.look_spread import LookSpread, spread_map
from renalis.prediction.nnunet_probabilities import open_nnunet
from renalis.prediction.restore_probabilities import Decide, argmax, slabs
from renalis.prediction.sliding import THIN
from renalis.volume import Kind, Volume

__all__ = ["Ensembled", "LabelVotes", "Member", "Regrouped", "average", "open_member"]


class Member(Protocol):
    """Anything that gives class probabilities on a scan's grid, a slab at a time and in order."""

    @property
    def classes(self) -> int:
        """Number of classes, background (0) included."""

    def slab(self, start: int, stop: int) -> NDArray[np.float32]:
        """Probabilities (K, I, J, stop - start) along the scan's last array axis."""

    def finish(self) -> None:
        """Check what can only be checked at the end.

        Raises
        ------
        InputError
            If the member turns out not to belong to the scan.
        """


@dataclass(frozen=True, eq=False)
class LabelVotes:
    """A label map as a member: probability 1 for each voxel's class."""

    labels: Volume
    classes: int

    def __post_init__(self) -> None:
        highest = int(self.labels.array.max(initial=0))
        if highest >= self.classes:
            raise ValueError(f"a label map of {self.classes} classes holds the label {highest}")

    def slab(self, start: int, stop: int) -> NDArray[np.float32]:
        """Probabilities (K, I, J, stop - start) along the scan's last array axis."""
        part = self.labels.array[:, :, start:stop]
        return np.stack([part == c for c in range(self.classes)]).astype(np.float32)

    def finish(self) -> None:
        """Nothing is left to check."""


@dataclass(frozen=True, eq=False)
class Regrouped:
    """A member whose classes are other ones: their probabilities are added.

    Parameters
    ----------
    member : Member
        With its own classes.
    into : tuple of int
        For each of its classes the class of the ensemble. ``(0, 1, 2, 2)`` makes tumors and cysts
        of KiTS23 the abnormalities of the Radboud data.
    classes : int
        Of the ensemble.
    """

    member: Member
    into: tuple[int, ...]
    classes: int

    def __post_init__(self) -> None:
        if len(self.into) != self.member.classes:
            raise ValueError(
                f"{self.member.classes} classes cannot be regrouped by {len(self.into)} numbers"
            )
        if min(self.into) < 0 or max(self.into) >= self.classes:
            raise ValueError(f"the ensemble's classes are 0 to {self.classes - 1}")

    def slab(self, start: int, stop: int) -> NDArray[np.float32]:
        """Probabilities (K, I, J, stop - start) along the scan's last array axis."""
        own = self.member.slab(start, stop)
        result = np.zeros((self.classes, *own.shape[1:]), np.float32)
        for channel, target in zip(own, self.into, strict=True):
            result[target] += channel
        return result

    def finish(self) -> None:
        """Check what can only be checked at the end."""
        self.member.finish()


@dataclass(frozen=True, eq=False)
class Ensembled:
    """What the members say together.

    Attributes
    ----------
    labels : Volume
        uint8, exactly on the scan's grid.
    foreground : Volume
        uint8 0 to 255: mean probability of everything that is not background.
    lesion : Volume or None
        The same of the classes that are lesions; None where there are none.
    spread : LookSpread or None
        How much the members differ; None of one, and of members with different weights.
    """

    labels: Volume
    foreground: Volume
    lesion: Volume | None = None
    spread: LookSpread | None = None


def average(
    members: Sequence[Member],
    scan: Volume,
    *,
    weights: Sequence[float] | None = None,
    lesions: Sequence[int] = (),
    decide: Decide = argmax,
    progress: Callable[[int, int], None] | None = None,
) -> Ensembled:
    """Mean of the members' class probabilities, decided voxel by voxel.

    Parameters
    ----------
    members : sequence of Member
        `renalis.prediction.restore_probabilities.OnScan` for own predictions, `open_member` for
        files.
    scan : Volume
        Its grid is that of the result.
    weights : sequence of float, optional
        One for each member; equal by default.
    lesions : sequence of int
        The classes that are lesions.
    decide : callable
        Mean probabilities of a slab to labels.
    progress : callable, optional
        Called with slabs done and slabs in all.

    Raises
    ------
    ValueError
        If there is no member, weights do not fit, or members differ in their classes.
    InputError
        If a member's file is damaged or does not belong to the scan.
    """
    if not members:
        raise ValueError("an ensemble of no members")
    shares = [1.0] * len(members) if weights is None else list(weights)
    if len(shares) != len(members) or min(shares) < 0 or sum(shares) <= 0:
        raise ValueError(f"{len(members)} members need as many weights, not all zero")
    counts = sorted({member.classes for member in members})
    if len(counts) != 1:
        raise ValueError(f"members have {' and '.join(map(str, counts))} classes; regroup them")
    labels = scan.unlabeled()
    foreground = np.zeros_like(scan.array, dtype=np.uint8)
    lesion = np.zeros_like(foreground) if lesions else None
    alike = len(members) > 1 and len(set(shares)) == 1
    spread = _MemberSpread(scan, lesions, len(members)) if alike else None
    ranges = slabs(scan)
    for number, (start, stop) in enumerate(ranges):
        mean: NDArray[np.float32] | None = None
        for member, share in zip(members, shares, strict=True):
            part = member.slab(start, stop)
            if spread is not None:
                spread.add(part, start)
            part *= np.float32(share / sum(shares))
            mean = part if mean is None else np.add(mean, part, out=mean)
        assert mean is not None
        labels.array[:, :, start:stop] = decide(mean)
        foreground[:, :, start:stop] = _stored(1 - mean[0])
        if lesion is not None:
            lesion[:, :, start:stop] = _stored(mean[list(lesions)].sum(0))
        if spread is not None:
            spread.settle(start, stop)
        if progress is not None:
            progress(number + 1, len(ranges))
    for member in members:
        member.finish()
    return Ensembled(
        labels,
        scan.like(foreground, Kind.PROBABILITY),
        None if lesion is None else scan.like(lesion, Kind.PROBABILITY),
        None if spread is None else spread.maps(scan),
    )


def _stored(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities as they are kept, uint8."""
    return np.asarray(np.rint(probability * 255).clip(0, 255), np.uint8)


class _MemberSpread:
    """Adds up what members say of a slab, at every second voxel, and keeps how much they differ."""

    def __init__(self, scan: Volume, lesions: Sequence[int], count: int) -> None:
        thin = tuple(-(-n // THIN) for n in scan.shape)
        self.lesions, self.count = list(lesions), count
        self.kept = np.zeros((2 if lesions else 1, *thin), np.uint8)
        self.sums: list[NDArray[np.float32]] = []

    def add(self, part: NDArray[np.float32], start: int) -> None:
        """One member's probabilities (K, I, J, N) from slice ``start`` on, as they come."""
        thin = part[:, ::THIN, ::THIN, -start % THIN :: THIN]
        own = np.stack([1 - thin[0], *([thin[self.lesions].sum(0)] if self.lesions else [])])
        if not self.sums:
            self.sums = [np.zeros_like(own), np.zeros_like(own)]
        self.sums[0] += own
        self.sums[1] += own * own

    def settle(self, start: int, stop: int) -> None:
        """Keep the spread of a slab that all members have been added for."""
        mean, squares = (total / np.float32(self.count) for total in self.sums)
        first, after = -(-start // THIN), -(-stop // THIN)
        self.kept[..., first:after] = spread_map(squares - mean * mean)
        self.sums = []

    def maps(self, scan: Volume) -> LookSpread:
        """The spread as volumes."""
        affine = scan.affine.copy()
        affine[:3, :3] *= THIN
        found = [Volume(own, affine, Kind.PROBABILITY) for own in self.kept]
        return LookSpread(found[0], found[1] if self.lesions else None, self.count, "members")


def open_member(path: Path, scan: Volume, classes: int, *, ignore_geometry: bool = False) -> Member:
    """A file that another program, or an earlier run, wrote for a scan.

    Parameters
    ----------
    path : Path
        nnU-Net's ``.npz``, or a NIfTI label map whose values are class numbers.
    scan : Volume
        The scan as its file stores it.
    classes : int
        Number of classes of a label map, background included.
    ignore_geometry : bool
        Whether a label map of the scan's shape is taken as lying on its grid whatever its header
        says (the published predictions of ``unet3d-residual`` have wrong headers).

    Raises
    ------
    InputError
        If the file is damaged, is neither of both, or lies on another grid.
    """
    name = shown(path)
    if path.suffix == ".npz":
        return open_nnunet(path, scan)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{name} is neither nnU-Net's .npz nor a NIfTI label map")
    labels = read_label_map(path, placed=not ignore_geometry)
    if labels.shape != scan.shape:
        raise InputError(f"{name} has {labels.shape} voxels, the scan {scan.shape}")
    if not ignore_geometry and not labels.same_grid(scan, tolerance_mm=0.01):
        raise InputError(
            f"{name} has the scan's shape but lies elsewhere; if only its header is wrong, say "
            "that geometry is to be ignored"
        )
    highest = int(labels.array.max(initial=0))
    if highest >= classes:
        raise InputError(f"{name} holds the label {highest}, but there are {classes} classes")
    return LabelVotes(scan.like(labels.array, Kind.LABELS), classes)
