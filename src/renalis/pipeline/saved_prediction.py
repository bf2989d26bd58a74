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

from renalis.calibration import Fits
from renalis.io import whole_file
from renalis.look_spread import LookSpread
from renalis.postprocessing import RuleChange
from renalis.systems.segmenter import Segmented
from renalis.volume import Kind, Volume

__all__ = ["UNFINISHED", "load_prediction", "save_prediction"]

UNFINISHED = "unfinished.safetensors"
"""In the folder of a case that is not finished."""

_MAPS = ("kidney", "lesion")
_SPREADS = ("spread.kidney", "spread.lesion")


def save_prediction(folder: Path, segmented: Segmented) -> None:
    """Write what later steps need, apart from the labels and the provenance, which have own files.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    arrays = {}
    for name, volume in _volumes(segmented).items():
        if volume is not None:
            arrays[name] = np.ascontiguousarray(volume.array)
            arrays[f"{name}.affine"] = np.array(volume.affine)
    words = {
        "notes": segmented.notes,
        "changes": [asdict(change) for change in segmented.changes],
        "seconds": dict(segmented.seconds),
        "runtime": segmented.runtime,
        "looks": 0 if segmented.spread is None else segmented.spread.looks,
        "among": None if segmented.spread is None else segmented.spread.among,
        "fits": None if segmented.fits is None else segmented.fits.model_dump(),
    }
    with whole_file(folder / UNFINISHED) as file:
        file.write(save(arrays, {"words": json.dumps(words)}))


def _volumes(segmented: Segmented) -> dict[str, Volume | None]:
    """All maps by their names in the file."""
    spread = segmented.spread
    both = (None, None) if spread is None else (spread.kidney, spread.lesion)
    maps = (segmented.kidney, segmented.lesion, *both)
    return dict(zip((*_MAPS, *_SPREADS), maps, strict=True))


def load_prediction(folder: Path, labels: Volume) -> Segmented | None:
    """What `save_prediction` wrote, with the case's labels; None if it is not there or damaged."""
    try:
        with safe_open(folder / UNFINISHED, framework="np") as file:
            words = json.loads(file.metadata()["words"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        maps = {
            name: Volume(arrays[name], arrays[f"{name}.affine"], Kind.PROBABILITY)
            for name in (*_MAPS, *_SPREADS)
            if name in arrays
        }
        spread = None
        if words["looks"]:
            kidney, lesion = map(maps.get, _SPREADS)
            spread = LookSpread(kidney, lesion, int(words["looks"]), words["among"])
        return Segmented(
            labels=labels,
            kidney=maps.get("kidney"),
            lesion=maps.get("lesion"),
            notes=tuple(words["notes"]),
            changes=tuple(RuleChange(**change) for change in words["changes"]),
            seconds=words["seconds"],
            runtime=words["runtime"],
            spread=spread,
            fits=None if words["fits"] is None else Fits.model_validate(words["fits"]),
        )
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
