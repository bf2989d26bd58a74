"""What a full-size step is made of, what it needs, and what fits into memory."""

from __future__ import annotations

import pytest
from full_size import that_fits
from full_size_job import estimate, input_shapes, units


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
