"""The command line that the module runs, and where it finds its result; nothing of 3D Slicer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

__all__ = ["command", "environment", "find_program", "segmentation_of", "sentence_of"]

SEGMENTATION = "segmentation.seg.nrrd"


def find_program(chosen: str) -> str:
    """The program to run: the one chosen, else the one on the search path, else empty."""
    return chosen.strip() or shutil.which("renalis") or ""


def command(
    program: str, scan: Path, output: Path, *, threads: int = 0, fast: bool = False
) -> list[str]:
    """The words of the command line.

    Parameters
    ----------
    program : str
        Path of ``renalis``.
    scan : Path
        NIfTI file of the volume.
    output : Path
        Folder for the result.
    threads : int
        For the networks; 0 takes all cores.
    fast : bool
        Whether the networks look once instead of four times.
    """
    words = [program, "segment", str(scan), "-o", str(output), "--write", "nifti,nrrd"]
    words += ["--no-report", "--json"]
    words += ["--threads", str(threads)] if threads else []
    words += ["--mirror", "none"] if fast else []
    return words


def environment(known: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for another Python than 3D Slicer's own, whose libraries it must not load."""
    own = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "LD_LIBRARY_PATH")
    return {name: value for name, value in known.items() if name not in own}


def segmentation_of(output: Path) -> Path | None:
    """The segmentation in the folder of the one case; None if nothing was found in the scan."""
    found = sorted(output.glob(f"*/{SEGMENTATION}"))
    return found[0] if found else None


def sentence_of(errors: str) -> str:
    """What the program said went wrong."""
    lines = [line for line in errors.splitlines() if line.startswith("renalis: ")]
    return lines[-1].removeprefix("renalis: ") if lines else errors.strip()[-500:]
