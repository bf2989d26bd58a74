"""CT numbers that are drawn reach as far as those that were measured on real slices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from renalis.synthesis.annotated_border import OUTLINE_MM
from renalis.synthesis.appearance import draw_appearance
from renalis.synthesis.tissues import Phase, Tissue

MEASURED = Path(__file__).parents[2] / "benchmarks" / "results" / "synthesis-against-real.json"


@pytest.fixture(scope="module")
def real() -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = json.loads(MEASURED.read_text("utf-8"))["real"]
    return table


@pytest.mark.parametrize("tissue", [Tissue.LIVER, Tissue.SPLEEN, Tissue.MUSCLE])
def test_organs_are_drawn_as_dark_and_as_bright_as_real_ones(
    tissue: Tissue, real: dict[str, dict[str, float]]
) -> None:
    phases = (Phase.CORTICOMEDULLARY, Phase.NEPHROGRAPHIC)
    drawn = [
        draw_appearance(np.random.default_rng(seed), phase).mean[tissue]
        for phase in phases
        for seed in range(100)
    ]
    row = real[f"{tissue.name.lower()}_hu"]
    low, high = np.percentile(drawn, [5, 95])
    assert low <= row["p5"] + 8
    assert high >= row["p95"]
    assert low <= row["p50"] <= high


def test_outlines_are_drawn_as_far_outside_as_real_ones(real: dict[str, dict[str, float]]) -> None:
    drawn = [draw_appearance(np.random.default_rng(seed)).outline_mm for seed in range(100)]
    assert min(drawn) >= 0
    assert max(drawn) <= OUTLINE_MM[2]
    row = real["outline_to_edge_mm"]
    low, high = np.percentile(drawn, [5, 95])
    assert low < -row["p50"] < high
