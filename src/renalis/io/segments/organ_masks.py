"""A folder with one mask for each structure, as TotalSegmentator writes it.

``kidney_left.nii.gz``, ``kidney_right.nii.gz``, ``kidney_cyst_left.nii.gz``,
``kidney_tumor.nii.gz``: files whose names `renalis.io.segments.segment_labels` knows, without a
number; other organs are no matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io.scan import shown
from renalis.io.segments.segment_labels import label_of_name, words_of
from renalis.io.segments.stored import Segmented, painted
from renalis.volume import Kind, Volume

__all__ = ["organ_masks", "read_organ_masks"]

_ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_SAME_MM = 0.01


def organ_masks(folder: Path) -> dict[Path, Label]:
    """The masks of a folder by what they show; empty unless one of them is of a kidney."""
    found = {}
    for path in sorted(folder.iterdir()):
        stem = _ENDING.sub("", path.name)
        if stem == path.name or path.name.startswith(".") or re.search(r"\d", stem):
            continue
        label = label_of_name(stem)
        if label is not None:
            found[path] = label
    return found if Label.KIDNEY in found.values() else {}


def read_organ_masks(folder: Path, read: Callable[[Path], Volume]) -> Segmented:
    """One label map of a folder of masks.

    Parameters
    ----------
    folder : Path
        With at least one mask of a kidney.
    read : callable
        Reads one NIfTI file as whole numbers.

    Raises
    ------
    InputError
        If a mask cannot be read or the masks do not lie on one grid.
    """
    masks = organ_masks(folder)
    whole: Volume | None = None
    for path, label in masks.items():
        mask = read(path)
        if whole is None:
            whole = Volume(np.zeros_like(mask.array, order="K"), mask.affine, Kind.LABELS)
        if not whole.same_grid(mask, _SAME_MM):
            first = next(iter(masks)).name
            raise InputError(
                f"{shown(path.name)} and {shown(first)} in {shown(folder)} do not lie on the same "
                "grid; write all masks of a case on the grid of its scan"
            )
        painted(whole.array, [(label, mask.array > 0)])
    if whole is None:
        raise InputError(f"{shown(folder)} holds no mask of a kidney")
    return Segmented(whole, frozenset(masks.values()), _half_note(masks) + _unknown_note(folder))


def _half_note(masks: dict[Path, Label]) -> tuple[str, ...]:
    """Says so when there is a mask of one kidney only."""
    names = [_ENDING.sub("", p.name).lower() for p, x in masks.items() if x is Label.KIDNEY]
    sides = {side for side in ("left", "right") if any(side in n for n in names)}
    if len(sides) != 1:
        return ()
    return (f"there is a mask of the {sides.pop()} kidney only; the other counts as absent",)


def _unknown_note(folder: Path) -> tuple[str, ...]:
    """Names masks that have to do with kidneys and were not read."""
    stems = [_ENDING.sub("", p.name) for p in sorted(folder.iterdir()) if _ENDING.search(p.name)]
    left = [
        s
        for s in stems
        if label_of_name(s) is None and {"kidney", "kidneys", "renal"} & set(words_of(s))
    ]
    if not left:
        return ()
    return ("masks that stand for no kidney, tumor or cyst were left out: " + ", ".join(left[:8]),)
