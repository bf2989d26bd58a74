"""What a full-size step is made of, what it needs, and what fits into memory."""

from __future__ import annotations

import pytest
import torch
from full_size import FOLDER, STEPS, VALIDATION, expected, forward_tflop, that_fits
from full_size_job import estimate, input_shapes, units
from torch.utils.flop_counter import FlopCounterMode

from renalis.networks import build
from renalis.recipes import published


def test_a_recipe_of_stages_has_a_training_for_each() -> None:
    assert [unit.name for unit in units("cascade3d")] == ["low", "whole"]
    assert len(units("resnet34-2d")) == 1  # both stages cost the same


def test_inputs_are_the_published_patch_and_batch() -> None:
    (unit,) = units("unet3d-residual")
    # two patches and two augmented copies of each
    assert input_shapes(unit.stage, unit.stage.optimisation.batch) == {
        "image": (6, 1, 80, 160, 160)
    }


def test_needs_grow_with_the_samples_and_parameters_are_the_published_count() -> None:
    (unit,) = units("quicknat-2d")
    one, four = estimate(unit, 1), estimate(unit, 4)
    assert one["parameters"] == 3_553_529
    assert four["kept_bytes"] == pytest.approx(4 * one["kept_bytes"], rel=0.01)
    assert four["tflop"] == pytest.approx(one["tflop"], rel=0.01)  # of a whole step


def test_the_largest_number_of_samples_that_fits_is_taken() -> None:
    unit = {"at_once": 4, "needs": {str(n): {"bytes": n * 1e9} for n in (1, 2, 4, 8)}}
    assert that_fits(unit, 3e9) == 2
    assert that_fits(unit, 100e9) == 4  # the recipe's own
    assert that_fits(unit, 1e8) is None


def test_expected_hours_count_validation() -> None:
    """Of R4 more than half as much again as the steps."""
    cells = expected(FOLDER / "cascade3d.json").split(" | ")
    training, validation, together = (float(cell) for cell in cells[5:8])
    assert together == pytest.approx(training + validation, abs=0.11)
    assert validation > training / 2
    assert set(VALIDATION) == set(STEPS) == set(published())


def test_a_forward_pass_is_a_third_of_a_samples_share_of_a_step() -> None:
    (unit,) = units("quicknat-2d")
    need = estimate(unit, 4)
    known = {"at_once": 4, "batch": 16, "copies": 0, "needs": {"4": need}}
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        build(unit.stage.network.config())(torch.empty(1, 1, 256, 256))
    assert forward_tflop(known) == pytest.approx(counter.get_total_flops() / 1e12, rel=0.02)
