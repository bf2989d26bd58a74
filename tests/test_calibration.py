"""Confidences come from a file next to the weights that they were measured with, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from renalis.calibration import Calibration, Fit, Fits, calibration_of, logit
from renalis.errors import InputError
from renalis.model import DEFAULT_MODEL, find_model, read_header
from renalis.postprocessing import DEFAULT
from renalis.prediction import PredictionOptions
from renalis.prediction.options import Mirror
from renalis.systems.segmenter_kinds import open_segmenter
from renalis.systems.segmenter_options import SegmenterOptions

FITS = Fits(
    case=Fit(intercept=0.0, weights={"margin_logit": 1.0}),
    lesion=Fit(intercept=1.0, weights={"log_ml": 0.5}, low=0.2, high=0.9),
    kind=Fit(intercept=0.0, weights={}),
    basis="three scans",
)
SHA = "ab" * 32


def written(folder: Path, sha: str = SHA) -> Path:
    text = Calibration(weights_sha256=sha, fits={"four": FITS}).model_dump_json()
    (folder / "model.confidence.json").write_text(text)
    return folder / "model.safetensors"


def test_a_curve_gives_the_share_back_from_its_logit() -> None:
    assert FITS.case.value({"margin_logit": logit(0.93)}) == pytest.approx(0.93)
    assert FITS.kind.value({}) == 0.5


def test_nothing_is_claimed_beyond_what_was_seen() -> None:
    assert FITS.lesion.value({"log_ml": 1e6}) == 0.9
    assert FITS.lesion.value({"log_ml": -1e6}) == 0.2


@pytest.mark.parametrize("features", [{}, {"log_ml": float("nan")}, {"tumor": 1.0}])
def test_a_feature_that_is_not_known_gives_no_value(features: dict[str, float]) -> None:
    assert FITS.lesion.value(features) is None


def test_the_file_next_to_the_weights_is_for_these_weights_alone(tmp_path: Path) -> None:
    model = written(tmp_path)
    found = calibration_of(model, SHA)
    assert found is not None
    assert found.fits["four"] == FITS
    assert calibration_of(model, "cd" * 32) is None
    assert calibration_of(tmp_path / "other.safetensors", SHA) is None


@pytest.mark.parametrize("damage", ["", "{", "large", "infinite", "other"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage: str) -> None:
    model = written(tmp_path)
    path = tmp_path / "model.confidence.json"
    content = json.loads(path.read_text())
    if damage == "infinite":
        content["fits"]["four"]["case"]["intercept"] = float("inf")
    if damage == "other":
        content["fits"]["five"] = content["fits"]["four"]
    texts = {"": "", "{": "{", "large": path.read_text() + " " * 200_000}
    path.write_text(texts.get(damage, json.dumps(content)))
    with pytest.raises(InputError, match=r"model\.confidence\.json .* is damaged"):
        calibration_of(model, SHA)


def test_the_shipped_weights_have_confidences_of_their_own() -> None:
    path = find_model(DEFAULT_MODEL)
    found = calibration_of(path, read_header(path).sha256)
    assert found is not None
    fits = found.fits["four"]
    for fit, low, high in ((fits.case, 0.6, 0.95), (fits.lesion, 0.4, 0.9), (fits.kind, 0.4, 0.9)):
        unsure = fit.value({"probability_logit": logit(0.6)})
        sure = fit.value({"probability_logit": logit(0.97)})
        assert unsure is not None
        assert sure is not None
        assert unsure < low + 0.2
        assert sure >= high


@pytest.mark.parametrize(
    ("options", "known"),
    [
        (SegmenterOptions(), True),
        (SegmenterOptions(prediction=PredictionOptions(threads=1, max_ram_mb=4000.0)), True),
        (SegmenterOptions(prediction=PredictionOptions(mirror=Mirror.NONE)), True),
        (SegmenterOptions(prediction=PredictionOptions(mirror=Mirror.LEFT_RIGHT)), True),
        (SegmenterOptions(prediction=PredictionOptions(mirror=Mirror.ALL)), True),
        (SegmenterOptions(prediction=PredictionOptions(thresholds={"find_ml": 3.0})), False),
        (SegmenterOptions(rules=DEFAULT.without("holes")), False),
    ],
    ids=["usual", "threads", "one-look", "two-looks", "eight-looks", "thresholds", "rules"],
)
def test_nothing_is_claimed_of_labels_decided_in_another_way(
    options: SegmenterOptions, known: bool
) -> None:
    segmenter = open_segmenter(options=options)
    assert (segmenter.fits is not None) is known
