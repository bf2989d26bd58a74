"""The scans that rooms measure on: made when a file of them is lacking.

Small, and without renalis: a program's peak memory is never less than that of the one that
started it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from arms import HERE, Arm, run

_FILES = {
    "synthetic": ("synthetic", "synthetic-truth", "synthetic-long", "synthetic-part"),
    "real": ("real", "real-long", "real-part"),
}


def scans(work: Path, kind: str, data: Path | None = None) -> Path:
    """The folder with the scans of a kind, ``synthetic`` or ``real`` (`scans.py` says which)."""
    folder = work / "scans"
    if not all((folder / f"{name}.nii.gz").exists() for name in _FILES[kind]):
        words: tuple[str | Path, ...] = (HERE / "scans.py", kind, folder)
        if data is not None:
            words = (*words, "--data", data)
        run(Arm("make the scans", (Path(sys.executable), *words)), threads=2)
    return folder
