"""MONAI predicts a whole scan: its transforms, ``sliding_window_inference``, ``Invertd``.

    python monai_prediction.py JOB.json OUTPUT.nii.gz [--prepared]

The chain of a MONAI bundle: load, spacing, intensity range, sliding window with Gaussian weights
and half a window's overlap, logits inverted to the scan's grid (nnU-Net does the same), largest
class, file. With ``--prepared`` the network sees renalis' prepared image instead of MONAI's, to
tell apart what makes labels differ.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    ScaleIntensityRanged,
    Spacingd,
)
from plain_unet import plain_unet


def main() -> None:
    """Predict and print what each step took."""
    job = json.loads(Path(sys.argv[1]).read_text()) | {"output": sys.argv[2]}
    torch.set_num_threads(job["threads"])
    network = plain_unet(job["weights"])
    low, high = job["window_hu"]
    steps, clock = {}, time.process_time()

    def done(step: str) -> None:
        nonlocal clock
        steps[f"{step}_cpu_s"], clock = time.process_time() - clock, time.process_time()

    before = Compose(
        [
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="LPS", labels=None),
            # scale_extent: the corners of both grids coincide, as in nnU-Net and renalis
            Spacingd("image", job["spacing_mm"][::-1], mode="bilinear", scale_extent=True),
            ScaleIntensityRanged("image", low, high, -1, 1, clip=True),
        ]
    )
    case = before({"image": job["scan"]})
    image = case["image"].permute(0, 3, 2, 1).as_tensor()
    if "--prepared" in sys.argv:
        image = torch.from_numpy(np.load(job["prepared"])[None])
    done("prepare")
    with torch.inference_mode():
        logits = sliding_window_inference(
            image[None], job["patch"], 1, network, overlap=0.5, mode="gaussian"
        )
        predicted = logits[0].permute(0, 3, 2, 1)
    done("network")
    case["pred"] = MetaTensor(predicted, meta=case["image"].meta)
    after = Invertd("pred", before, "image", nearest_interp=False, to_tensor=True)
    restored = after(case)["pred"]
    labels = restored.argmax(0).numpy().astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, nib.load(job["scan"]).affine), job["output"])
    done("export")
    print(json.dumps({**steps, "work_cpu_s": sum(steps.values()), "grid": list(image.shape[1:])}))


if __name__ == "__main__":
    main()
