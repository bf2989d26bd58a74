"""What the publications' clean-up steps do to a published system's predictions.

Run: ``python benchmarks/system_steps.py --data DATA`` with the folder that holds
``unet3d-predictions``. Each row is one list of steps, applied to the 30 predictions; Dice as in
``docs/published-predictions.md``. Writes ``docs/system-steps.md``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.evaluation.files import read_label_map
from renalis.postprocessing.steps import make_step, run_steps
from renalis.volume import Kind, Volume

SIDES = {"rule": "side_largest", "region": "renal", "min_ml": 20.0}
NEAR = {"rule": "attached", "radius_mm": 4.0, "or_above_ml": 100.0}
SHORT = {"rule": "min_feret", "mm": 3.0}
ROWS: dict[str, list[dict[str, Any]]] = {
    "as published": [],
    "largest kidney on each side": [{"rule": "side_largest"}],
    "largest kidney with tumor on each side": [{"rule": "side_largest", "region": "renal"}],
    "tumors that touch a kidney": [{"rule": "attached"}],
    "`cascade3d`: largest kidneys, tumors that touch them": [
        {"rule": "side_largest"},
        {"rule": "attached"},
    ],
    "tumors of 3 mm or more": [SHORT],
    "`multires3d`: largest on each side above 20 ml, tumors within 4 mm, 3 mm or more": [
        SIDES,
        NEAR,
        SHORT,
    ],
    "opening, 2 mm": [{"rule": "opening", "radius_mm": 2.0}],
    "closing, 2 mm": [{"rule": "closing", "radius_mm": 2.0}],
    "opening, then closing, 2 mm": [
        {"rule": "opening", "radius_mm": 2.0},
        {"rule": "closing", "radius_mm": 2.0},
    ],
    "holes filled": [{"rule": "fill_holes"}],
}

HEAD = """# The publications' clean-up steps, measured

The 30 published predictions of [the residual 3D U-Net](published-predictions.md), which come
without any clean-up, after each list of steps (`renalis.postprocessing.steps`). The sides part in
the middle of the grid, because there is no scan with the predictions. Written by
`python benchmarks/system_steps.py`.

| steps | kidney Dice | tumor Dice | scans with better / worse kidney | better / worse tumor |
|---|---|---|---|---|
"""


def main() -> None:
    """Score every row and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("docs/system-steps.md"))
    arguments = parser.parse_args()
    folder = arguments.data / "unet3d-predictions"
    scores: dict[str, list[tuple[float, float]]] = {name: [] for name in ROWS}
    for path in sorted((folder / "references").glob("*.nii.gz")):
        number = path.name.removeprefix("case_").removesuffix(".nii.gz")
        truth = read_label_map(path)
        stored = read_label_map(folder / "predictions" / f"prediction_{number}.nii.gz")
        # The predictions' headers are wrong; their arrays lie on the references' grid.
        found = truth.like(stored.array, Kind.LABELS)
        for name, steps in ROWS.items():
            labels = run_steps(found, [make_step(**step) for step in steps]).labels
            scores[name].append(_scores(labels, truth))
        print(path.name, flush=True)
    page = HEAD + "".join(_row(name, scores) for name in ROWS)
    arguments.output.write_text(page, encoding="utf-8")
    print(page)


def _scores(labels: Volume, truth: Volume) -> tuple[float, float]:
    """Dice of kidney with everything in it, and of tumor."""
    return (
        _dice(labels.array > 0, truth.array > 0),
        _dice(labels.array == 2, truth.array == 2),
    )


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    both = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / both if both else 1.0


def _row(name: str, scores: dict[str, list[tuple[float, float]]]) -> str:
    now, before = np.array(scores[name]), np.array(scores["as published"])
    mean = now.mean(0)
    counts = [
        f"{np.count_nonzero(now[:, i] > before[:, i] + 1e-4)} / "
        f"{np.count_nonzero(now[:, i] < before[:, i] - 1e-4)}"
        for i in range(2)
    ]
    return f"| {name} | {mean[0]:.4f} | {mean[1]:.4f} | {counts[0]} | {counts[1]} |\n"


if __name__ == "__main__":
    main()
