"""Open a dataset of any kind: find its cases by names alone."""

from __future__ import annotations

from pathlib import Path

from renalis.conventions import Convention
from renalis.conventions import convention as convention_of
from renalis.dataset.adapters import ADAPTERS
from renalis.dataset.cases import Dataset
from renalis.dataset.detection import detect
from renalis.errors import InputError, UsageError

__all__ = ["open_dataset"]


def open_dataset(
    path: str | Path, kind: str = "auto", convention: Convention | str | None = None
) -> Dataset:
    """Find the cases of a dataset; only names are read, no voxels.

    Parameters
    ----------
    path : path-like
        Folder of the dataset (of KiTS: its repository or the folder with the cases), a CSV, or a
        file of slices.
    kind : str
        ``"kits19"``, ``"kits21"`` (the majority vote; ``"kits21-and"``, ``"kits21-or"`` for the
        others), ``"kits23"``, ``"radboud"``, ``"nnunet"``, ``"folder"``, ``"csv"``, ``"slices"``
        (single slices, see `renalis.dataset.slices`), or ``"auto"``.
    convention : Convention, str or None
        What the label values mean, where the dataset does not say so itself; given for one that
        does, it wins.

    Returns
    -------
    Dataset
        Cases in the order of their numbers.

    Raises
    ------
    InputError
        If it is no dataset, or could be several kinds; the sentence says which to choose.
    """
    root = Path(path)
    if not root.exists():
        raise InputError(f"{root} does not exist; check the path")
    if kind != "auto" and kind not in ADAPTERS:
        raise UsageError(f"there is no kind {kind!r} of dataset; known are {', '.join(ADAPTERS)}")
    given = convention_of(convention) if isinstance(convention, str) else convention
    return ADAPTERS[detect(root) if kind == "auto" else kind](root, given)
