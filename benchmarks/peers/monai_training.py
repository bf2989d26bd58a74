"""MONAI trains a network of its own with its usual components for a given time, and predicts.

    python monai_training.py JOB.json

As in MONAI's tutorials and bundles for organs in CT: ``CacheDataset``, ``Spacingd``,
``ScaleIntensityRanged``, ``CropForegroundd``, ``RandCropByPosNegLabeld``, flips and intensity
shifts, ``DiceCELoss``, AdamW with a cosine schedule, ``sliding_window_inference`` with Gaussian
weights, the best validation Dice kept, ``Invertd`` back to the scan. The rate is 1e-3: with the
tutorials' 1e-4, meant for hundreds of epochs, minutes of training lead nowhere. Stopped, it goes
on from its last epoch. Labels are those of KiTS19: cysts count as kidney.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, MetaTensor, decollate_batch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric
from monai.networks.nets import SegResNet, UNet
from monai.transforms import (
    AsDiscrete,
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    Invertd,
    Lambdad,
    LoadImaged,
    Orientationd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    ScaleIntensityRanged,
    Spacingd,
    SpatialPadd,
)
from monai.utils import set_determinism

CLASSES, RATE, DECAY, SAMPLES, EPOCHS_TO_VALIDATION = 3, 1e-3, 1e-5, 2, 5


def main() -> None:
    """Train until the time is used up, predict, write ``result.json``."""
    job = json.loads(Path(sys.argv[1]).read_text())
    if job["network"] == "unet":  # four halvings
        job["patch"] = [16 * math.ceil(side / 16) for side in job["patch"]]
    torch.set_num_threads(job["threads"])
    set_determinism(job["seed"])
    network = build(job["network"])
    training = train(job, network)
    result = {
        "training": training,
        "parameters": sum(p.numel() for p in network.parameters()),
        "predict_s": predict(job, network),
        "recipe": f"DiceCELoss, AdamW {RATE:g}, cosine, weight decay {DECAY:g}, batches of "
        f"2 cases × {SAMPLES} patches of {job['patch']} at {job['spacing_mm']} mm",
    }
    Path(job["run"], "result.json").write_text(json.dumps(result, indent=1) + "\n")


def build(name: str) -> torch.nn.Module:
    """Networks in the sizes of MONAI's tutorials, with a third of the channels."""
    if name == "segresnet":
        return SegResNet(
            spatial_dims=3,
            init_filters=8,
            in_channels=1,
            out_channels=CLASSES,
            blocks_down=(1, 2, 2, 4),
            blocks_up=(1, 1, 1),
            dropout_prob=0.2,
        )
    return UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=CLASSES,
        channels=(16, 32, 64, 128, 256),
        strides=(2, 2, 2, 2),
        num_res_units=2,
        norm="batch",
    )


def before(job: dict[str, Any], labelled: bool) -> list[Any]:
    """What happens once to every scan."""
    keys = ["image", "label"] if labelled else ["image"]
    low, high = job["window_hu"]
    modes = ("bilinear", "nearest") if labelled else ("bilinear",)
    steps: list[Any] = [LoadImaged(keys), EnsureChannelFirstd(keys)]
    if labelled:
        steps.append(Lambdad("label", cyst_is_kidney))
    return [
        *steps,
        Orientationd(keys, axcodes="LPS", labels=None),
        # Axes run X, Y, Z here; corners of both grids coincide.
        Spacingd(keys, job["spacing_mm"][::-1], mode=modes, scale_extent=True),
        ScaleIntensityRanged("image", low, high, 0, 1, clip=True),
    ]


def cyst_is_kidney(label: Any) -> Any:
    """KiTS23's label 3 as KiTS19's 1."""
    label[label == 3] = 1
    return label


def augmented(job: dict[str, Any]) -> list[Any]:
    """What happens anew each time."""
    both, patch = ["image", "label"], job["patch"][::-1]
    return [
        CropForegroundd(both, source_key="image", allow_smaller=True),
        SpatialPadd(both, patch),
        RandCropByPosNegLabeld(both, "label", patch, pos=1, neg=1, num_samples=SAMPLES),
        *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
        RandScaleIntensityd("image", factors=0.1, prob=0.5),
        RandShiftIntensityd("image", offsets=0.1, prob=0.5),
    ]


def train(job: dict[str, Any], network: torch.nn.Module) -> dict[str, Any]:
    """Train; the network ends with the weights of the best validation."""
    run = Path(job["run"])
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    state: dict[str, Any] = {"seconds": 0.0, "epochs": 0, "steps": 0, "best": -1.0}
    last, best = run / "last.pt", run / "best.pt"
    if last.exists():
        saved = torch.load(last, weights_only=True)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    budget = 60 * job["minutes"]
    if state["seconds"] < budget:
        # Preparing is not training, here as there.
        data = CacheDataset(job["train"], Compose([*before(job, True), *augmented(job)]),
                            num_workers=0, progress=False)  # fmt: skip
        val = CacheDataset(job["val"], Compose(before(job, True)), num_workers=0, progress=False)
        loader = DataLoader(data, batch_size=2, shuffle=True)
        loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    while state["seconds"] < budget:
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * state["seconds"] / budget)) / 2
        network.train()
        for batch in loader:
            optimizer.zero_grad()
            loss = loss_of(network(batch["image"]), batch["label"])
            loss.backward()
            optimizer.step()
            state["steps"] += 1
        state["epochs"] += 1
        spent = state["seconds"] + time.monotonic() - began
        if state["epochs"] % EPOCHS_TO_VALIDATION == 0 or spent >= budget or not best.exists():
            score = validated(job, network, val)
            print(f"epoch {state['epochs']} loss {loss.item():.4f} dice {score:.4f}", flush=True)
            if score >= state["best"]:
                state["best"] = score
                torch.save(network.state_dict(), best)
        state["seconds"] += time.monotonic() - began
        torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(),
                    "state": state}, run / "part.pt")  # fmt: skip
        (run / "part.pt").replace(last)
    network.load_state_dict(torch.load(best, weights_only=True))
    return {"minutes": state["seconds"] / 60, "epochs": state["epochs"], "steps": state["steps"]}


def predict_stage(job: dict[str, Any], network: torch.nn.Module, image: Any) -> Any:
    """Logits of a whole prepared scan (1, C, X, Y, Z)."""
    network.eval()
    with torch.inference_mode():
        return sliding_window_inference(
            image, job["patch"][::-1], 1, network, overlap=0.5, mode="gaussian"
        )


def validated(job: dict[str, Any], network: torch.nn.Module, cases: Any) -> float:
    """Mean Dice of kidney and tumor, as the tutorials compute it."""
    metric = DiceMetric(include_background=False, reduction="mean")
    said, truth = AsDiscrete(argmax=True, to_onehot=CLASSES), AsDiscrete(to_onehot=CLASSES)
    for batch in DataLoader(cases, batch_size=1):
        logits = predict_stage(job, network, batch["image"])
        metric([said(one) for one in decollate_batch(logits)],
               [truth(one) for one in decollate_batch(batch["label"])])  # fmt: skip
    return float(metric.aggregate().item())


def predict(job: dict[str, Any], network: torch.nn.Module) -> dict[str, float]:
    """Write label maps on the scans' own grids; seconds by case."""
    steps = Compose(before(job, False))
    after = Invertd("pred", steps, "image", nearest_interp=False, to_tensor=True)
    kept = Path(job["run"], "seconds.json")
    seconds = json.loads(kept.read_text()) if kept.exists() else {}
    for files in job["test"]:
        if files["id"] in seconds:
            continue
        began = time.perf_counter()
        case = steps({"image": files["image"]})
        logits = predict_stage(job, network, case["image"][None])
        case["pred"] = MetaTensor(torch.softmax(logits, 1)[0], meta=case["image"].meta)
        labels = after(case)["pred"].argmax(0).numpy().astype(np.uint8)
        path = Path(job["output"], f"{files['id']}.nii.gz")
        nib.save(nib.Nifti1Image(labels, nib.load(files["image"]).affine), path)
        seconds[files["id"]] = time.perf_counter() - began
        kept.write_text(json.dumps(seconds))
    return seconds


if __name__ == "__main__":
    main()
