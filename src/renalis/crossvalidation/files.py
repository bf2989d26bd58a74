"""A cross-validation as tables and JSON: one row per fold and region, one per case and region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from renalis.crossvalidation.scores import RunScores
from renalis.evaluation.comparison import Comparison
from renalis.evaluation.records import METRICS, as_json, plain
from renalis.io.csv_text import csv_text

__all__ = ["cases_csv", "crossvalidation_json", "folds_csv"]


def folds_csv(scores: Sequence[RunScores]) -> str:
    """Means of each fold, then mean and standard deviation of these.

    The standard deviation is that of a sample (n - 1); it is empty with one fold.
    """
    rows: list[list[str]] = []
    for one in scores:
        for fold, found in one.by_fold.items():
            count = str(len(one.records[fold]))
            for region, metrics in found.items():
                numbers = [metrics[m].mean for m in METRICS]
                rows.append([one.run.name, str(fold), count, region, *map(_cell, numbers)])
        total = str(len(one.everyone))
        for region, metrics in one.over_folds.items():
            for what in ("mean", "sd"):
                numbers = [getattr(metrics[m], what) for m in METRICS]
                rows.append([one.run.name, what, total, region, *map(_cell, numbers)])
    return csv_text(["run", "fold", "cases", "region", *METRICS], rows)


def cases_csv(scores: Sequence[RunScores]) -> str:
    """Every number of every case, and the fold that predicted it."""
    rows = [
        [
            one.run.name,
            record.case_id,
            str(fold),
            name,
            *(_cell(getattr(region, metric)) for metric in METRICS),
        ]
        for one in scores
        for fold, records in one.records.items()
        for record in records
        for name, region in record.score.regions.items()
    ]
    return csv_text(["run", "case", "fold", "region", *METRICS], rows)


def crossvalidation_json(
    scores: Sequence[RunScores], comparison: Comparison | None
) -> dict[str, Any]:
    """Everything as JSON."""
    options = plain(scores[0].options)
    del options["prediction_labels"]
    return {
        "format": "renalis-crossvalidation-1",
        "renalis": version("renalis"),
        "options": options,
        "runs": [_run(one) for one in scores],
        "comparison": None if comparison is None else plain(comparison),
    }


def _run(one: RunScores) -> dict[str, Any]:
    cases = []
    for fold, records in one.records.items():
        for record in records:
            case = as_json(record)
            del case["picture"]
            cases.append({"fold": fold, "notes": list(one.notes[record.case_id]), **case})
    return {
        "name": one.run.name,
        "recipe": one.run.recipe,
        "labels": one.run.labels.value,
        "holdout": not one.run.by_folds,
        "folds": [
            {
                "fold": fold,
                "cases": [record.case_id for record in one.records[fold]],
                "summary": plain(found),
            }
            for fold, found in one.by_fold.items()
        ],
        "unfinished_folds": list(one.run.unfinished) if one.held_out.left else [],
        "not_held_out": list(one.held_out.left),
        "failed": one.problems,
        "over_folds": plain(one.over_folds),
        "over_cases": plain(one.over_cases),
        "cases": cases,
    }


def _cell(value: float) -> str:
    return f"{value:.8g}" if math.isfinite(value) else ""
