"""Which numbers decide: those of the model file, or those chosen instead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.stub import StubModel, phantom, stub_model

from renalis.cli import main
from renalis.io import ScanSource
from renalis.model import read_header
from renalis.pipeline.options import SegmentOptions
from renalis.pipeline.work import CaseWork
from renalis.prediction import PredictionOptions, RuntimeName, predict
from renalis.recipes import load_system
from renalis.systems.segmenter_kinds import open_segmenter
from renalis.thresholds import RETIRED, Thresholds

OPTIONS = PredictionOptions(
    runtime=RuntimeName.TORCH, keep_heap=False, thresholds={"cyst_at": 0.0, "cyst_sure": 0.0}
)


def test_a_file_without_thresholds_has_those_of_version_ten() -> None:
    header = read_header("renalis-kidney")
    assert header.thresholds == Thresholds() == load_system("renalis-kidney").thresholds
    assert header.model_copy(update={"version": "11"}).thresholds.tumor_sure == 0.4


def test_the_models_own_thresholds_decide_unless_others_are_chosen() -> None:
    scan, model = phantom(), stub_model()
    strict = Thresholds(tumor_ball=1.0)  # no lesion is a ball of voxels to the last one
    header = model.header.model_copy(update={"thresholds": strict})
    other = StubModel(header, model.tensors, model.path)
    assert (predict(scan, model, OPTIONS).labels.array == 2).any()
    assert not (predict(scan, other, OPTIONS).labels.array == 2).any()
    chosen = replace(OPTIONS, thresholds={**OPTIONS.thresholds, "tumor_ball": 0.18})
    assert (predict(scan, other, chosen).labels.array == 2).any()


def test_files_with_numbers_that_decide_nothing_any_more_are_read() -> None:
    assert not RETIRED.keys() & Thresholds.model_fields.keys()
    old = {"tumor_sure": 0.3, **dict.fromkeys(RETIRED, 0.5)}
    assert Thresholds.model_validate(old) == Thresholds(tumor_sure=0.3)
    with pytest.raises(ValueError, match="large_cyst_sure decides nothing any more: with ver"):
        PredictionOptions(thresholds={"large_cyst_sure": 0.7})


@pytest.mark.parametrize("wrong", [{"tumor_shure": 0.5}, {"tumor_sure": 1.5}, {"find_ml": -1.0}])
def test_numbers_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PredictionOptions(thresholds=wrong)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tumor_shure=0.5", "there is no 'tumor_shure'; known are coarse_weight"),
        ("tumor_sure", "not of the form NAME=VALUE"),
        ("large_cyst_sure=0.7", "large_cyst_sure decides nothing any more: with version 12"),
        ("tumor_sure=1.5", "tumor_sure=1.5: input should be less than or equal to 1"),
        ("tumor_sure=much", "valid number"),
    ],
)
def test_the_command_line_refuses_them_too(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["segment", str(tmp_path), "-o", str(tmp_path / "out"), "--threshold", words]
    assert main(call) == 2
    assert message in capsys.readouterr().err


def test_a_result_of_other_thresholds_is_another_result(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.touch()
    source = ScanSource(case_id="scan", path=path, kind="nifti")
    known = stub_model()
    other = known.header.model_copy(update={"thresholds": Thresholds(tumor_ml=5.0)})
    strict = StubModel(other, {}, Path("stub"))
    plain, chosen = (
        SegmentOptions(prediction=PredictionOptions(thresholds=some))
        for some in ({}, {"tumor_ml": 5.0})
    )

    def key(model: StubModel, options: SegmentOptions) -> str:
        return CaseWork(open_segmenter(model, options), options).key(source)

    assert key(known, plain) != key(strict, plain)
    assert key(known, chosen) == key(strict, plain)
