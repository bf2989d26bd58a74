"""The fingerprint of a dataset: numbers and hashes by which two copies can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.child_processes import map_cases
from renalis.dataset.case_facts import HU_LOW, CaseFacts, examine
from renalis.dataset.cases import Dataset, listed
from renalis.dataset.findings import Level
from renalis.errors import InputError
from renalis.io.scan import shown

__all__ = ["fingerprint", "hu_summary", "read_volumes", "summarized"]

_FORMAT = "renalis dataset fingerprint"
_PERCENTILES = (0.5, 50.0, 99.5)


def fingerprint(
    dataset: Dataset,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> dict[str, Any]:
    """Hashes, spacings, sizes, HU in the kidneys and volumes of a dataset.

    Parameters
    ----------
    dataset : Dataset
        What to describe.
    jobs : int
        Processes; each holds one scan (int16) and its labels.
    progress : callable
        Called after each case with how many are done and how many there are.

    Returns
    -------
    dict
        Ready for JSON; neither paths nor patients are in it. ``sha256`` is one number for the whole
        dataset: it changes when any voxel of any scan or label map does, not when files are packed
        again or put into another axis order.

    Raises
    ------
    InputError
        If a case cannot be read, or its label map does not fit it: `check_dataset` tells all.
    """
    work = partial(examine, convention=dataset.convention)
    facts = map_cases(work, dataset.cases, jobs, progress)
    faulty = [f for fact in facts for f in fact.findings if f.level is Level.ERROR]
    if faulty:
        names = listed(dict.fromkeys(f.case for f in faulty))
        raise InputError(
            f"{len(faulty)} things are wrong in {shown(dataset.root)} ({names}), the first: "
            f"{faulty[0].sentence}; `renalis dataset check` lists all"
        )
    return summarized(dataset, facts)


def summarized(dataset: Dataset, facts: Sequence[CaseFacts]) -> dict[str, Any]:
    """The fingerprint of cases that have been read; see `fingerprint`."""
    labels = list(dataset.convention.values)
    labelled = [f for f in facts if f.ml]
    pooled = (
        {name: np.sum([f.hu[name] for f in facts if name in f.hu], axis=0) for name in labels}
        if any(f.hu for f in facts)
        else {}
    )
    return {
        "format": _FORMAT,
        "version": 1,
        "dataset": dataset.name,
        "convention": dataset.convention.value,
        "labels": dataset.convention.values,
        "cases": len(facts),
        "labelled": len(labelled),
        "sha256": _whole_hash(facts),
        "spacing_mm": {a: _spread(f.size_mm[i] for f in facts) for i, a in enumerate("zyx")},
        "size": {a: _spread(f.size[i] for f in facts) for i, a in enumerate("zyx")},
        "orientations": _counted(f.orientation for f in facts),
        "volume_ml": {name: _spread(f.ml[name] for f in labelled) for name in labels},
        "with_label": {name: sum(f.ml[name] > 0 for f in labelled) for name in labels},
        "hu": {
            "kidney and all in it": hu_summary(pooled.values()),
            **{name: hu_summary([counts]) for name, counts in pooled.items()},
        },
        "case": {f.case: _case(f) for f in facts},
    }


def hu_summary(counts: Iterable[NDArray[np.int64]]) -> dict[str, float | int] | None:
    """Mean, standard deviation and percentiles of HU from histograms; None without voxels.

    Parameters
    ----------
    counts : iterable of ndarray of int64
        Voxels by HU, from `HU_LOW`; they are added up. Every voxel counts, so that cases with large
        kidneys weigh more, as in nnU-Net's statistics.
    """
    histograms = list(counts)
    total = np.sum(histograms, axis=0) if histograms else np.zeros(1, np.int64)
    n = int(total.sum())
    if n == 0:
        return None
    hu = np.arange(total.size, dtype=np.float64) + HU_LOW
    mean = float((total * hu).sum() / n)
    sd = float(np.sqrt((total * (hu - mean) ** 2).sum() / n))
    summed = np.cumsum(total)
    result: dict[str, float | int] = {"voxels": n, "mean": round(mean, 3), "sd": round(sd, 3)}
    for p in _PERCENTILES:
        rank = max(1, int(np.ceil(n * p / 100)))
        result[f"p{p:g}"] = int(np.searchsorted(summed, rank)) + HU_LOW
    return result


def read_volumes(path: Path) -> dict[str, dict[str, float]]:
    """Volumes in ml by case and label, from a stored fingerprint.

    Raises
    ------
    InputError
        If the file is no fingerprint.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError("another format")
        return {
            case: {name: float(ml) for name, ml in about["volume_ml"].items()}
            for case, about in content["case"].items()
            if about["volume_ml"]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{shown(path)} is no fingerprint ({error}); "
            "make one with `renalis dataset fingerprint`"
        ) from error


def _case(facts: CaseFacts) -> dict[str, Any]:
    return {
        "size_zyx": list(facts.size),
        "spacing_zyx_mm": [round(s, 6) for s in facts.size_mm],
        "orientation": facts.orientation,
        "image_file_sha256": facts.image_file,
        "image_voxels_sha256": facts.image_voxels,
        "label_file_sha256": facts.label_file,
        "label_voxels_sha256": facts.label_voxels,
        "volume_ml": {name: round(ml, 4) for name, ml in facts.ml.items()},
        "hu": hu_summary(facts.hu.values()),
    }


def _whole_hash(facts: Sequence[CaseFacts]) -> str:
    """One hash of all voxels, with each grid's spacing to a micrometer."""
    digest = hashlib.sha256()
    for f in sorted(facts, key=lambda f: f.case):
        spacing = [round(s, 3) for s in f.size_mm]
        digest.update(json.dumps([f.case, spacing, f.image_voxels, f.label_voxels]).encode())
    return digest.hexdigest()


def _spread(values: Iterable[float]) -> dict[str, float] | None:
    """Smallest, quartiles, largest and mean."""
    array = np.array(list(values), dtype=np.float64)
    if not array.size:
        return None
    names = ("min", "q1", "median", "q3", "max")
    points = np.percentile(array, (0, 25, 50, 75, 100))
    spread = {name: round(float(v), 4) for name, v in zip(names, points, strict=True)}
    return {**spread, "mean": round(float(array.mean()), 4)}


def _counted(values: Iterable[str]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
