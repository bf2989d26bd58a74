"""Score published predictions and write the page about them.

    python benchmarks/published_predictions.py [--jobs N]

Needs ``unet3d-predictions`` in RENALIS_DATA (default ../shared/data): predictions of the residual
3D U-Net ensemble by Yichi Zhang (MIT licence) for KiTS19 test cases, and KiTS23's reference labels
of the same scans. Writes ``docs/published-predictions.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "published-predictions.md"
PUBLISHED = {"kidney": 0.9360, "tumor": 0.5778, "composite": 0.7569}
TEXT = """# The published predictions of a residual 3D U-Net

Yichi Zhang published the predictions of an ensemble of five residual 3D U-Nets for the 90 test
cases of KiTS19. The challenge scored them against its own labels of 2019, which were never
released; the KiTS23 labels of the same scans are close to them. This page scores the {count} cases
at hand ({first} to {last}) against those. It is written by
`python benchmarks/published_predictions.py`, which runs

```bash
renalis evaluate --reference references --prediction predictions -o OUT \\
    --labels kits19 --grid voxel
```

`--labels kits19` counts KiTS23's cysts as kidney, as KiTS19 did. `--grid voxel` is needed because
the predictions' headers are wrong: their slice axis runs the other way and their origin is off,
while the arrays are on the references' grid. Without it the command refuses:

> {refusal}

| mean Dice | published: 90 cases, labels of 2019 | here: {count} cases, labels of 2023 | 95 % CI |
|---|---|---|---|
{means}

{verdict} The composite is KiTS19's: the mean of kidney and tumor.

More of the same cases:

| region | surface Dice | HD95 (mm) | mean surface distance (mm) | volume error (ml) |
|---|---|---|---|---|
{more}

Tumors by the diameter of a ball of the same volume:

| mm | reference | found | sensitivity | predicted | precision | false positives per scan |
|---|---|---|---|---|---|---|
{detection}

| case | Dice kidney | Dice tumor | surface Dice kidney | surface Dice tumor |
|---|---|---|---|---|
{cases}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", default="1")
    jobs = parser.parse_args().jobs
    data = Path(os.environ.get("RENALIS_DATA", HERE.parent.parent / "shared" / "data"))
    folder = data / "unet3d-predictions"
    if not folder.is_dir():
        print(f"no published predictions: set RENALIS_DATA to their folder (looked in {data})")
        return 1
    program = [Path(sys.executable).with_name("renalis"), "evaluate", "--labels", "kits19"]
    with tempfile.TemporaryDirectory() as out:
        names = ["-r", folder / "references", "-p", folder / "predictions", "-o", out]
        subprocess.run([*program, *names, "--grid", "voxel", "--jobs", jobs], check=True)
        found = json.loads((Path(out) / "metrics.json").read_text())
        one = folder / "references" / "case_00210.nii.gz"
        two = folder / "predictions" / "prediction_00210.nii.gz"
        refused = subprocess.run(
            [*program, "-r", one, "-p", two, "-o", Path(out) / "no"],
            capture_output=True,
            text=True,
            check=False,
        )
    PAGE.write_text(page(found, refused.stderr.splitlines()[-1].strip()))
    return 0


def page(found: dict, refusal: str) -> str:
    """The page's text."""
    cases, summary = found["cases"], found["summary"]
    composite = summary_of_composite(cases)
    means = {name: summary[name]["dice"] for name in ("kidney", "tumor")} | {"composite": composite}
    outside = [n for n, s in means.items() if not s["low"] <= PUBLISHED[n] <= s["high"]]
    return TEXT.format(
        verdict="Every published value lies inside the interval."
        if not outside
        else f"Outside the interval: {', '.join(outside)}.",
        count=len(cases),
        first=cases[0]["case_id"],
        last=cases[-1]["case_id"],
        refusal=refusal,
        means="\n".join(
            f"| {n} | {PUBLISHED[n]:.4f} | {s['mean']:.5f} | {s['low']:.3f} to {s['high']:.3f} |"
            for n, s in means.items()
        ),
        more="\n".join(
            f"| {n} | {s['surface_dice']['mean']:.4f} | {s['hd95_mm']['mean']:.1f} "
            f"| {s['mean_surface_mm']['mean']:.2f} | {s['volume_error_ml']['mean']:+.1f} |"
            for n, s in summary.items()
        ).replace("_", " "),
        detection="\n".join(
            f"| {r['size_mm']} | {r['reference']} | {r['found']} | {value(r['sensitivity'])} "
            f"| {r['predicted']} | {value(r['precision'])} "
            f"| {value(r['false_positives_per_scan'])} |"
            for r in found["detection"]["tumor"]
        ),
        cases="\n".join(
            "| {} | {:.5f} | {:.5f} | {:.5f} | {:.5f} |".format(
                case["case_id"],
                *(case["score"]["regions"][r]["dice"] for r in ("kidney", "tumor")),
                *(case["score"]["regions"][r]["surface_dice"] for r in ("kidney", "tumor")),
            )
            for case in cases
        ),
    )


def summary_of_composite(cases: list[dict]) -> dict:
    """KiTS19's composite: mean of kidney and tumor Dice."""
    from renalis.evaluation.statistics import summary

    regions = [c["score"]["regions"] for c in cases]
    found = summary([(r["kidney"]["dice"] + r["tumor"]["dice"]) / 2 for r in regions])
    return {"mean": found.mean, "low": found.low, "high": found.high}


def value(number: float | None) -> str:
    return "–" if number is None else f"{number:.3f}"


if __name__ == "__main__":
    sys.exit(main())
