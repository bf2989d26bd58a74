"""Where networks compute: what was asked for, or a sentence before anything is read or written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from renalis.cli import main
from renalis.compute_device import choose_device
from renalis.errors import InputError, UsageError
from renalis.model import load_model
from renalis.prediction import PredictionOptions
from renalis.prediction.cascade import open_networks
from renalis.prediction.options import RuntimeName
from renalis.prediction.runtimes.choice import open_network
from renalis.systems import open_segmenter
from renalis.systems.segmenter_options import SegmenterOptions

CUDA = torch.cuda.is_available()
WITHOUT_GPU = pytest.mark.skipif(CUDA, reason="there is a GPU")


def test_auto_is_cuda_where_there_is_a_device() -> None:
    assert choose_device("auto") == ("cuda" if CUDA else "cpu")
    assert choose_device("cpu") == "cpu"


def test_the_cpu_is_chosen_without_importing_torch() -> None:
    program = (
        "import sys; from renalis.compute_device import choose_device as c; c('cpu'); "
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@WITHOUT_GPU
def test_a_missing_device_is_said_with_its_reason() -> None:
    reason = "built without CUDA" if torch.version.cuda is None else "nvidia-smi"
    with pytest.raises(InputError, match=rf"--device cuda: .*{reason}.*--device cpu"):
        choose_device("cuda")


@WITHOUT_GPU
def test_the_shipped_model_is_not_computed_elsewhere_than_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, out = tmp_path / "scan.nii.gz", tmp_path / "out"
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.eye(4)), scan)
    assert main(["segment", str(scan), "-o", str(out), "--device", "cuda"]) == 2
    assert "--device cuda" in capsys.readouterr().err
    assert not list(out.glob("*"))


@pytest.mark.parametrize("runtime", ["onnx", "openvino", "openvino-bf16"])
def test_a_runtime_of_the_cpu_is_refused_on_cuda(runtime: str) -> None:
    prediction = PredictionOptions(runtime=RuntimeName(runtime))
    with pytest.raises(UsageError, match=f"--runtime {runtime} computes on the CPU alone"):
        open_segmenter(options=SegmenterOptions(prediction=prediction, device="cuda"))
    # Where there is a choice, the runtime decides.
    automatic = open_segmenter(options=SegmenterOptions(prediction=prediction, device="auto"))
    assert automatic.options.device == "cpu"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="CPU alone"):
        PredictionOptions(runtime=RuntimeName(runtime), device="cuda")


@pytest.mark.parametrize("runtime", [RuntimeName.TORCH, RuntimeName.TORCH_BF16])
def test_the_device_reaches_the_networks_weights(runtime: RuntimeName) -> None:
    model = load_model()
    stage = model.header.stage("coarse")
    for device in ("cpu", "meta"):
        network = open_network(model, stage, runtime, device=device)  # type: ignore[arg-type]
        places = {value.device.type for value in network.network.state_dict().values()}  # type: ignore[attr-defined]
        assert places == {device}


@pytest.mark.skipif(not CUDA, reason="no CUDA device here")
def test_the_shipped_networks_say_the_same_on_cuda() -> None:
    model = load_model()
    for stage in model.header.stages:
        image = np.random.default_rng(0).uniform(-1, 1, (2, 1, *stage.patch)).astype(np.float32)
        one, two = (
            open_network(model, stage, RuntimeName.TORCH, device=d) for d in ("cpu", "cuda")
        )
        assert np.abs(one(image) - two(image)).max() < 0.02
    options = PredictionOptions(device="cuda")
    assert open_networks(model, options).runtime == RuntimeName.TORCH
