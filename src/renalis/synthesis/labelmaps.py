"""Label maps that bodies are built around: read from disk, or invented."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from renalis.errors import InputError
from renalis.synthesis.shapes import invented_labels
from renalis.volume import Kind, Volume

__all__ = ["invented_labels", "label_maps", "read_label_map"]


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


def read_label_map(path: Path) -> Volume:
    """Read KiTS23 labels (0 background, 1 kidney, 2 tumor, 3 cyst).

    Raises
    ------
    InputError
        If the file cannot be read or holds other values.
    """
    try:
        image = nibabel.load(path)
        array = np.asarray(image.dataobj)  # type: ignore[attr-defined]
        volume = Volume(array, image.affine, Kind.LABELS)  # type: ignore[attr-defined]
    except (OSError, ValueError, EOFError, nibabel.filebasedimages.ImageFileError) as error:
        raise InputError(f"{path} cannot be read as a label map: {error}") from error
    if not np.isin(np.unique(array), (0, 1, 2, 3)).all():
        raise InputError(f"{path} holds values other than 0, 1, 2, 3; it is not a KiTS23 label map")
    return volume
