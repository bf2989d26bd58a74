"""What results say about themselves, and how right they were; confidences are made of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalis.boxes import bounding_box
from renalis.calibration import Features, logit
from renalis.conventions import Label
from renalis.errors import InputError
from renalis.evaluation.pairing import pair_cases
from renalis.io.read_labels import read_label_map
from renalis.io.scan import shown

__all__ = ["Finding", "LesionFinding", "features", "findings_of", "lesions_of", "together"]

_KINDS = {"tumor": Label.TUMOR, "cyst": Label.CYST}
_TOLERANCE_MM = 0.01


@dataclass(frozen=True)
class LesionFinding:
    """A lesion that was named.

    Attributes
    ----------
    features : mapping
        What the prediction says of it.
    touch, same : float
        Shares of its voxels, 0 to 1, that lie in a lesion of the reference, and in one of its kind.
    """

    features: Features
    touch: float
    same: float


@dataclass(frozen=True)
class Finding:
    """A case.

    Attributes
    ----------
    case : str
        Its name.
    dice : float
        Of everything renal, 0 to 1.
    features : mapping or None
        What the prediction says of all kidneys together; None where none was found.
    lesions : tuple of LesionFinding
        All that were named.
    way : str
        Hash of what made it (``way_sha256`` of ``provenance.json``).
    """

    case: str
    dice: float
    features: Features | None
    lesions: tuple[LesionFinding, ...]
    way: str


def findings_of(results: Path, references: Path) -> Iterator[Finding]:
    """Results of ``renalis segment`` with references, one after another.

    Parameters
    ----------
    results : Path
        Output folder of ``renalis segment``.
    references : Path
        Folder of label maps with KiTS23's labels, each on the grid of its scan; paired by names.

    Raises
    ------
    InputError
        If they cannot be paired, a result lacks its measurements or the file that says how it was
        made, or a reference lies on another grid.
    """
    for pair in pair_cases(references, results).cases:
        if pair.prediction is None:
            continue
        folder = pair.prediction.parent
        measured, way = _read(folder / "measurements.json"), _read(folder / "provenance.json")
        named, truth = read_label_map(pair.prediction), read_label_map(pair.reference)
        truth = truth.reoriented(named.orientation)
        if not named.same_grid(truth, _TOLERANCE_MM):
            raise InputError(f"{shown(pair.reference)} does not lie on the grid of its result")
        yield Finding(
            pair.case_id,
            _dice(named.array > 0, truth.array > 0),
            _features_of_all(measured["kidneys"]),
            tuple(
                LesionFinding(features(one["confidence"]), touch, same)
                for one, touch, same in lesions_of(measured, named.array, truth.array)
                if one["confidence"] is not None
            ),
            str(way.get("way_sha256", "")),
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{shown(path)} cannot be read ({error}); confidences are measured with results of "
            "renalis segment"
        ) from error


def features(confidence: dict[str, Any]) -> Features:
    """As in `renalis.measurement.case_confidence`, of what ``measurements.json`` holds."""
    low, high = confidence["low_ml"], confidence["high_ml"]
    agreed = confidence.get("agreement_fraction")
    return {
        "probability_logit": logit(confidence["mean_probability"]),
        "margin_logit": logit(low / high if high else 0.0),
        **({} if agreed is None else {"agreement_logit": logit(agreed)}),
    }


def _features_of_all(kidneys: Sequence[dict[str, Any]]) -> Features | None:
    found = together(kidneys)
    return None if found is None else features(found)


def together(kidneys: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """All kidneys of a scan, as `renalis.measurement.case_confidence` sees them."""
    known = [one["confidence"] for one in kidneys if one["confidence"] is not None]
    if not known or len(known) < len(kidneys):
        return None
    volumes = np.array([one["volume_ml"] for one in kidneys])
    means = np.array([one["mean_probability"] for one in known])
    agreed = [one.get("agreement_fraction") for one in known]
    return {
        "mean_probability": float((means * volumes).sum() / volumes.sum()),
        "low_ml": sum(one["low_ml"] for one in known),
        "high_ml": sum(one["high_ml"] for one in known),
        "agreement_fraction": None
        if None in agreed
        else float((np.array(agreed) * volumes).sum() / volumes.sum()),
    }


def lesions_of(
    measured: dict[str, Any], named: NDArray[Any], truth: NDArray[Any]
) -> Iterator[tuple[dict[str, Any], float, float]]:
    """The lesions of a result, each with what lies under the component that it was measured on.

    Parameters
    ----------
    measured : dict
        ``measurements.json``.
    named, truth : array
        Labels of result and reference, (X, Y, Z) as stored in the result.

    Yields
    ------
    dict, float, float
        The lesion's entry; the shares of its voxels in a lesion of the reference, and in one of its
        kind.
    """
    box = bounding_box(named, truth)
    if box is None:
        return
    first = np.array([side.start for side in box])
    named, truth = np.ascontiguousarray(named[box]), np.ascontiguousarray(truth[box])
    voxel_ml = float(np.prod(measured["grid"]["spacing_mm"])) / 1000
    for kind, label in _KINDS.items():
        known = [one for one in measured["lesions"] if one["kind"] == kind]
        if not known:
            continue
        components = cc3d.connected_components(named == label, connectivity=26)
        counts = np.bincount(components.ravel())
        any_kind = np.bincount(components[truth > Label.KIDNEY], minlength=len(counts)) / counts
        own_kind = np.bincount(components[truth == label], minlength=len(counts)) / counts
        centers = cc3d.statistics(components)["centroids"]
        for one in known:
            place = np.array(one["location"]["centroid_index"]) - first
            away = np.linalg.norm(centers[1:] - place, axis=1)
            size = np.abs(np.log(counts[1:] * voxel_ml / one["volume_ml"]))
            number = 1 + int(np.argmin(away + 100 * size))
            yield one, float(any_kind[number]), float(own_kind[number])


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))
