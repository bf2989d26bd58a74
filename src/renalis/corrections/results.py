"""The result folders below an output folder of ``renalis segment``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalis.errors import InputError
from renalis.io.natural_order import by_number
from renalis.io.scan import shown
from renalis.pipeline.folder import LABELS, provenance

__all__ = ["Result", "find_results"]


@dataclass(frozen=True)
class Result:
    """One case's folder, as ``renalis segment`` left it.

    Attributes
    ----------
    name : str
        The case, which is the folder's name.
    folder : Path
        Holds at least the label map and ``provenance.json``.
    made : mapping
        Content of ``provenance.json``.
    """

    name: str
    folder: Path
    made: Mapping[str, Any]

    @property
    def labels(self) -> Path:
        """The model's own label map."""
        return self.folder / LABELS


def find_results(output: Path) -> tuple[Result, ...]:
    """The cases of an output folder, or the one whose folder it is.

    Parameters
    ----------
    output : Path
        What ``renalis segment -o`` was given, or one case's folder in it.

    Returns
    -------
    tuple of Result
        In the order of their names, numbers in them by value.

    Raises
    ------
    InputError
        If there is none.
    """
    if not output.is_dir():
        raise InputError(f"{shown(output)} is no folder; give the -o folder of renalis segment")
    one = _result(output)
    if one is not None:
        return (one,)
    below = sorted((p for p in output.iterdir() if p.is_dir()), key=lambda p: by_number(p.name))
    found = [_result(path) for path in below if not path.name.startswith(".")]
    results = tuple(result for result in found if result is not None)
    if not results:
        raise InputError(
            f"{shown(output)} holds no results of renalis segment (folders with {LABELS} and "
            "provenance.json); give the folder that -o named"
        )
    return results


def _result(folder: Path) -> Result | None:
    made = provenance(folder)
    if made is None or not (folder / LABELS).is_file():
        return None
    return Result(folder.absolute().name, folder, made)
