"""nnU-Net prepares a training case and makes patches of it.

    python nnunet_preparation.py case SCAN LABELS FOLDER Z Y X
    python nnunet_preparation.py patches FOLDER COUNT
    python nnunet_preparation.py export FOLDER OUTPUT.npz

``case`` is ``DefaultPreprocessor.run_case_save`` with the resampling that the planner writes;
``patches`` is the loop body of ``nnUNetDataLoader.generate_train_batch`` with batchgeneratorsv2's
transforms, each applied each time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from meter import metered, per_cpu_second
from nnunet_prediction import DATASET, plans
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.training.dataloading.nnunet_dataset import (
    comp_blosc2_params,
    nnUNetDatasetBlosc2,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

WINDOW, PATCH, MARGIN = [-200.0, 400.0], (96, 96, 96), 16


def case(scan: str, labels: str, folder: str, *spacing: str) -> dict:
    """Read, prepare, store."""
    job = {"window_hu": WINDOW, "patch": list(PATCH), "spacing_mm": [float(mm) for mm in spacing]}
    manager = PlansManager(plans(job))
    configuration = manager.get_configuration("3d_fullres")
    Path(folder).mkdir(parents=True, exist_ok=True)
    work = DefaultPreprocessor(verbose=False).run_case_save
    name = str(Path(folder) / "case")
    found = metered(work, name, [scan], labels, manager, configuration, DATASET)
    stored = sum(f.stat().st_size for f in Path(folder).iterdir()) / 1e6
    return {"work_cpu_s": found["cpu_s"], "work_mb": found["extra_mb"], "stored_mb": stored}


def export(folder: str, output: str) -> dict:
    """The stored arrays as a file that renalis can compare."""
    data, labels, _, _ = nnUNetDatasetBlosc2(folder).load_case("case")
    np.savez(output, image=np.asarray(data[:])[0], label=np.asarray(labels[:])[0])
    return {}


def transforms() -> ComposeTransforms:
    """As in ``preparation_ours.py``."""
    angle = (-np.deg2rad(15), np.deg2rad(15))
    factor = BGContrast((0.75, 1.25))
    return ComposeTransforms(
        [
            SpatialTransform(
                PATCH, 0, False, p_rotation=1, rotation=angle, p_scaling=1, scaling=(0.8, 1.18),
                p_synchronize_scaling_across_axes=1, mode_seg="nearest",
            ),
            MirrorTransform((0, 1, 2)),
            GaussianNoiseTransform((0, 0.1), p_per_channel=1, synchronize_channels=True),
            MultiplicativeBrightnessTransform(factor, synchronize_channels=False),
            ContrastTransform(factor, preserve_range=True, synchronize_channels=False),
        ]
    )  # fmt: skip


def patches(folder: str, count: str) -> dict:
    """Augmented patches per second of one core."""
    dataset, change, rng = nnUNetDatasetBlosc2(folder), transforms(), np.random.default_rng(0)
    size = np.add(PATCH, 2 * MARGIN)

    def one() -> None:
        data, labels, _, _ = dataset.load_case("case")
        start = [
            int(rng.integers(0, max(1, n - s + 1)))
            for n, s in zip(data.shape[1:], size, strict=True)
        ]
        box = [[s, s + n] for s, n in zip(start, size, strict=True)]
        image = torch.from_numpy(crop_and_pad_nd(data, box, 0)).float()
        label = crop_and_pad_nd(labels, box, -1, cast_cropped_to=np.int16)
        with torch.no_grad():
            change(image=image, segmentation=torch.from_numpy(label).to(torch.int16))

    one()
    clock = time.process_time()
    for _ in range(int(count)):
        one()
    return {"per_cpu_s": int(count) / (time.process_time() - clock)}


def slices(folder: str, count: str) -> dict:
    """2D slices of image and labels per second of one core, without augmentation.

    From a copy of the case in blocks as nnU-Net chooses them for a 2D configuration.
    """
    flat = Path(folder) / "2d"
    if not flat.is_dir():
        flat.mkdir()
        data, labels, _, properties = nnUNetDatasetBlosc2(folder).load_case("case")
        data, labels = np.asarray(data[:]), np.asarray(labels[:])
        blocks = [comp_blosc2_params(a.shape, a.shape[2:], a.itemsize) for a in (data, labels)]
        nnUNetDatasetBlosc2.save_case(
            data, labels, properties, str(flat / "case"),
            chunks=blocks[0][1], blocks=blocks[0][0], chunks_seg=blocks[1][1],
            blocks_seg=blocks[1][0],
        )  # fmt: skip
    dataset = nnUNetDatasetBlosc2(str(flat))

    def one(number: int) -> None:
        data, labels, _, _ = dataset.load_case("case")
        box = [[number, number + 1], *([0, n] for n in data.shape[2:])]
        torch.from_numpy(crop_and_pad_nd(data, box, 0)).float()
        torch.from_numpy(crop_and_pad_nd(labels, box, -1, cast_cropped_to=np.int16))

    depth = dataset.load_case("case")[0].shape[1]
    order = np.random.default_rng(0).integers(0, depth, int(count))
    return {"per_cpu_s": per_cpu_second(one, order)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    actions = {"case": case, "patches": patches, "slices": slices, "export": export}
    print(json.dumps(actions[sys.argv[1]](*sys.argv[2:])))
