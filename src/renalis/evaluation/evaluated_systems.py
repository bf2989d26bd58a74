"""Read what ``renalis evaluate`` (or KiTS's own evaluation) wrote, and check that it compares."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from renalis.errors import InputError, UsageError
from renalis.evaluation.case_names import case_key
from renalis.evaluation.records import METRICS
from renalis.io.natural_order import by_number
from renalis.io.scan import shown

__all__ = ["System", "common_cases", "read_strata", "read_system"]

_SAME_ML = 0.01


@dataclass(frozen=True)
class System:
    """The scores of one system.

    Parameters
    ----------
    name : str
        Shown in tables.
    scores : dict
        By case, region and metric; NaN where a metric has no value.
    thickness_mm : dict of str to float
        Slice thickness by case, where known.
    labels : str
        Convention that was scored; empty if the file does not say.
    names : dict of str to str
        Name of each case as the file gives it.
    seen : dict of str to str
        Cases that the system has seen in training, and what is known about that.
    """

    name: str
    scores: dict[str, dict[str, dict[str, float]]]
    thickness_mm: dict[str, float] = field(default_factory=dict)
    labels: str = ""
    names: dict[str, str] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)

    def value(self, case: str, region: str, metric: str) -> float:
        """One number; NaN where there is none."""
        return self.scores[case].get(region, {}).get(metric, math.nan)


def read_system(given: str) -> System:
    """Read one system's scores.

    Parameters
    ----------
    given : str
        ``metrics.json``, the folder that holds it, or a CSV with KiTS23's header; with ``NAME=``
        in front to name the system.

    Raises
    ------
    InputError
        If the file is something else, or lists a case twice.
    """
    name, separator, rest = given.partition("=")
    named = bool(separator) and not Path(given).exists()
    path = Path(rest) if named else Path(given)
    if path.is_dir():
        path = path / "metrics.json"
    label = name if named else _name_of(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{shown(path)} cannot be read; give metrics.json or metrics.csv from renalis evaluate"
        ) from error
    try:
        read = _from_csv if path.suffix == ".csv" else _from_json
        return read(label, text, path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{shown(path)} is not a table of scores ({shown(error)}); give metrics.json or "
            "metrics.csv from renalis evaluate"
        ) from error


def common_cases(systems: Sequence[System], only_common: bool = False) -> list[str]:
    """The cases that are compared, in order.

    Raises
    ------
    InputError
        If systems were scored on different cases (unless ``only_common``), in different
        conventions, or against different references.
    """
    names = [s.name for s in systems]
    if len(set(names)) < len(names):
        raise UsageError(f"two systems have the same name ({', '.join(names)}); use NAME=PATH")
    everything = set().union(*(s.scores for s in systems))
    shared = set.intersection(*(set(s.scores) for s in systems))
    if not shared:
        raise InputError("the systems have no case in common")
    if shared != everything and not only_common:
        odd = sorted(everything - shared, key=by_number)
        raise InputError(
            f"{len(odd)} cases were not scored for every system ({', '.join(odd[:5])}); "
            "use --common to compare the others"
        )
    conventions = {s.labels for s in systems if s.labels}
    if len(conventions) > 1:
        raise InputError(
            f"the systems were scored in different conventions ({', '.join(sorted(conventions))}); "
            "evaluate them with the same --labels"
        )
    _check_references(systems, shared)
    return sorted(shared, key=by_number)


def read_strata(path: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read groups of cases from a CSV.

    Parameters
    ----------
    path : Path
        CSV with a header; its first column names the case.
    columns : sequence of str
        Columns to group by; all when empty.

    Returns
    -------
    dict
        Value by column and case.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or lists a case twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown(path)} cannot be read as CSV ({error})") from error
    if not rows or len(rows[0]) < 2:
        raise InputError(f"{shown(path)} has no rows; its first column must name the case")
    longer = next((row for row in rows if None in row), None)
    if longer is not None:
        raise InputError(
            f"{shown(path)} has more values than columns in the row of "
            f"{shown(next(iter(longer.values())))}; put quotes around values that hold commas"
        )
    first, *others = rows[0]
    absent = [c for c in columns if c not in others]
    if absent:
        raise InputError(
            f"{shown(path)} has no column {absent[0]!r}; it has {', '.join(map(str, others))}"
        )
    names: dict[str, str] = {}
    by_key = {_new_key(row[first], names, path): row for row in rows if row[first]}
    return {
        column: {key: (row[column] or "").strip() or "unknown" for key, row in by_key.items()}
        for column in columns or others
    }


def _name_of(path: Path) -> str:
    """A file called metrics.json is named by its folder."""
    generic = path.stem in ("metrics", "evaluation", "details")
    return path.absolute().parent.name if generic else path.stem


def _from_json(name: str, text: str, path: Path) -> System:
    data = json.loads(text)
    if data.get("format") != "renalis-metrics-1":
        raise ValueError("its format is not renalis-metrics-1")
    scores: dict[str, dict[str, dict[str, float]]] = {}
    thickness: dict[str, float] = {}
    names: dict[str, str] = {}
    for case in data["cases"]:
        key = _new_key(case["case_id"], names, path)
        thickness[key] = float(case["score"]["slice_thickness_mm"])
        scores[key] = {
            region: {m: _number(values[m]) for m in METRICS}
            for region, values in case["score"]["regions"].items()
        }
    if not scores:
        raise ValueError("it has no cases")
    told = data.get("seen_in_training", {})
    seen = {key: str(told[given]) for key, given in names.items() if given in told}
    return System(name, scores, thickness, str(data["labels"]["scored"]), names, seen)


def _from_csv(name: str, text: str, path: Path) -> System:
    rows = list(csv.DictReader(text.splitlines()))
    if not rows or "caseID" not in rows[0]:
        raise ValueError("its header lacks caseID")
    scores: dict[str, dict[str, dict[str, float]]] = {}
    names: dict[str, str] = {}
    for row in rows:
        if row["caseID"] == "average":
            continue
        regions: dict[str, dict[str, float]] = {}
        for column, value in row.items():
            kind, _, region = column.partition("_")
            metric = {"Dice": "dice", "SD": "surface_dice"}.get(kind)
            if metric and region:
                regions.setdefault(region, {})[metric] = float(value)
        scores[_new_key(row["caseID"], names, path)] = regions
    if not scores:
        raise ValueError("it has no cases")
    return System(name, scores, names=names)


def _new_key(given: str, names: dict[str, str], path: Path) -> str:
    """What identifies a case; ``names`` collects what each was called."""
    key = case_key(re.sub(r"\.nii(\.gz)?$", "", given))
    if key in names:
        raise InputError(
            f"{shown(path)} lists case {key} twice ({shown(names[key])} and {shown(given)}); keep "
            "one of the rows"
        )
    names[key] = given
    return key


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _check_references(systems: Sequence[System], cases: set[str]) -> None:
    """Systems that were scored against different references cannot be compared."""
    for case in sorted(cases, key=by_number):
        for region in systems[0].scores[case]:
            volumes = [s.value(case, region, "reference_ml") for s in systems]
            known = [v for v in volumes if math.isfinite(v)]
            if known and max(known) - min(known) > _SAME_ML + 1e-4 * max(known):
                raise InputError(
                    f"case {case} was scored against different references ({region}: "
                    f"{min(known):.3f} and {max(known):.3f} ml); evaluate all systems against the "
                    "same"
                )
