"""What predictions say about themselves, and how right they were: the data of `confidence.py`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from slice_reader import SliceReader, drop_small_tumors

from renalis.dataset.slices import SliceSet, read_slices, slice_hu
from renalis.evaluation.confidence_findings import lesions_of, together
from renalis.io.read_labels import read_label_map
from renalis.look_spread import agreement_of
from renalis.model import load_model

Finding = dict[str, Any]
KINDS = {"tumor": 2, "cyst": 3}
_ZONE_MM = 6.0
_LEAST_MM2 = 20.0
"""Lesions of slices that are smaller are a few pixels."""
_KEYS = ("mean_probability", "low_ml", "high_ml", "agreement_fraction")


def of_scans(segmented: Path, scans: Path) -> Iterator[Finding]:
    """Results of ``renalis segment`` on scans of ``renalis synthesize``, one after another."""
    with (scans / "cases.csv").open() as file:
        sources = {row["case"]: row["source"] for row in csv.DictReader(file)}
    for folder in sorted(path.parent for path in segmented.glob("*/measurements.json")):
        measured = json.loads((folder / "measurements.json").read_text())
        named = read_label_map(folder / "segmentation.nii.gz").array
        truth = read_label_map(scans / "labels" / f"{folder.name}.nii.gz").array
        lesions = [
            {
                "kind": one["kind"],
                "volume_ml": one["volume_ml"],
                **{key: one["confidence"].get(key) for key in _KEYS},
                "touch": touch,
                "same": same,
            }
            for one, touch, same in lesions_of(measured, named, truth)
        ]
        yield {
            "source": "synthetic",
            "case": folder.name,
            "patient": int(sources[folder.name].removeprefix("case_")),
            "dice": _dice(named > 0, truth > 0),
            "kidney": together(measured["kidneys"]),
            "lesions": lesions,
        }


def of_slices(paths: list[Path], mirrored: bool = True) -> Iterator[Finding]:
    """Single real slices of patients whose numbers are divisible by five, which trained nothing."""
    reader = SliceReader.of(load_model("renalis-kidney"))
    plain = [replace(reader, mirrored_copies=1, scales=(scale,)) for scale in reader.scales]
    for slices in map(read_slices, paths):
        for number in map(int, np.flatnonzero(slices.case % 5 == 0)):
            yield _slice(slices, number, plain, mirrored)


def _slice(slices: SliceSet, number: int, readers: list[SliceReader], mirrored: bool) -> Finding:
    """One slice; areas stand in the place of volumes (mm² as ml)."""
    hu, spacing = slice_hu(slices, number), tuple(map(float, slices.spacing_mm[number, 1:]))
    looks = []
    for reader in readers:
        looks.append(reader.probability(hu, (spacing[0], spacing[1])))
        if mirrored:
            turned = np.ascontiguousarray(hu[:, ::-1])
            looks.append(reader.probability(turned, (spacing[0], spacing[1]))[..., ::-1])
    mean = np.mean(looks, 0)
    named = np.asarray(mean.argmax(0) + 1, np.uint8)
    named[mean.sum(0) < 0.5] = 0
    named = drop_small_tumors(named, (spacing[0], spacing[1]))
    truth = slices.labels[number]
    renal = np.stack([look.sum(0) for look in looks])
    lesion = np.stack([look[1] + look[2] for look in looks])
    found = []
    for kind, value in KINDS.items():
        components = cc3d.connected_components(np.ascontiguousarray(named == value), connectivity=8)
        for label in range(1, int(components.max()) + 1):
            own = components == label
            if own.sum() * np.prod(spacing) < _LEAST_MM2:
                continue
            facts = _area(own, (named > 1) & ~own, lesion, spacing)
            same = float((truth[own] == value).mean())
            found.append(
                {"kind": kind, **facts, "touch": float((truth[own] > 1).mean()), "same": same}
            )
    own = named > 0
    return {
        "source": "slices",
        "case": f"{slices.name}-{number}",
        "patient": int(slices.case[number]),
        "dice": _dice(own, truth > 0) if own.any() or (truth > 0).any() else None,
        "kidney": _area(own, np.zeros_like(own), renal, spacing) if own.any() else None,
        "lesions": found,
    }


def _area(
    own: NDArray[np.bool_],
    others: NDArray[np.bool_],
    looks: NDArray[np.float32],
    spacing: tuple[float, ...],
) -> Finding:
    """As `renalis.measurement.structure_values.confidence_of`, in a plane."""
    away = ndimage.distance_transform_edt(~own, sampling=spacing)
    zone = away <= _ZONE_MM
    if others.any():
        zone &= away < ndimage.distance_transform_edt(~others, sampling=spacing)
    zone |= own
    mean, pixel = looks.mean(0), float(np.prod(spacing))
    area = float(own.sum()) * pixel
    return {
        "volume_ml": area,
        "mean_probability": float(mean[own].mean()),
        "low_ml": min(float((mean[zone] > 0.75).sum()) * pixel, area),
        "high_ml": max(float((mean[zone] > 0.25).sum()) * pixel, area),
        "agreement_fraction": agreement_of(mean[zone], looks.std(0)[zone], len(looks)),
    }


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))
