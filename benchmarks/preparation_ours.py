"""Prepare a training case, resample, and draw patches by renalis; for the benchmarks.

python benchmarks/preparation_ours.py case SCAN LABELS FOLDER Z Y X
python benchmarks/preparation_ours.py resample SCAN Z Y X
python benchmarks/preparation_ours.py compare FOLDER THEIRS.npz Z Y X
python benchmarks/preparation_ours.py patches|slices FOLDER Z Y X COUNT
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from meter import metered
from nnunet_way import linear_labels, same_extent

import renalis
from renalis.augmentation import BrightnessContrast, Compose, Flip, Noise, Normalize, Spatial
from renalis.io.read_labels import read_label_map
from renalis.preparation import GridSpec, cached_case, open_prepared, regrid_image
from renalis.preparation.cache import file_hash
from renalis.sampling import SliceSampler, WindowSampler
from renalis.volume import Volume

WINDOW = (-200.0, 400.0)
PATCH, MARGIN = (96, 96, 96), 16


SPEC = GridSpec("case", spacing_mm=(None, None, None), clip_hu=WINDOW, sub=sum(WINDOW) / 2,
                div=(WINDOW[1] - WINDOW[0]) / 2)  # fmt: skip
"""Of a case that lies on its grid already."""


def case(scan: Path, labels: Path, folder: Path, spacing: tuple[float, float, float]) -> dict:
    """Read, prepare, store.

    nnU-Net's way: clip, then cubic splines on a grid of the same extent; labels linearly.
    """

    def load() -> tuple[Volume, Volume]:
        image = renalis.read_scan(scan).volume.reoriented()
        grid = same_extent(image, spacing)
        return (
            regrid_image(image, grid, (3, 3, 3), clip_hu=WINDOW),
            linear_labels(read_label_map(labels).reoriented(), grid),
        )

    def work() -> None:
        cached_case(folder, file_hash([scan, labels]), load, [SPEC])

    found = metered(work)
    return {"work_cpu_s": found["cpu_s"], "work_mb": found["extra_mb"], **sizes(folder)}


def sizes(folder: Path) -> dict[str, float]:
    """What is stored, in MB."""
    return {"stored_mb": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6}


def resampled(scan: Path, spacing: tuple[float, float, float]) -> dict:
    """Cubic splines alone, the scan in memory."""
    volume = renalis.read_scan(scan).volume.reoriented()
    grid = same_extent(volume, spacing)
    found = metered(regrid_image, volume, grid, (3, 3, 3), clip_hu=WINDOW)
    return {"work_cpu_s": found["cpu_s"], "work_mb": found["extra_mb"]}


def opened(folder: Path):
    """The one case in a cache."""
    (stored,) = (index.parent for index in folder.glob("*/*.json"))
    return open_prepared(stored, [SPEC]).grid("case")


def compare(folder: Path, theirs: Path, spacing: tuple[float, float, float]) -> dict:
    """Largest difference of the images in HU, and the share of equal labels."""
    grid, other = opened(folder), np.load(theirs)
    low, high = WINDOW
    image = other["image"] * ((high - low) / 2) + (low + high) / 2
    return {
        "largest_hu": float(np.abs(image - grid.image).max()),
        "mean_hu": float(np.abs(image - grid.image).mean()),
        "labels_equal": float((other["label"] == grid.label).mean()),
        "foreground_equal": float((other["label"] == grid.label)[other["label"] > 0].mean()),
        "shape": list(grid.shape),
    }


def transforms() -> Compose:
    """Rotation, scaling, flips, noise, brightness, contrast, each time."""
    low, high = WINDOW
    final = {"image": (1, *PATCH), "seg": PATCH}
    return Compose(
        (
            Spatial(angle_deg=15, scale=(0.85, 1.25), shape=final),
            Flip((-1, -2, -3)),
            Normalize(WINDOW, (low + high) / 2, (high - low) / 2),
            Noise((0.0, 0.1)),
            BrightnessContrast((0.75, 1.25), (0.75, 1.25)),
        )
    )


def patches(folder: Path, spacing: tuple[float, float, float], count: int) -> dict:
    """Augmented 3D patches per second of one core."""
    sampler = WindowSampler([opened(folder)], PATCH, (48, 48, 48), margin=MARGIN)
    rng, change = np.random.default_rng(0), transforms()
    change(sampler.draw(rng), rng)
    clock = time.process_time()
    for _ in range(count):
        change(sampler.draw(rng), rng)
    return {"per_cpu_s": count / (time.process_time() - clock)}


def slices(folder: Path, spacing: tuple[float, float, float], count: int) -> dict:
    """2D slices per second of one core, from memory maps, without augmentation."""
    sampler = SliceSampler([opened(folder)])
    order = np.random.default_rng(0).integers(0, len(sampler), count)
    sampler[0]
    clock = time.process_time()
    for number in order:
        sampler[int(number)]
    return {"per_cpu_s": count / (time.process_time() - clock)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("case", "resample", "compare", "patches", "slices"))
    parser.add_argument("words", nargs="+", help="as above")
    arguments = parser.parse_args()
    action, words = arguments.action, arguments.words
    torch.set_num_threads(1)
    if action in ("patches", "slices"):
        count, words = int(words[-1]), words[:-1]
        work = patches if action == "patches" else slices
        print(json.dumps(work(Path(words[0]), tuple(map(float, words[1:])), count)))
        return
    paths, mm = [Path(word) for word in words[:-3]], tuple(map(float, words[-3:]))
    work = {"case": case, "resample": resampled, "compare": compare}[action]
    print(json.dumps(work(*paths, mm)))


if __name__ == "__main__":
    main()
