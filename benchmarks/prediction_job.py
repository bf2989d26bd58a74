"""What the prediction benchmark needs from renalis, in a process of its own.

    python benchmarks/prediction_job.py make MODEL SCAN FOLDER
    python benchmarks/prediction_job.py agree FOLDER LABELS… [--truth FILE]

``make`` writes for each rival a job with the fine network's weights (and the statistics of this
scan that it normalizes with, where windows are normalized together), where kidneys may be, and our
own labels by the rivals' rule, which is the most probable class of the fine network alone: from
windows and an image like each rival's, and from our own. ``agree`` compares label maps with those.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import nn

import renalis
from renalis.conventions import Label
from renalis.networks.unet import PooledNorm3d
from renalis.prediction import Mirror, PredictionOptions, RuntimeName, Windows, predict
from renalis.prediction.cascade import open_networks, search
from renalis.prediction.region_of_interest import nearest
from renalis.prediction.windows import regular_windows
from renalis.preparation import resample, stage_grid, window
from renalis.thresholds import Thresholds
from renalis.volume import Kind, Volume

NAMED = {"renal": (1, 2, 3), "kidney": (1,), "tumor": (2,), "cyst": (3,)}
WHERE_TO_LOOK = ("find_at", "find_ml", "reach_mm", "large_mm")
"""Thresholds of the coarse pass, which the rivals' labels are cut to as well."""

LIKE_RIVALS = {
    "mirror": Mirror.NONE,
    "together": 64,
    "thresholds": {
        **{name: 0.0 for name in Thresholds.model_fields if name not in WHERE_TO_LOOK},
        "tumor_outside": 1.0,
        "lesion_sure": 1.0,
    },
}
"""The fine network alone decides, looking once, by the largest of four probabilities, and every
rule for whole lesions is off; windows are all normalized together, because the rivals can be given
one set of statistics only."""

INTERPOLATION = {"nnunet": "cubic", "monai": "linear"}
"""How each rival makes the network's image of the scan."""


def make(model_name: str, scan_path: Path, folder: Path, threads: int) -> None:
    """Write ``nnunet.json``, ``monai.json`` and what they name, ``example.npz``, ``ours.npz``."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    model = renalis.load_model(model_name)
    coarse, fine = model.header.stage("coarse"), model.header.stage("fine")
    scan = renalis.read_scan(scan_path).volume
    options = PredictionOptions(threads=threads, **LIKE_RIVALS)
    networks = open_networks(model, options)
    canonical = scan.reoriented()
    grid = stage_grid(canonical, fine.spacing_mm)
    prepared = resample(canonical, fine.spacing_mm, interpolation=fine.interpolation)
    prepared = window(prepared.array, *fine.window_hu)
    np.save(folder / "prepared.npy", prepared)
    region = search(scan, model, networks, options)
    box = tuple(slice(0, n) for n in canonical.shape)
    steps = tuple(a / b for a, b in zip(canonical.spacing, coarse.spacing_mm, strict=True))
    own = predict(scan, model, options, networks=networks)
    labels = {"own": own.labels.reoriented().array}
    counts = {"own": own.windows["fine"]}
    exact = open_networks(model, replace(options, runtime=RuntimeName.TORCH))
    for rival, interpolation in INTERPOLATION.items():
        seen_by_fine: list[np.ndarray] = []

        def fine_network(patches: np.ndarray, seen: list[np.ndarray] = seen_by_fine) -> np.ndarray:
            seen.append(patches)
            return networks.fine(patches)

        alike = replace(options, windows=Windows.LATTICE, interpolation=interpolation)
        found = predict(scan, model, alike, networks=replace(networks, fine=fine_network))
        labels[rival] = found.labels.reoriented().array
        found = predict(scan, model, alike, networks=replace(exact, coarse=networks.coarse))
        labels[f"{rival}, float32"] = found.labels.reoriented().array
        counts[rival] = found.windows["fine"]
        network = model.network("fine")
        if fine.pooled:
            (windows,) = seen_by_fine  # all of them are one batch
            network = with_fixed_statistics(network, torch.from_numpy(windows))
        weights = {name: value.numpy() for name, value in network.state_dict().items()}
        np.savez(folder / f"{rival}-weights.npz", **weights)
        job = {
            "scan": str(scan_path.resolve()),
            "weights": str((folder / f"{rival}-weights.npz").resolve()),
            "prepared": str((folder / "prepared.npy").resolve()),
            "patch": list(fine.patch),
            "spacing_mm": list(fine.spacing_mm),
            "window_hu": list(fine.window_hu),
            "threads": threads,
            "grid": list(grid.shape),
        }
        (folder / f"{rival}.json").write_text(json.dumps(job, indent=1))
        if rival == "nnunet":
            write_example(network, folder / "example.npz")
    np.savez_compressed(folder / "ours.npz", region=nearest(region.allowed, box, steps), **labels)
    about = {
        "grid": list(grid.shape),
        "patch": list(fine.patch),
        "lattice": len(regular_windows(grid.shape, fine.patch)),
        "runtime": str(networks.runtime),
        "windows": counts,
    }
    print(json.dumps(about))


def write_example(network: nn.Module, file: Path) -> None:
    """What the network says about random input."""
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (1, 1, 32, 32, 32)).astype(np.float32)
    with torch.inference_mode():
        logits = network(torch.from_numpy(image)).numpy()
    np.savez(file, image=image, logits=logits)


def with_fixed_statistics(network: nn.Module, windows: torch.Tensor) -> nn.Module:
    """The network with the statistics of a scan's windows as part of its weights.

    What `PooledNorm3d` computes for these windows it then says about any window by itself, which is
    how the rivals compute it.
    """
    layers = {n: m for n, m in network.named_modules() if isinstance(m, PooledNorm3d)}
    fixed: dict[str, nn.BatchNorm3d] = {}

    def note(name: str, layer: PooledNorm3d, features: torch.Tensor) -> None:
        norm = nn.BatchNorm3d(layer.num_features, eps=layer.eps)
        norm.load_state_dict(layer.state_dict(), strict=False)
        variance, mean = torch.var_mean(features, (0, 2, 3, 4), correction=0)
        norm.running_mean, norm.running_var = mean, variance
        fixed[name] = norm.eval()

    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda m, x, name=name: note(name, m, x[0]))
    with torch.inference_mode():
        network(windows)
    for name, norm in fixed.items():
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, norm)
    return network


def agree(folder: Path, files: list[Path], truth: Path | None) -> None:
    """Dice of each label map with ours and with each other inside the kidneys' region.

    Ours from windows and an image like that rival's, also computed in float32 as theirs, and from
    our own; and of all with the truth, where there is one.
    """
    stored = np.load(folder / "ours.npz")
    own, region = stored["own"], stored["region"]
    found = {}
    known = None if truth is None else canonical_labels(truth)
    if known is not None:
        for name in ("own", *INTERPOLATION):
            found[f"renalis, {name} windows"] = {"truth": all_dice(stored[name], known)}
    seen = {}
    for file in files:
        theirs = canonical_labels(file)
        name = file.name.removesuffix(".nii.gz")
        rival = name.split("-")[0]
        seen[name] = np.where(region, theirs, Label.BACKGROUND)
        found[name] = {
            "ours_in_region": all_dice(stored[rival], seen[name]),
            "ours_float32_in_region": all_dice(stored[f"{rival}, float32"], seen[name]),
            "own_windows_in_region": all_dice(own, seen[name]),
            "voxels_outside_region": int(np.count_nonzero(theirs[~region])),
            **({} if known is None else {"truth": all_dice(theirs, known)}),
        }
    among = {f"{one}, {two}": all_dice(seen[one], seen[two]) for one, two in combinations(seen, 2)}
    print(json.dumps({"agreement": found, "rivals": among, "region_share": float(region.mean())}))


def canonical_labels(path: Path) -> np.ndarray:
    """A label map, axes (Z, Y, X)."""
    import nibabel as nib

    image = nib.load(path)
    array = np.asarray(image.dataobj).astype(np.uint8)
    return Volume(array, image.affine, Kind.LABELS).reoriented().array


def all_dice(one: np.ndarray, two: np.ndarray) -> dict[str, float | None]:
    """Dice of each class and of all together; None where neither has it."""
    return {name: dice(np.isin(one, v), np.isin(two, v)) for name, v in NAMED.items()}


def dice(one: np.ndarray, two: np.ndarray) -> float | None:
    """2|A∩B| / (|A|+|B|)."""
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(two))
    return 2 * int(np.count_nonzero(one & two)) / total if total else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("make")
    making.add_argument("model")
    making.add_argument("scan", type=Path)
    making.add_argument("folder", type=Path)
    making.add_argument("--threads", type=int, default=1)
    agreeing = actions.add_parser("agree")
    agreeing.add_argument("folder", type=Path)
    agreeing.add_argument("labels", type=Path, nargs="*")
    agreeing.add_argument("--truth", type=Path)
    arguments = parser.parse_args()
    if arguments.action == "make":
        make(arguments.model, arguments.scan, arguments.folder, arguments.threads)
    else:
        agree(arguments.folder, arguments.labels, arguments.truth)


if __name__ == "__main__":
    main()
