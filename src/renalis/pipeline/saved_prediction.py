"""What the networks and the rules said about a scan: all that later steps need of it.

Until a case is finished this is kept in its folder, next to the label map: a measurement or a page
that failed can be made later without computing the networks again.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from renalis.io import whole_file
from renalis.postprocessing import RuleChange
from renalis.systems.segmenter import Segmented
from renalis.volume import Kind, Volume

__all__ = ["UNFINISHED", "load_prediction", "save_prediction"]

UNFINISHED = "unfinished.safetensors"
"""In the folder of a case that is not finished."""

_MAPS = ("kidney", "lesion")


def save_prediction(folder: Path, segmented: Segmented) -> None:
    """Write what later steps need, apart from the labels and the provenance, which have own files.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    arrays = {}
    for name in _MAPS:
        volume: Volume | None = getattr(segmented, name)
        if volume is not None:
            arrays[name] = np.ascontiguousarray(volume.array)
            arrays[f"{name}.affine"] = np.array(volume.affine)
    words = {
        "notes": segmented.notes,
        "changes": [asdict(change) for change in segmented.changes],
        "seconds": dict(segmented.seconds),
        "runtime": segmented.runtime,
    }
    with whole_file(folder / UNFINISHED) as file:
        file.write(save(arrays, {"words": json.dumps(words)}))


def load_prediction(folder: Path, labels: Volume) -> Segmented | None:
    """What `save_prediction` wrote, with the case's labels; None if it is not there or damaged."""
    try:
        with safe_open(folder / UNFINISHED, framework="np") as file:
            words = json.loads(file.metadata()["words"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        maps = {
            name: Volume(arrays[name], arrays[f"{name}.affine"], Kind.PROBABILITY)
            for name in _MAPS
            if name in arrays
        }
        return Segmented(
            labels=labels,
            kidney=maps.get("kidney"),
            lesion=maps.get("lesion"),
            notes=tuple(words["notes"]),
            changes=tuple(RuleChange(**change) for change in words["changes"]),
            seconds=words["seconds"],
            runtime=words["runtime"],
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
