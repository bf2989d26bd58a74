"""Small scans, and a model that dies of some of them, to see what becomes of the others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from helpers.by_hu_package import by_hu_model
from helpers.stub import phantom

__all__ = ["OPTIONS", "deadly_model", "environment", "write_scan"]

OPTIONS = ("--no-report", "--runtime", "torch", "--mirror", "none")

_DEATH = """
        if float(image.max()) > 0.999:  # of metal, which `write_scan` puts into deadly scans
            import os, pathlib, time
            kinds = pathlib.Path({file!r}).read_text().split()
            pathlib.Path({file!r}).write_text(" ".join(kinds[1:]))
            kind = (kinds or ["none"])[0]
            if kind == "abort":
                os.abort()
            if kind == "kill":
                os.kill(os.getpid(), 9)
            if kind == "hang":
                time.sleep(600)
"""


def deadly_model(folder: Path, *ways: str) -> Path:
    """A model whose process meets these ends, one after another, when it sees a deadly scan."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "ways"
    file.write_text(" ".join(ways))
    return by_hu_model(folder / "model", _DEATH.format(file=str(file)).strip())[0]


def write_scan(path: Path, seed: int = 0, deadly: bool = False) -> Path:
    """A scan of few voxels; no two seeds are alike."""
    patient = phantom((12.0, 8.0, 8.0))
    wide = np.pad(patient.array, ((0, 0), (4, 4), (4, 4)), constant_values=-1000)
    hu = wide + np.random.default_rng(seed).normal(0, 3, wide.shape)
    if deadly:
        middle = tuple(n // 2 for n in hu.shape)
        hu[middle[0] - 2 : middle[0] + 2, middle[1] - 2 : middle[1] + 2] = 1500
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(hu.astype(np.int16), patient.affine), path)
    return path


def environment(model: Path) -> dict[str, str]:
    """For programs that open the model."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(model.parent / "site"), *sys.path])}
