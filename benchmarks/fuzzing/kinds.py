"""What is tried: how an input of each kind is made, and what it is given to."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

__all__ = ["KINDS", "Kind", "Target", "random_of"]


class Target(Protocol):
    """One kind of input: made once, before the process that tries it is forked."""

    def begin(self) -> None:
        """Start what cannot be forked: threads, servers."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write an input into an empty folder; what was changed, in words."""

    def use(self, folder: Path) -> None:
        """Give it to the program; RenalisError is how it is refused."""


@dataclass(frozen=True)
class Kind:
    """Where a kind's `Target` is, and how many of all inputs are of it."""

    module: str
    share: int

    def target(self, scratch: Path) -> Target:
        """Load the program's part, and make what all inputs share in a folder."""
        found: Target = importlib.import_module(f"fuzzing.{self.module}").target(scratch)
        return found


KINDS = {
    "dicom": Kind("dicom", 25),
    "nifti": Kind("nifti", 15),
    "itk": Kind("itk", 10),
    "archive": Kind("archive", 10),
    "segments": Kind("segments", 10),
    "recipe": Kind("recipe", 12),
    "model": Kind("model", 8),
    "tables": Kind("tables", 10),
    "http": Kind("http", 10),
    "dimse": Kind("dimse", 6),
}


def random_of(kind: str, seed: int, number: int) -> Random:
    """What an input is made with: the same on every machine."""
    return Random(f"{kind}/{seed}/{number}")
