"""Whether a model has seen a scan in its training, and how that is said."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from renalis.io import Scan
from renalis.model_header import CaseHashes, FoldSides, KnownCases
from renalis.voxel_hash import voxel_hash

__all__ = ["OUT_OF_FOLD", "SEEN", "KnownModel", "Seen", "seen_case", "seen_scan"]

SEEN = "seen_in_training"
"""In ``provenance.json``: `Seen.facts` of each model that has seen the scan in its training; an
empty list if they know their cases and have not."""

OUT_OF_FOLD = "renalis label maps out of fold"
"""Format of what is noted next to a label map that cross-validation made, which is a test."""

_CHANNEL = "_0000"


@dataclass(frozen=True)
class Seen:
    """How a model knows a case.

    Attributes
    ----------
    model : str
        Its name.
    case : str
        What the case was called in the training.
    how : {"learned", "validated"}
        Learned from by at least one fold that predicts, or only validated with.
    by : {"voxels", "labels", "name"}
        What it was recognized by: the scan's voxels, the reference's, or the name alone.
    folds, of : tuple of int
        The folds that did so, and those that predict.
    """

    model: str
    case: str
    how: Literal["learned", "validated"]
    by: Literal["voxels", "labels", "name"]
    folds: tuple[int, ...]
    of: tuple[int, ...]

    @property
    def sentence(self) -> str:
        """For people."""
        what = "this scan"
        if self.by == "labels":
            what = "the scan of this reference"
        if self.by == "name":
            what = f"a scan named {self.case}, probably this one"
        which = ""
        if len(self.of) > 1:
            several = len(self.folds) > 1
            which = f" ({'folds' if several else 'fold'} {', '.join(map(str, self.folds))})"
        if self.how == "validated":
            return (
                f"{self.model} was validated with {what}{which}: its weights may have been chosen "
                "by it"
            )
        return f"{self.model} learned from {what}{which}: the result is no test of it"

    def facts(self) -> dict[str, Any]:
        """For ``provenance.json``; the case's name in the training stays out."""
        return {
            "model": self.model,
            "how": self.how,
            "recognized_by": self.by,
            "folds": list(self.folds),
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class KnownModel:
    """A model, or the folds of a run that predict, and what is known about its training.

    Attributes
    ----------
    name : str
        Of the model.
    cases : KnownCases or None
        What it knows case by case; None: nothing.
    folds : tuple of int or None
        Those that predict; all by default.
    description : str
        What it says about its training in general.
    """

    name: str
    cases: KnownCases | None
    folds: tuple[int, ...] | None = None
    description: str = ""

    @property
    def remark(self) -> str:
        """A sentence where nothing can be said case by case; else empty."""
        if self.cases is not None:
            return ""
        said = f" It says: {self.description}" if self.description else ""
        return (
            f"{self.name} does not say case by case what it learned from, so these may be among "
            f"them.{said}"
        )

    def seen(self, names: Collection[str], *, image: str = "", label: str = "") -> Seen | None:
        """Whether it has seen a case in training; see `seen_case`."""
        return seen_case(self.name, self.cases, names, image=image, label=label, folds=self.folds)


def seen_scan(models: Iterable[KnownModel], scan: Scan) -> tuple[Seen, ...]:
    """What each model that predicts has seen of a scan in its training."""
    known = [model for model in models if model.cases is not None]
    hashed = any(model.cases is not None and model.cases.hashes for model in known)
    image = voxel_hash(scan.volume) if hashed else ""
    found = (model.seen([scan.case_id], image=image) for model in known)
    return tuple(seen for seen in found if seen is not None)


def seen_case(
    model: str,
    known: KnownCases | None,
    names: Collection[str],
    *,
    image: str = "",
    label: str = "",
    folds: Sequence[int] | None = None,
) -> Seen | None:
    """Whether a model has seen a case in training.

    Parameters
    ----------
    model : str
        Its name.
    known : KnownCases or None
        What it knows about its training; None: nothing.
    names : collection of str
        What the case is called here. Counts only where hashes say nothing.
    image, label : str
        `renalis.voxel_hash.voxel_hash` of the scan, of its reference; empty: not known.
    folds : sequence of int, optional
        Those that predict; all by default.
    """
    if known is None:
        return None
    own = {name.removesuffix(_CHANNEL) for name in names} | set(names) if known.named else set()
    sides = [fold for fold in known.folds if folds is None or fold.number in folds]
    of = tuple(fold.number for fold in sides)
    found: list[Seen] = []
    for number, how, case in _met(sides):
        by = _recognized(known.hashes.get(case, CaseHashes()), case in own, image, label)
        if by is not None:
            found.append(Seen(model, case, how, by, (number,), of))
    for how in ("learned", "validated"):
        same = [one for one in found if one.how == how]
        if same:
            best = min(same, key=lambda one: ("voxels", "labels", "name").index(one.by))
            numbers = tuple(sorted({n for one in same for n in one.folds}))
            return Seen(model, best.case, best.how, best.by, numbers, of)
    return None


def _met(
    sides: Sequence[FoldSides],
) -> list[tuple[int, Literal["learned", "validated"], str]]:
    """Fold, side and case of all that training looked at."""
    return [
        *((fold.number, "learned", case) for fold in sides for case in fold.train),
        *((fold.number, "validated", case) for fold in sides for case in fold.val),
    ]


def _recognized(
    stored: CaseHashes, named: bool, image: str, label: str
) -> Literal["voxels", "labels", "name"] | None:
    """By what a case of the training is this one."""
    if image and stored.image:
        # Equal names of different scans are no sign.
        return "voxels" if image == stored.image else None
    if label and label == stored.label:
        return "labels"
    return "name" if named else None
