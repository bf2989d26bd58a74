"""Confidences that users measure with results of theirs, and where they are believed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from helpers.small_cohort import write_scan
from helpers.stub import stub_model

from renalis.calibration import logit, own_calibration
from renalis.cli import main
from renalis.errors import InputError, UsageError
from renalis.pipeline import SegmentOptions, Status, segment
from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName

OPTIONS = SegmentOptions(
    prediction=PredictionOptions(runtime=RuntimeName.TORCH, mirror=Mirror.NONE), report=False
)
CASES = 24


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan(tmp_path_factory.mktemp("in") / "scan.nii.gz")


@pytest.fixture(scope="module")
def folders(scan: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results and references: where the lesions' probability is low, there are none."""
    root = tmp_path_factory.mktemp("cohort")
    (done,) = segment(scan, root / "one", OPTIONS, model=stub_model())
    assert done.folder is not None
    rng = np.random.default_rng(0)
    stored = nibabel.load(done.folder / "segmentation.nii.gz")
    labels = np.asarray(stored.dataobj)
    (root / "references").mkdir()
    for number in range(CASES):
        case = root / "results" / f"case_{number:05d}"
        shutil.copytree(done.folder, case)
        right = bool(number % 3)
        content = json.loads((case / "measurements.json").read_text())
        for one in (*content["kidneys"], *content["lesions"]):
            sure = rng.uniform(0.85, 0.95) if right else rng.uniform(0.55, 0.7)
            one["confidence"]["mean_probability"] = float(sure)
        (case / "measurements.json").write_text(json.dumps(content))
        truth = labels if right else np.minimum(labels, 1)
        image = nibabel.Nifti1Image(truth, stored.affine)
        nibabel.save(image, root / "references" / f"case_{number:05d}.nii.gz")
    return root / "results", root / "references"


@pytest.fixture(scope="module")
def file(folders: tuple[Path, Path]) -> Path:
    path = folders[0].parent / "ours.confidence.json"
    results, references = map(str, folders)
    assert main(["model", "calibrate", results, "-r", references, "-o", str(path)]) == 0
    return path


def told(folder: Path | None) -> dict[str, Any]:
    assert folder is not None
    content: dict[str, Any] = json.loads((folder / "measurements.json").read_text())
    return content


def test_doubtful_lesions_get_a_low_confidence(file: Path) -> None:
    known = own_calibration(file)
    low, high = (known.fits.lesion.value({"probability_logit": logit(p)}) for p in (0.6, 0.92))
    assert low is not None
    assert high is not None
    assert low < 0.25
    assert high > 0.8
    assert known.measured["lesion"]["rank"] == 1.0  # type: ignore[index,call-overload]
    assert known.fits.basis == "24 cases with references"


def test_results_made_alike_get_it(file: Path, scan: Path, tmp_path: Path) -> None:
    options = replace(OPTIONS, confidence=file)
    (result,) = segment(scan, tmp_path / "out", options, model=stub_model())
    assert result.status == Status.DONE, result.problem
    measured = told(result.folder)
    assert measured["confidence"]["basis"] == "24 cases with references"
    assert measured["confidence"]["case_confidence"] is not None
    assert all(one["confidence"]["lesion_confidence"] for one in measured["lesions"])
    (again,) = segment(scan, tmp_path / "out", options, model=stub_model())
    assert again.status == Status.SKIPPED


def test_others_do_not(file: Path, scan: Path, tmp_path: Path) -> None:
    for other in (
        replace(OPTIONS, without_rules=("holes",)),
        replace(OPTIONS, prediction=PredictionOptions(runtime=RuntimeName.TORCH)),
    ):
        with pytest.raises(UsageError, match="measured with other networks or options"):
            segment(scan, tmp_path, replace(other, confidence=file), model=stub_model())
    damaged = tmp_path / "damaged.json"
    damaged.write_text(file.read_text().replace("way_sha256", "way"))
    with pytest.raises(InputError, match="not what `renalis model calibrate` writes"):
        segment(scan, tmp_path, replace(OPTIONS, confidence=damaged), model=stub_model())


def test_too_few_cases_and_a_mixture_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = shutil.copytree(folders[0], tmp_path / "results")
    words = ["model", "calibrate", str(results), "-r", str(folders[1]), "-o", str(tmp_path / "c")]
    path = results / "case_00003" / "provenance.json"
    path.write_text(path.read_text().replace('"way_sha256": "', '"way_sha256": "0'))
    assert main(words) == 2
    assert "were not all made with the same networks and options" in capsys.readouterr().err
    for number in range(3, CASES):
        shutil.rmtree(results / f"case_{number:05d}")
    assert main(words) == 2
    assert "there are 3 cases with kidneys and" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
