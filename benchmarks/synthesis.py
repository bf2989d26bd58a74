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

from renalis.recipes import load_system
from renalis.synthesis.anatomy import compose
from renalis.synthesis.invented_labels import invented_labels
from renalis.synthesis.patches import load_body, save_body
from renalis.synthesis.scan import scan_body
from renalis.systems.patch_batches import patch_batches
from renalis.systems.recipe_cases import grid_specs

BATCH = 8
"""Patches that are timed together, because what is drawn into each differs."""


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
    stages = load_system("renalis-kidney").all_stages()
    spacings = [stage.sampler.rendering.bodies_mm for stage in stages]
    bodies = {}
    for mm in sorted(set(spacings)):
        bodies[mm] = body = compose(labels, np.random.default_rng(1), mm)
        million = body.array.size / 1e6
        seconds = cpu_seconds(lambda mm=mm: compose(labels, np.random.default_rng(1), mm), runs)
        print(
            f"anatomy at {mm:g} mm, {million:.1f} million voxels: {seconds:.2f} CPU s, "
            f"{seconds / million:.2f} per million"
        )
    with TemporaryDirectory() as folder:
        for number, (stage, mm) in enumerate(zip(stages, spacings, strict=True)):
            path = Path(folder) / f"{stage.name}.body"
            save_body(path, np.asarray(bodies[mm].array), mm, 0)
            pool = [load_body(path)]
            feeding = patch_batches(stage, number, 0, [], grid_specs(stage), pool, augment=False)
            seconds = cpu_seconds(
                lambda feeding=feeding: [feeding.sample(i) for i in range(BATCH)], runs
            )
            size = " x ".join(map(str, stage.sampler.patch))
            print(
                f"training patch, {stage.name}, {size} at {stage.grids[0].spacing_mm[0]:g} mm: "
                f"{seconds / BATCH:.3f} CPU s"
            )
    body = bodies[spacings[0]]
    seconds = cpu_seconds(
        lambda: scan_body(body, np.random.default_rng(1), (3.0, 0.8, 0.8), 512), runs
    )
    slices = int(body.shape[0] * 2 / 3)
    print(f"scan of that anatomy, 512 x 512 x {slices}: {seconds:.2f} CPU s")


if __name__ == "__main__":
    main()
