"""How much kidneys and tumors depend on where windows lie and on what normalizes them.

    python benchmarks/window_places.py [--model NAME|FILE] [--work FOLDER]

The fine network looks at the scan that ``prediction.py`` has made, with windows at
multiples of its strides, moved by one voxel along every axis, moved by all its strides, and as many
as half a window's overlap over the whole scan needs; once with every window normalized by itself,
once with the statistics of the windows that the prediction uses. Printed is the Dice of the labels
with those of the first way, where the coarse network allows kidneys, and with the truth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from arms import HERE
from prediction_job import LIKE_RIVALS, all_dice, canonical_labels
from prediction_job import with_fixed_statistics as fixed

import renalis
from renalis.boxes import scaled_box
from renalis.prediction import PredictionOptions, RuntimeName
from renalis.prediction.cascade import open_networks, search
from renalis.prediction.region_of_interest import nearest
from renalis.prediction.runtimes.torch_runtime import TorchNetwork
from renalis.prediction.sliding import slide, worth_looking
from renalis.prediction.windows import Shape, WindowGrid, windows_over, windows_over_boxes
from renalis.preparation import resample, stage_grid, window


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "bench")
    arguments = parser.parse_args()
    model = renalis.load_model(arguments.model)
    options = PredictionOptions(runtime=RuntimeName.TORCH, **LIKE_RIVALS)
    scan = renalis.read_scan(arguments.work / "scans" / "synthetic.nii.gz").volume.reoriented()
    truth = canonical_labels(arguments.work / "scans" / "synthetic-truth.nii.gz")
    coarse, fine = model.header.stage("coarse"), model.header.stage("fine")
    region = search(scan, model, open_networks(model, options), options)
    image = resample(scan, fine.spacing_mm, interpolation=fine.interpolation)
    image = window(image.array, *fine.window_hu)
    shape = stage_grid(scan, fine.spacing_mm).shape
    whole = tuple(slice(0, n) for n in shape)
    ratio = tuple(a / b for a, b in zip(fine.spacing_mm, coarse.spacing_mm, strict=True))
    allowed = nearest(region.allowed, whole, ratio)
    inverse = tuple(1 / r for r in ratio)
    known = nearest(truth, whole, tuple(m / n for m, n in zip(truth.shape, shape, strict=True)))
    boxes = [scaled_box(box, inverse, shape) for box in region.boxes]
    pace = WindowGrid.of(stage_grid(scan, fine.spacing_mm).affine, fine.stride)
    places = windows_over_boxes(boxes, shape, fine.patch, options.overlap, pace)
    places = worth_looking(image, places, fine.patch, allowed)
    alone = model.network("fine")
    cut = [tuple(slice(s, s + p) for s, p in zip(w, fine.patch, strict=True)) for w in places]
    together = fixed(
        model.network("fine"), torch.from_numpy(np.stack([image[b][None] for b in cut]))
    )
    for name, network in (("each window by itself", alone), ("together", together)):
        first: np.ndarray | None = None
        print(f"normalized {name}")
        for way, windows in ways(places, shape, fine.patch, pace, allowed, image).items():
            found = slide(image[None], TorchNetwork(network), fine.patch, windows).probability
            labels = named(found * allowed)
            first = labels if first is None else first
            print(f"  {way:34s} {len(windows):4d} windows, with the first {scores(labels, first)},"
                  f" with the truth {scores(labels, known)}", flush=True)  # fmt: skip


def ways(
    places: list[Shape], shape: Shape, patch: Shape, pace: WindowGrid,
    allowed: np.ndarray, image: np.ndarray,
) -> dict[str, list[Shape]]:  # fmt: skip
    """Windows laid in several ways."""
    last = [n - p for n, p in zip(shape, patch, strict=True)]

    def moved(by: int) -> list[Shape]:
        turned = [tuple(min(s + by, n) for s, n in zip(w, last, strict=True)) for w in places]
        return sorted({*places, *turned} if by == pace.stride else {*turned})  # type: ignore[arg-type]

    every = windows_over(tuple(slice(0, n) for n in shape), shape, patch, 0.5, pace)  # type: ignore[arg-type]
    return {
        "fitted, of the model's length": places,
        "moved by one voxel": moved(1),
        "and moved by all strides": moved(pace.stride),
        "over the whole scan, half overlapping": worth_looking(image, every, patch, allowed),
    }


def named(probability: np.ndarray) -> np.ndarray:
    """The most probable class of each renal voxel."""
    return np.where(probability.sum(0) >= 0.5, probability.argmax(0) + 1, 0)


def scores(one: np.ndarray, two: np.ndarray) -> str:
    """Dice of kidney and tumor."""
    dice = all_dice(one, two)
    return ", ".join(f"{name} {dice[name] or 0:.4f}" for name in ("kidney", "tumor"))


if __name__ == "__main__":
    main()
