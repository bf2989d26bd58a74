"""nnU-Net predicts a whole scan: its reader, preprocessing, sliding window and export.

    python nnunet_prediction.py JOB.json OUTPUT.nii.gz

These are the calls of ``nnUNetPredictor.predict_from_files_sequential``, mirroring off.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from nnunetv2.inference.export_prediction import export_prediction_from_logits
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from plain_unet import difference, plain_unet

RESAMPLE = "resample_data_or_seg_to_shape"
DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "kidney": 1, "tumor": 2, "cyst": 3},
    "numTraining": 1,
    "file_ending": ".nii.gz",
}


def plans(job: dict) -> dict:
    """nnU-Net's plans for the stage that the job describes; resampling is its default."""
    low, high = job["window_hu"]
    hu = {
        "mean": (low + high) / 2,
        "std": (high - low) / 2,
        "percentile_00_5": low,
        "percentile_99_5": high,
        "min": low,
        "max": high,
        "median": 0.0,
    }
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": job["patch"],
        "median_image_size_in_voxels": job["patch"],
        "spacing": job["spacing_mm"],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": RESAMPLE,
        "resampling_fn_seg": RESAMPLE,
        "resampling_fn_probabilities": RESAMPLE,
        "resampling_fn_data_kwargs": kwargs(False, 3),
        "resampling_fn_seg_kwargs": kwargs(True, 1),
        "resampling_fn_probabilities_kwargs": kwargs(False, 1),
        "architecture": {},
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset001_Kidney",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": job["spacing_mm"],
        "original_median_shape_after_transp": job["patch"],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": hu},
        "configurations": {"3d_fullres": configuration},
    }


def kwargs(is_seg: bool, order: int) -> dict:
    """Arguments of nnU-Net's resampling as its planner writes them."""
    return {"is_seg": is_seg, "order": order, "order_z": 0, "force_separate_z": None}


def main() -> None:
    """Predict and print what each step took."""
    job = json.loads(Path(sys.argv[1]).read_text()) | {"output": sys.argv[2]}
    torch.set_num_threads(job["threads"])
    network = plain_unet(job["weights"])
    manager = PlansManager(plans(job))
    configuration = manager.get_configuration("3d_fullres")
    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.manual_initialization(
        network, manager, configuration, [network.state_dict()], DATASET, "nnUNetTrainer", None
    )
    steps, clock = {}, time.process_time()

    def done(step: str) -> None:
        nonlocal clock
        steps[f"{step}_cpu_s"], clock = time.process_time() - clock, time.process_time()

    preprocessor = configuration.preprocessor_class(verbose=False)
    data, _, properties = preprocessor.run_case(
        [job["scan"]], None, manager, configuration, DATASET
    )
    done("prepare")
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data))
    done("network")
    name = job["output"].removesuffix(".nii.gz")
    export_prediction_from_logits(logits, properties, configuration, manager, DATASET, name)
    done("export")
    print(json.dumps({**steps, "work_cpu_s": sum(steps.values()), "grid": list(data.shape[1:])}))


if __name__ == "__main__":
    if sys.argv[1] == "--difference":
        print(json.dumps({"largest_difference": difference(*sys.argv[2:4])}))
    else:
        main()
