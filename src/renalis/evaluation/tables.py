"""Write an evaluation as tables: KiTS's CSV, one row per case and region, and JSON."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from renalis.evaluation.evaluation import Evaluation
from renalis.evaluation.pairing import CasePair
from renalis.evaluation.records import METRICS, as_json, plain
from renalis.evaluation.regions import mapping, regions
from renalis.io.csv_text import csv_text
from renalis.io.write import write_text

__all__ = ["details_csv", "headline_csv", "metrics_json", "write_json"]


def headline_csv(evaluation: Evaluation) -> str:
    """The table of the KiTS23 challenge.

    Header ``caseID,Dice_kidney,Dice_masses,Dice_tumor,SD_kidney,SD_masses,SD_tumor`` (regions of
    other conventions accordingly), a row per case, and a row ``average``. Eight decimals; ``nan``
    where a region does not count or cannot be expressed.
    """
    names = [r.name for r in regions(evaluation.options.labels) if r.headline]
    rows = []
    for record in evaluation.records:
        found = [record.score.regions.get(name) for name in names]
        numbers = [r.dice if r else float("nan") for r in found]
        numbers += [r.surface_dice if r else float("nan") for r in found]
        rows.append((record.case_id, numbers))
    columns = np.array([numbers for _, numbers in rows], dtype=np.float64)
    valid = np.isfinite(columns)
    sums, counts = np.where(valid, columns, 0).sum(axis=0), valid.sum(axis=0)
    average = [float(s / n) if n else float("nan") for s, n in zip(sums, counts, strict=True)]
    rows.append(("average", average))
    header = ["caseID", *(f"Dice_{n}" for n in names), *(f"SD_{n}" for n in names)]
    return csv_text(header, [[case, *(f"{v:.8f}" for v in numbers)] for case, numbers in rows])


def details_csv(evaluation: Evaluation) -> str:
    """One row per case and region with every metric; empty where a metric has no value."""
    rows = []
    for record in evaluation.records:
        for name, region in record.score.regions.items():
            values = [plain(getattr(region, metric)) for metric in METRICS]
            row = [record.case_id, name, *("" if v is None else f"{v:.8g}" for v in values)]
            seen = record.case_id in evaluation.seen
            rows.append([*row, "yes" if record.missing else "", "yes" if seen else ""])
    return csv_text(["caseID", "region", *METRICS, "missing", "seen_in_training"], rows)


def metrics_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything as JSON: how was scored, summaries, detection, every case."""
    options = evaluation.options
    read = {
        "reference": options.written(options.reference_labels),
        "prediction": options.written(options.prediction_labels),
    }
    cases = [as_json(r) for r in evaluation.records]
    for case in cases:
        del case["picture"]
    return {
        "format": "renalis-metrics-1",
        "renalis": version("renalis"),
        "labels": {
            "scored": options.labels.value,
            "regions": {
                r.name: {"values": sorted(r.values), "tolerance_mm": r.tolerance_mm}
                for r in regions(options.labels)
            },
            **{
                who: {
                    "read_as": written.value,
                    "value_to_value": {
                        str(old): int(new)
                        for old, new in enumerate(mapping(written, options.labels)[0])
                        if new != 255
                    },
                }
                for who, written in read.items()
            },
        },
        "options": plain(options),
        "summary": plain(evaluation.summaries),
        "detection": plain(evaluation.detection),
        "observers": plain(evaluation.observers),
        "skipped": evaluation.skipped,
        "counted_as_zero": evaluation.zeroed,
        "seen_in_training": evaluation.seen,
        "remark": evaluation.remark,
        "unused_predictions": list(evaluation.unused),
        "pairs": [_pair(pair) for pair in evaluation.pairs],
        "cases": cases,
    }


def _pair(pair: CasePair) -> dict[str, Any]:
    """Two files and what made them a pair."""
    reference, *prediction = pair.names
    return {
        "case_id": pair.case_id,
        "reference": reference,
        "prediction": prediction[0] if prediction else None,
        "paired_by": pair.how.value or None,
    }


def write_json(path: Path, data: Any) -> Path:
    """Write JSON that every reader understands: no NaN, no infinity."""
    return write_text(path, json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
