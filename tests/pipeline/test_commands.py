"""The verbs segment, model and doctor as a user runs them: exit codes, sentences, JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers.programs import run_program, start_program
from helpers.small_cohort import deadly_model, environment, write_scan
from helpers.stub import phantom
from test_model import NETWORK, header
from test_segment import save, with_air

from renalis.cli import main
from renalis.model import save_model
from renalis.networks import build


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    networks = {"coarse": build(NETWORK), "fine": build(NETWORK)}
    # It finds kidneys everywhere; at 2 mm each scan would take a minute
    patch = {"patch": [16, 16, 16], "window_hu": [-200, 400], "network": NETWORK}
    stages = [
        {"name": "coarse", "spacing_mm": [8, 8, 8], **patch},
        {"name": "fine", "spacing_mm": [6, 6, 6], **patch},
    ]
    path = tmp_path_factory.mktemp("m") / "tiny.safetensors"
    return save_model(path, header(stages=stages), networks)


QUICK = ("--no-report", "--runtime", "torch", "--mirror", "none")
"""For tests of anything but the answer."""


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scan = with_air(phantom(spacing=(8.0, 4.0, 4.0)))
    return save(tmp_path_factory.mktemp("in") / "patient.nii.gz", scan)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_segment(
    scan_file: Path, model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(scan_file), "-o", str(tmp_path / "o"), "--model", str(model_file)]
    assert main([*words, *QUICK, "--json"]) == 0
    (case,) = json.loads(capsys.readouterr().out)
    assert case["status"] == "done"
    assert case["measurements"]["case"] == "patient"
    assert {"segmentation.nii.gz", "measurements.json"} <= set(case["files"])
    assert main([*words, *QUICK]) == 0
    captured = capsys.readouterr()
    assert "skipped" in captured.err
    assert "measurements.csv" in captured.out
    assert "\033" not in captured.err + captured.out


@pytest.mark.parametrize(
    "tree",
    [
        ("images/case_1.nii.gz", "labels/case_1.nii.gz"),
        ("case_1/imaging.nii.gz", "case_1/segmentation.nii.gz", "case_1/instances/k.nii.gz"),
        ("s1/ct.nii.gz", "s1/segmentations/liver.nii.gz", "s1/segmentations/kidney_left.nii.gz"),
        ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "inferTs/a.nii.gz"),
    ],
)
def test_label_maps_in_a_tree_are_no_failed_scans(
    scan_file: Path,
    model_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tree: tuple[str, ...],
) -> None:
    scan = nib.load(scan_file)
    labels = nib.Nifti1Image((np.asanyarray(scan.dataobj) > 100).astype(np.uint8), scan.affine)
    for name in tree:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(scan if name == tree[0] else labels, tmp_path / "in" / name)
    words = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "o")]
    words += ["--model", str(model_file), *QUICK]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "1 of 1 scans done" in captured.out
    (line,) = [line for line in captured.err.splitlines() if "left out" in line]
    assert "label map" in line
    assert sorted(tree[1:])[0] in line


def test_a_file_that_is_no_scan_is_bad_input(
    model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no scan")
    words = ["segment", str(bad), "-o", str(tmp_path / "o"), "--model", str(model_file)]
    assert main([*words, *QUICK]) == 2
    error = capsys.readouterr().err
    assert error.count("bad.nii.gz is") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--max-ram", "plenty"], "no size"),
        (["--threads", "0"], "between 1 and"),
        (["--threads", "100000"], "between 1 and"),
        (["--without-rule", "gravity"], "gravity"),
        (["--without-rule", "all", "--without-rule", "gravity"], "gravity"),
        (["--series", ""], "argument is empty"),
        (["--model", "nothing"], "no model"),
    ],
)
def test_bad_usage_is_a_sentence(
    words: list[str], sentence: str, scan_file: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["segment", str(scan_file), "-o", str(tmp_path / "o"), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


# As Python begins under `>&- 2>&-`.
CLOSED = """
import os, runpy, sys
os.close(1)
os.close(2)
sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None
runpy.run_module("renalis", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("how", [("-m", "renalis"), ("-c", CLOSED)], ids=["gone", "closed"])
def test_work_goes_on_when_nobody_reads_what_is_printed(
    scan_file: Path, model_file: Path, tmp_path: Path, how: tuple[str, str]
) -> None:
    words = ("segment", scan_file, "-o", tmp_path / "o", "--model", model_file, *QUICK)
    reader, writer = os.pipe()
    os.close(reader)  # as in `2>&1 | true`
    with start_program(*how, *words, stdout=writer, stderr=writer) as process:
        os.close(writer)
        assert process.wait(120) == 0
    assert (tmp_path / "o" / "patient" / "segmentation.nii.gz").is_file()


def test_a_full_device_to_print_to_is_a_sentence(scan_file: Path) -> None:
    shell = f"{sys.executable} -m renalis recipe show unet3d-plain > /dev/full"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_links_that_lead_nowhere_and_files_that_are_no_scans_are_failed_cases(
    scan_file: Path, model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "patient.nii.gz").symlink_to(scan_file)
    (folder / "lost.nii.gz").symlink_to(tmp_path / "nowhere.nii.gz")
    # Hidden files and label maps are no scans, wherever they lead.
    for other in (".trash", "labelsTr"):
        (folder / other).mkdir()
        (folder / other / "lost.nii.gz").symlink_to(tmp_path / "nowhere.nii.gz")
    bad = tmp_path / "bad.nii.gz"
    bad.write_text("no scan")
    words = ["segment", str(folder), str(bad), "-o", str(tmp_path / "o")]
    assert main([*words, "--model", str(model_file), *QUICK]) == 1
    error = capsys.readouterr().err
    assert error.count("bad.nii.gz is") == 1
    assert "Traceback" not in error
    assert "lost.nii.gz is a link that leads nowhere" in error
    assert error.count("leads nowhere") == 1
    assert (tmp_path / "o" / "patient").is_dir()


def test_require_commercial(
    scan_file: Path, model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(scan_file), "-o", str(tmp_path), "--model", str(model_file)]
    assert main([*words, "--require-commercial"]) == 2
    assert "CC-BY-NC-SA-4.0" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_nothing_half_written(tmp_path: Path, number: signal.Signals) -> None:
    """The network itself stands still until the signal comes: no machine is too fast for it."""
    scan = write_scan(tmp_path / "scan.nii.gz", deadly=True)
    model, out = deadly_model(tmp_path / "m", "hang"), tmp_path / "o"
    words = ("-m", "renalis", "segment", scan, "-o", out, *QUICK, "--model", model)
    with start_program(*words, env=environment(model), stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while (tmp_path / "m" / "ways").read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(out.glob(".scan.partial-*")), process.poll()
        process.send_signal(number)
        code = process.wait(120)
        assert process.stderr is not None
        error = process.stderr.read()
    assert code == 128 + number, error
    assert "Traceback" not in error
    assert list(out.iterdir()) == []


def test_a_full_disk_is_a_sentence(
    scan_file: Path, model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files stands for a disk without space."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512));"
        "from renalis.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "o"
    words = ("segment", scan_file, "-o", out, *QUICK, "--model", model_file)
    done = run_program("-c", code, *words)
    assert done.returncode == 2, done.stderr
    assert "disk is full" in done.stderr
    assert list(out.iterdir()) == []


def test_model_info_and_list(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "info", str(model_file)]) == 0
    assert "NOT allowed" in capsys.readouterr().out
    assert main(["model", "info", str(model_file), "--json", "--verify"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "tiny"
    assert main(["model", "list"]) == 0


def test_model_info_in_the_words_of_monai_bundles(
    model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "info", str(model_file), "--monai"]) == 0
    told = json.loads(capsys.readouterr().out)
    required = {"schema", "version", "monai_version", "pytorch_version", "numpy_version",
                "required_packages_version", "task", "description", "authors", "copyright",
                "network_data_format"}  # fmt: skip
    assert required <= set(told)
    formats = told["network_data_format"]
    (seen,), (said,) = formats["inputs"].values(), formats["outputs"].values()
    for tensor in (seen, said):
        assert {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range",
                "is_patch_data", "channel_def"} <= set(tensor)  # fmt: skip
    assert said["channel_def"] == {"0": "background", "1": "kidney", "2": "tumor", "3": "cyst"}


@pytest.mark.parametrize(
    ("words", "heavy"),
    [(["segment", "--help"], set()), (["model", "--help"], set()), (["model", "list"], {"numpy"})],
)
def test_quick_answers_import_little(words: list[str], heavy: set[str]) -> None:
    code = (
        f"import sys; from renalis.cli import main; main({words!r});"
        "print(*{'torch', 'scipy', 'numpy'} & {*sys.modules}, sep=',')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == ",".join(heavy), done.stderr


def test_a_nifti_file_is_segmented_without_what_dicom_and_recipes_need(tmp_path: Path) -> None:
    """Their imports took a tenth of the time of a scan; nibabel alone brings pydicom and GDCM."""
    path = tmp_path / "scan.nii"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    code = (
        "import sys, renalis.io, renalis.report, renalis.pipeline.cases, renalis.pipeline.outputs;"
        "from renalis.errors import InputError\n"
        f"try: renalis.io.read_scan({str(path)!r})\n"
        "except InputError as error: print(error)\n"
        "print({'pydicom', 'gdcm', 'requests', 'yaml', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "is empty: every voxel is 0" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "set()"


def test_export(model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    core = pytest.importorskip("renalis.prediction.runtimes.quiet_openvino").core()
    words = ["model", "export", str(model_file), "-o", str(tmp_path / "x"), "--to"]
    assert main([*words, "openvino"]) == 0
    described = json.loads((tmp_path / "x" / "export.json").read_text())
    assert described["largest_difference"]["coarse"] < 1e-4
    compiled = core.compile_model(str(tmp_path / "x" / "coarse.xml"), "CPU")
    assert compiled(np.zeros((1, 1, 16, 16, 16), np.float32))[0].shape == (1, 4, 16, 16, 16)
    noted = core.read_model(str(tmp_path / "x" / "coarse.xml")).get_rt_info()["renalis"]
    assert float(noted["labels_differ"].value) == described["labels_differ"]["coarse"] == 0
    capsys.readouterr()


def test_export_to_onnx(model_file: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    folder = tmp_path / "x"
    assert main(["model", "export", str(model_file), "-o", str(folder), "--to", "onnx"]) == 0
    described = json.loads((folder / "export.json").read_text())
    assert described["largest_difference"]["fine"] < 1e-4
    session = runtime.InferenceSession(folder / "fine.onnx", providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"image": np.zeros((2, 1, 16, 16, 16), np.float32)})
    assert answer.shape == (2, 4, 16, 16, 16)
    noted = session.get_modelmeta().custom_metadata_map
    assert float(noted["labels_differ"]) == described["labels_differ"]["fine"] == 0


def test_doctor(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", str(model_file), "--json", "--threads", "1"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"]["name"] == "tiny"
    assert facts["cores"] == len(os.sched_getaffinity(0))
    trials = {trial["runtime"]: trial for trial in facts["runtimes"]["trials"]}
    assert trials["torch"]["agrees"]
    assert trials[facts["runtimes"]["chosen"]]["agrees"]
    assert main(["doctor", "--quick", "--model", str(model_file)]) == 0
    assert "processor" in capsys.readouterr().out
    assert main(["doctor", "--quick", "--model", "nothing"]) == 2
