"""How fast synthetic anatomies, training patches and whole scans are made, in CPU seconds.

Run: ``python benchmarks/synthesis.py``. Uses invented kidneys, so it needs no data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from renalis.synthesis.anatomy import compose
from renalis.synthesis.patches import PatchPlan, draw_patch, load_body, save_body
from renalis.synthesis.scan import scan_body
from renalis.synthesis.shapes import invented_labels


def cpu_seconds(work: Callable[[], object], runs: int) -> float:
    """Median CPU seconds of ``runs`` calls after one that is not counted."""
    work()
    taken = []
    for _ in range(runs):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return float(np.median(taken))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    labels = invented_labels(np.random.default_rng(0), "normal")
    body = compose(labels, np.random.default_rng(1), 2.0)
    million = body.array.size / 1e6
    seconds = cpu_seconds(lambda: compose(labels, np.random.default_rng(1), 2.0), runs)
    print(
        f"anatomy, {million:.1f} million voxels: {seconds:.2f} CPU s, "
        f"{seconds / million:.2f} per million"
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "0.body"
        save_body(path, np.asarray(body.array), 2.0, 0)
        pool = [load_body(path)]
        for name, plan in (
            ("80 x 80 x 80 at 2 mm", PatchPlan((80, 80, 80), 1, (-200, 400))),
            ("48 x 64 x 80 at 4 mm", PatchPlan((48, 64, 80), 2, (-200, 400))),
        ):
            seconds = cpu_seconds(
                lambda plan=plan: draw_patch(pool, plan, np.random.default_rng(1)), 3 * runs
            )
            print(f"training patch, {name}: {seconds:.3f} CPU s")
    seconds = cpu_seconds(
        lambda: scan_body(body, np.random.default_rng(1), (3.0, 0.8, 0.8), 512), runs
    )
    slices = int(body.shape[0] * 2 / 3)
    print(f"scan of that anatomy, 512 x 512 x {slices}: {seconds:.2f} CPU s")


if __name__ == "__main__":
    main()
