"""Results of a made-up cohort as ``renalis segment`` leaves them, made without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from renalis.pipeline.table import MANIFEST

__all__ = ["FAILED", "add_failure", "add_result", "made_up_cohort"]

FAILED = (
    ("bad input", "{case}: slices 4 to 9 of the series are missing; export the study again"),
    ("killed", "{case}: its process was killed, most likely because memory ran out"),
    ("internal", "{case}: internal error (ValueError: 3); this is a defect, please report it"),
)


def add_result(
    output: Path,
    case: str,
    left_ml: float = 180.0,
    right_ml: float = 175.0,
    hu: float = 120.0,
    tumors_mm: tuple[float, ...] = (),
    kidneys: int = 2,
    slice_mm: float = 3.0,
    preview: bytes = b"",
    line: bool = True,
    start: float = 0.0,
    **more: Any,
) -> None:
    """A case's folder and its line of the manifest; ``more`` changes cells of its row.

    Of ``more``, ``notes_of_scan``, ``missing``, ``version`` and ``report`` go elsewhere.
    """
    folder = output / case
    folder.mkdir(parents=True)
    tumor_ml = sum(mm**3 * np.pi / 6000 for mm in tumors_mm)
    row = {
        "case": case,
        "kidney_left_with_lesions_ml": f"{left_ml:.2f}", "kidney_left_hu_mean": f"{hu:.1f}",
        "kidney_right_with_lesions_ml": f"{right_ml:.2f}", "kidney_right_hu_mean": f"{hu + 2:.1f}",
        "kidneys": str(kidneys), "kidneys_doubtful": "0",
        "kidney_ml": f"{left_ml + right_ml:.2f}", "tumor_ml": f"{tumor_ml:.2f}",
        "cyst_ml": "0.00", "lesions": str(len(tumors_mm)),
        "largest_lesion_mm": f"{max(tumors_mm):.1f}" if tumors_mm else "", "notes": "",
        "input": "SECRET.nii.gz", "series_description": "SECRET",
    }  # fmt: skip
    notes, missing = more.pop("notes_of_scan", []), list(more.pop("missing", ()))
    model = {"name": "renalis-kidney", "version": more.pop("version", "12"), "sha256": "ab" * 32}
    files = ["segmentation.nii.gz", "measurements.json", "report.html", "preview.png"]
    with_report = more.pop("report", True)
    files = [n for n in files if n not in missing and (with_report or "re" not in n[:4])]
    grid = {"shape": [100, 512, 512], "spacing_mm": [slice_mm, 0.78, 0.78], "slice_axis": 0}
    lesions = [{"diameter_mm": mm} for mm in tumors_mm]
    known = {
        "renalis": "0.1.0", "case": case, "model": model, "runtime": "openvino", "key": "k",
        "source": {"input": "SECRET.nii.gz"}, "scan": "../../SECRET.nii.gz",
        "files": files, **({"missing": missing} if missing else {}), "notes": notes,
        "row": {**row, **more},
        "seconds": {"read": 1.5, "coarse": 4.0, "fine": 20.0 + hu / 20, "report": 6.0},
        "peak_mb": 900 + round(hu),
    }  # fmt: skip
    for name in files:
        (folder / name).write_bytes(preview if name == "preview.png" else b"")
    (folder / "measurements.json").write_text(json.dumps({"grid": grid, "lesions": lesions}))
    (folder / "provenance.json").write_text(json.dumps(known))
    if line:
        status = "incomplete" if missing else "done"
        _add_line(output, case, status, start, outputs={"provenance.json": "00"})


def add_failure(output: Path, case: str, kind: int = 0, start: float = 0.0) -> None:
    """A line of the manifest of a case that failed in one of three ways."""
    cause, problem = FAILED[kind]
    _add_line(output, case, "failed", start, cause=cause, problem=problem.format(case=case))


def made_up_cohort(output: Path, cases: int, preview: bytes = b"", seed: int = 0) -> None:
    """A cohort in which every 17th case fails, with a few that are unlike the others."""
    rng = np.random.default_rng(seed)
    left, right = rng.lognormal(np.log(175), 0.18, (2, cases))
    for number in range(cases):
        case, start = f"case_{number:05d}", 40.0 * number
        if number % 17 == 5:
            add_failure(output, case, number % 3, start)
            continue
        odd = number % 29 == 7
        add_result(
            output,
            case,
            left_ml=left[number] * (0.2 if odd else 1.0),
            right_ml=right[number],
            hu=float(rng.normal(120, 15)),
            tumors_mm=tuple(rng.lognormal(3.2, 0.5, rng.integers(0, 3))),
            slice_mm=float(rng.choice([1.0, 2.5, 3.0, 5.0])),
            preview=preview,
            start=start,
            notes_of_scan=["the scan's slices are 5 mm apart"] * (number % 11 == 3),
            case_confidence=f"{1 - rng.beta(2, 30) - 0.3 * odd:.3f}",
        )


def _add_line(output: Path, case: str, status: str, start: float, **more: Any) -> None:
    minutes, seconds = divmod(start, 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    line = {
        "case": case, "status": status, "attempt": 1, "elapsed": 36.0,
        "started": f"2026-01-{1 + days:02d}T{hours:02d}:{minutes:02d}:{seconds:06.3f}+00:00",
        "problem": "", "cause": "", "outputs": {}, **more,
    }  # fmt: skip
    output.mkdir(parents=True, exist_ok=True)
    with (output / MANIFEST).open("a") as file:
        file.write(json.dumps(line) + "\n")
