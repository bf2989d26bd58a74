"""MONAI makes augmented patches of a training case that it keeps in memory.

    python monai_sampling.py IMAGE.npy LABEL.npy COUNT

Image and label are what `CacheDataset` would hold: whole tensors in memory, ready. Then a crop with
a margin, and the transforms of ``preparation_ours.py``, each applied each time.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from monai.transforms import (
    Compose,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandScaleIntensityd,
    RandScaleIntensityFixedMeand,
    RandSpatialCropd,
)

WINDOW, PATCH, MARGIN = (-200.0, 400.0), (96, 96, 96), 16


def transforms() -> Compose:
    """Crop, rotate and scale, mirror, noise, brightness, contrast."""
    both, angle = ["image", "label"], float(np.deg2rad(15))
    chain = Compose(
        [
            RandSpatialCropd(both, [n + 2 * MARGIN for n in PATCH], random_size=False),
            RandAffined(
                both, prob=1, rotate_range=[angle] * 3, scale_range=[(-0.2, 0.18)] * 3,
                spatial_size=PATCH, mode=["bilinear", "nearest"], padding_mode="zeros",
            ),
            *[RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)],
            RandGaussianNoised(["image"], prob=1, std=0.1),
            RandScaleIntensityd(["image"], prob=1, factors=0.25),
            RandScaleIntensityFixedMeand(["image"], prob=1, factors=0.25, preserve_range=True),
        ]
    )  # fmt: skip
    return chain.set_random_state(0)


def main() -> None:
    """Count patches per CPU second."""
    image, label, count = np.load(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3])
    low, high = WINDOW
    scaled = (image.astype(np.float32).clip(low, high) - (low + high) / 2) / ((high - low) / 2)
    case = {"image": torch.from_numpy(scaled)[None], "label": torch.from_numpy(label)[None]}
    change = transforms()
    assert tuple(change(dict(case))["image"].shape) == (1, *PATCH)
    clock = time.process_time()
    for _ in range(count):
        change(dict(case))
    print(json.dumps({"per_cpu_s": count / (time.process_time() - clock)}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
