"""Options reach other processes as they were chosen."""

from __future__ import annotations

import json
from pathlib import Path

from renalis.cohort.options_json import options_from_json, options_to_json
from renalis.cohort.shares import worker_options
from renalis.pipeline import SegmentOptions
from renalis.postprocessing.rules import Rules
from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName


def test_all_options_survive() -> None:
    chosen = SegmentOptions(
        model="some.safetensors",
        prediction=PredictionOptions(
            runtime=RuntimeName.TORCH, mirror=Mirror.NONE, thresholds={"tumor_sure": 0.5},
            max_ram_mb=3000.0,
        ),
        rules=Rules().without("holes"),
        without_rules=("vote",),
        members=(Path("a"), Path("b")),
        weights=(1.0, 0.5, 0.5),
        folds=(0, 2),
        device="cpu",
        threads=3,
        series="5",
        write=("nifti", "sr"),
        anonymous=True,
    )  # fmt: skip
    for options in (chosen, SegmentOptions()):
        assert options_from_json(json.loads(json.dumps(options_to_json(options)))) == options


def test_workers_share_cores_and_memory() -> None:
    options = SegmentOptions(prediction=PredictionOptions(max_ram_mb=8200.0), threads=2)
    own = worker_options(options, 4)
    assert own.threads == 2
    assert own.prediction is not None
    assert own.prediction.max_ram_mb == 2000.0
    assert worker_options(SegmentOptions(), 1) == SegmentOptions()
    assert (worker_options(SegmentOptions(), 1000).threads or 0) == 1
