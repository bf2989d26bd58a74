"""How sure: fits what turns a prediction's own numbers into confidences, and measures it.

    python benchmarks/confidence.py --segmented OUT --scans DIR --slices FILE.npz [FILE.npz ...]
        [--mirror none|left-right|four|all]
        [--findings FILE.json] [--model FILE.safetensors] [--output FILE.json] [--page FILE.md]

``--scans`` is a folder of ``renalis synthesize`` around held-back label maps, ``--segmented`` what
``renalis segment`` made of its images. Of ``--slices`` only patients whose numbers are divisible by
five are taken: these trained nothing. ``--findings`` keeps what was read, and is read when it is
there.

Two halves of the patients, of synthetic scans and slices alike: a curve is fitted on one half and
measured on the other, then the other way round. Scans and slices weigh the same. What ships is
fitted on both halves, and written next to ``--model`` as ``NAME.confidence.json``, under the
``--mirror`` that the scans were segmented with, beside what is there of other ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from confidence_findings import Finding, of_scans, of_slices
from confidence_page import write_page
from numpy.typing import NDArray

from renalis.calibration import Calibration, Fit, Fits, calibration_of
from renalis.evaluation.confidence_curves import (
    FEATURES,
    TOUCHED,
    crossed,
    doubtful,
    fitted,
    rank_area,
    said_by,
    spearman,
)
from renalis.evaluation.confidence_findings import features
from renalis.model import find_model, read_header

SETS: dict[str, tuple[str, ...]] = {
    "mean probability": FEATURES,
    "margin": ("margin_logit",),
    "agreement of looks": ("agreement_logit",),
    "mean probability and agreement": ("probability_logit", "agreement_logit"),
}
BASIS = (
    "40 synthetic scans around held-back label maps and 156 single real slices of 80 patients "
    "that trained nothing"
)


def rows_of(findings: Sequence[Finding], what: str) -> list[dict[str, Any]]:
    """Cases or lesions with their features and how right they were."""
    rows = []
    for one in findings:
        parts = one["lesions"] if what != "case" else [one["kidney"]] if one["kidney"] else []
        for part in parts:
            right = {"case": one["dice"], "lesion": part.get("touch"), "kind": part.get("same")}
            value = right[what]
            rows.append(
                {
                    "source": one["source"],
                    "half": one["patient"] // 5 % 2,
                    "case": one["case"],
                    "kind": part.get("kind", ""),
                    "value": value if what == "case" else float(value >= TOUCHED),
                    "features": features(part),
                }
            )
    for row in rows:
        alike = sum(other["source"] == row["source"] for other in rows)
        row["weight"] = len(rows) / len({r["source"] for r in rows}) / alike
    return rows


def reliability(
    said: NDArray[np.float64], right: NDArray[np.float64], ends: Sequence[float]
) -> list[dict[str, float]]:
    """What was said and what was true, in bins of what was said."""
    bins = []
    for low, high in pairwise(ends):
        here = (said >= low) & (said < high)
        if here.any():
            bins.append(
                {
                    "from": low,
                    "to": min(high, 1.0),
                    "count": int(here.sum()),
                    "said": round(float(said[here].mean()), 3),
                    "true": round(float(right[here].mean()), 3),
                }
            )
    return bins


def measured(rows: Sequence[dict[str, Any]], said: NDArray[np.float64], what: str) -> Finding:
    """How well confidences did, of all, of scans and of slices."""
    result: Finding = {}
    ends = (0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.01) if what == "case" else (0, 0.3, 0.6, 0.8, 0.9, 1.01)
    for source in ("synthetic", "slices", "all"):
        here = np.array([source in (row["source"], "all") for row in rows])
        value = np.array([row["value"] for row in rows], float)[here]
        sure = said[here]
        result[source] = {
            "count": int(here.sum()),
            "mean": round(float(value.mean()), 3),
            "said": round(float(sure.mean()), 3),
            "mean_absolute_error": round(float(np.abs(sure - value).mean()), 3),
            "brier": round(float(np.square(sure - value).mean()), 4),
            "rank": spearman(sure, value) if what == "case" else rank_area(sure, value),
            "errors_in_doubtful_tenth": round(doubtful(sure, 1 - value), 3),
            "errors_in_doubtful_quarter": round(doubtful(sure, 1 - value, 0.25), 3),
            "reliability": reliability(sure, value, ends),
        }
    return result


def compared(rows: Sequence[dict[str, Any]], what: str) -> Finding:
    """Other features on the slices, where all are known."""
    slices = [row for row in rows if row["source"] == "slices"]
    known = [row for row in slices if "agreement_logit" in row["features"]]
    score: Callable[[Any, Any], Any] = spearman if what == "case" else rank_area
    result = {}
    for name, names in SETS.items():
        said, value = crossed(known, names), np.array([row["value"] for row in known])
        result[name] = {
            "brier": round(float(np.square(said - value).mean()), 4),
            "rank": score(said, value),
            "errors_in_doubtful_tenth": round(doubtful(said, 1 - value), 3),
        }
    return result


def main() -> int:
    """Read, fit, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--segmented", type=Path, metavar="OUT", help="of renalis segment")
    parser.add_argument("--scans", type=Path, metavar="DIR", help="of renalis synthesize")
    parser.add_argument("--slices", type=Path, nargs="+", default=[], metavar="FILE.npz")
    parser.add_argument("--findings", type=Path, metavar="FILE.json", help="kept, or read")
    parser.add_argument("--model", type=Path, metavar="FILE.safetensors", help="write next to it")
    parser.add_argument("--mirror", choices=("none", "left-right", "four", "all"), default="four")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    parser.add_argument("--page", type=Path, metavar="FILE.md")
    arguments = parser.parse_args()
    if arguments.findings is not None and arguments.findings.is_file():
        findings = json.loads(arguments.findings.read_text())
    elif arguments.segmented is None or arguments.scans is None or not arguments.slices:
        parser.error("--segmented, --scans and --slices are needed, or --findings that are there")
    else:
        mirrored = arguments.mirror != "none"
        slices = of_slices(arguments.slices, mirrored)
        findings = [*of_scans(arguments.segmented, arguments.scans), *slices]
        if arguments.findings is not None:
            arguments.findings.write_text(json.dumps(findings, indent=1))
    rows = {what: rows_of(findings, what) for what in ("case", "lesion", "kind")}
    said = {what: crossed(those, FEATURES) for what, those in rows.items()}
    result: Finding = {
        "date": date.today().isoformat(),
        "scans": sum(one["source"] == "synthetic" for one in findings),
        "slices": sum(one["source"] == "slices" for one in findings),
        **{what: measured(rows[what], said[what], what) for what in rows},
        "features": {what: compared(rows[what], what) for what in ("case", "lesion")},
        "dots": {
            what: [
                [row["source"], round(float(own), 3), round(row["value"], 3)]
                for row, own in zip(rows[what], said[what], strict=True)
            ]
            for what in ("case", "lesion")
        },
    }
    fits = Fits(**{what: fitted(those, FEATURES) for what, those in rows.items()}, basis=BASIS)
    result["fits"] = fits.model_dump()
    shipped = find_model("renalis-kidney")
    known = calibration_of(shipped, read_header(shipped).sha256)
    if known is not None:
        four = known.fits["four"].model_dump()
        result["said by the curves of four looks"] = {
            what: measured(those, said_by(Fit(**four[what]), those), what)
            for what, those in rows.items()
        }
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.model is not None:
        short = {
            what: {
                key: result[what]["all"][key]
                for key in ("count", "mean_absolute_error", "rank", "errors_in_doubtful_tenth")
            }
            for what in rows
        }
        sha256 = read_header(arguments.model).sha256
        before = calibration_of(arguments.model, sha256)
        kept = Calibration(
            weights_sha256=sha256,
            fits={**({} if before is None else before.fits), arguments.mirror: fits},
            measured={
                **({} if before is None else before.measured),
                "date": result["date"],
                "command": "benchmarks/confidence.py",
                arguments.mirror: short,
            },
        )
        path = arguments.model.with_name(f"{arguments.model.stem}.confidence.json")
        path.write_text(kept.model_dump_json(indent=2) + "\n")
    if arguments.page is not None:
        write_page(arguments.page, result)
    for what in rows:
        print(what, json.dumps(result[what], indent=1))
    print(json.dumps(result["features"], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
