"""Label maps that bodies are built around: read from disk, or invented."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io.read_labels import read_label_map
from renalis.synthesis.invented_labels import invented_labels
from renalis.volume import Volume

__all__ = ["HeldBack", "held_back_maps", "invented_labels", "label_maps", "read_kits23_labels"]


class HeldBack(Protocol):
    """Which label maps of a folder are kept back for testing, as a recipe says it."""

    @property
    def every(self) -> int:
        """One of so many is kept back."""

    @property
    def start(self) -> int:
        """The first of them."""

    @property
    def among(self) -> int | None:
        """How many label maps the order is counted over; None takes any number."""

    def chosen(self, names: list[str]) -> list[str]:
        """The names that are kept back."""


def label_maps(folder: Path) -> list[Path]:
    """NIfTI files of a folder in order of names.

    Raises
    ------
    InputError
        If there are none.
    """
    maps = sorted([*folder.glob("*.nii.gz"), *folder.glob("*.nii")])
    if not maps:
        raise InputError(f"{folder} holds no .nii or .nii.gz label maps; give a folder that does")
    return maps


def held_back_maps(rule: HeldBack, maps: list[Path], folder: Path) -> list[Path]:
    """The label maps of a folder that a recipe keeps back for testing.

    Parameters
    ----------
    rule : HeldBack
        Which.
    maps : list of Path
        All label maps of the folder.
    folder : Path
        For the message.

    Raises
    ------
    InputError
        If there are more or fewer label maps than the rule counts over: it would choose others.
    """
    if rule.among is not None and len(maps) != rule.among:
        raise InputError(
            f"{folder} holds {len(maps)} label maps, but which ones the recipe keeps back is "
            f"counted over {rule.among}; give the folder that holds all of them, or set "
            "held_back.among in the recipe to the number of yours"
        )
    chosen = set(rule.chosen([path.name for path in maps]))
    return [path for path in maps if path.name in chosen]


def read_kits23_labels(path: Path) -> Volume:
    """Read KiTS23 labels (0 background, 1 kidney, 2 tumor, 3 cyst).

    Raises
    ------
    InputError
        If the file cannot be read or holds other values.
    """
    labels = read_label_map(path, placed=False)
    if labels.array.max(initial=0) > max(Label):
        raise InputError(f"{path} holds values other than 0, 1, 2, 3; it is not a KiTS23 label map")
    return labels
