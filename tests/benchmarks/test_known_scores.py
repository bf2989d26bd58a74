"""The other definitions of HD95, by hand, and how far a tilt moves ours."""

from __future__ import annotations

import known_scores
import numpy as np
import pytest

from renalis.evaluation.voxel_geometry import VoxelGeometry


def test_percentiles_together_and_of_each_direction() -> None:
    one, two = np.zeros((2, 40, 3, 3), bool)
    one[2:32, 1, 1] = True  # 30 voxels in a line, all of them border
    two[2:32, 1, 1] = True
    two[35:37, 1, 1] = True  # two more, 4 and 5 voxels off: 2 of 32, 2 of 62
    spacing = np.array([2.0, 1.0, 1.0])
    directed = [np.zeros(30), np.array([0.0] * 30 + [8, 10])]
    assert known_scores.monai(one, two, spacing) == pytest.approx(np.percentile(directed[1], 95))
    assert known_scores.monai(one, two, spacing) > 3
    assert known_scores.medpy(one, two, spacing) == 0
    assert np.percentile(np.hstack(directed), 95) == 0


def test_a_far_island_is_far_or_nothing_by_definition() -> None:
    found = {name: masks for name, _, *masks in known_scores.phantoms()}
    space, one, two = found["a false island of 14 mm far from a ball of 48 mm"]
    # From the island's far side, 175 - 24 - 7 = 144 mm between both surfaces, 158 at most.
    assert 144 < known_scores.ours(one, two, VoxelGeometry.of(space)) < 158
    assert known_scores.medpy(one, two, np.ones(3)) == 0


def test_a_moved_ball_has_the_distance_of_the_formula() -> None:
    points = np.random.default_rng(0).normal(size=(200_000, 3))
    points *= 16 / np.linalg.norm(points, axis=1, keepdims=True)
    away = np.abs(np.linalg.norm(points - [12, 0, 0], axis=1) - 16)
    assert known_scores.moved_ball(16, 12) == pytest.approx(np.percentile(away, 95), abs=0.02)
