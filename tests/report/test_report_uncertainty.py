"""How far structures might reach, sampled from a grid of the network's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.report_case import ALL_ORDERS, made_up
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.boxes import whole
from renalis.measurement import measure
from renalis.prediction import Prediction
from renalis.report import ReportContent
from renalis.report.html import render
from renalis.report.planes import Plane
from renalis.report.scene import Scene, view
from renalis.report.uncertainty import Reach, narrowed
from renalis.volume import Kind, Volume

MIDDLE = np.array([4.0, -6.0, 9.0])


def possible(probability: Volume, grid: Volume) -> np.ndarray:
    """Where a structure is possible on a whole grid."""
    return Reach.of(probability, grid).within(whole(grid.shape))


def cloud(order: str) -> Volume:
    """Probability that falls from 1 at MIDDLE by 1/40 per mm, on a slightly oblique 2 mm grid."""
    angle = np.radians(8)
    matrix = np.eye(4)
    matrix[:3, :3] = 2 * np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    shape = (50, 52, 54)
    matrix[:3, 3] = MIDDLE - matrix[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.stack(np.indices(shape), axis=-1)
    away = np.linalg.norm(Volume(np.zeros(shape), matrix).world(index) - MIDDLE, axis=-1)
    values = np.clip(255 * (1 - away / 40), 0, 255).astype(np.uint8)
    return Volume(values, matrix, Kind.PROBABILITY).reoriented(order)


@given(
    order=st.sampled_from(ALL_ORDERS),
    other=st.sampled_from(ALL_ORDERS),
    shift=st.tuples(*[st.floats(-20.0, 20.0)] * 3),
)
@settings(max_examples=25, deadline=None)
def test_reach_lies_where_the_probability_says(
    order: str, other: str, shift: tuple[float, float, float]
) -> None:
    matrix = np.diag([1.5, 3.0, 2.5, 1.0])
    matrix[:3, 3] = MIDDLE + shift - matrix[:3, :3] @ np.array([20, 10, 12])
    grid = Volume(np.zeros((40, 20, 24), np.uint8), matrix, Kind.LABELS).reoriented(other)
    narrow = narrowed(cloud(order))
    assert narrow is not None
    assert narrow.array.size < cloud(order).array.size
    found = possible(narrow, grid)
    index = np.stack(np.indices(grid.shape), axis=-1)
    away = np.linalg.norm(grid.world(index) - MIDDLE, axis=-1)
    # A quarter of the probability is reached 30 mm away; the grid of 2 mm blurs this a little.
    assert found[away < 28.5].all()
    assert not found[away > 31.5].any()


@settings(max_examples=25, deadline=None)
@given(start=st.tuples(*[st.integers(-300, 300)] * 3), step=st.tuples(*[st.integers(50, 1000)] * 3))
def test_outside_of_the_probability_nothing_is_possible(
    start: tuple[int, ...], step: tuple[int, ...]
) -> None:
    certain = Volume(np.full((5, 6, 7), 255, np.uint8), np.eye(4), Kind.PROBABILITY)
    matrix = np.diag([*(n / 100 for n in step), 1.0])
    matrix[:3, 3] = [n / 100 for n in start]
    grid = Volume(np.zeros((8, 9, 10), np.uint8), matrix, Kind.LABELS)
    index = certain.index(grid.world(np.stack(np.indices(grid.shape), axis=-1)))
    inside = ((index > -1e-6) & (index < np.array(certain.shape) - 1 + 1e-6)).all(-1)
    np.testing.assert_array_equal(possible(certain, grid), inside)


@pytest.mark.parametrize("step", [3.1, 4.0, 5.0, 6.0, 7.5, 10.0])
def test_thick_slices_have_a_reach(step: float) -> None:
    """A box of a scan with thick slices, of which many rows lie outside of the probability."""
    rng = np.random.default_rng(3)
    certain = Volume(
        np.full((90, 60, 60), 255, np.uint8), np.diag([1.5, 1.5, 1.5, 1]), Kind.PROBABILITY
    )
    for _ in range(20):
        matrix = np.diag([step, 0.8, 0.8, 1.0])
        matrix[:3, 3] = rng.uniform(-60, 60, 3)
        grid = Volume(np.zeros(rng.integers(1, 160, 3), np.uint8), matrix, Kind.LABELS)
        inside = np.array(True)
        for places, size, start, count in zip(
            np.ogrid[*map(slice, grid.shape)], np.diag(matrix), matrix[:3, 3], certain.shape,
            strict=False,
        ):  # fmt: skip
            index = (size * places + start) / 1.5
            inside = inside & (index > -1e-6) & (index < count - 1 + 1e-6)
        np.testing.assert_array_equal(possible(certain, grid), inside)


def test_a_slice_beside_the_probability_has_nothing_possible() -> None:
    certain = Volume(np.full((5, 6, 7), 255, np.uint8), np.eye(4), Kind.PROBABILITY)
    matrix = np.eye(4)
    matrix[0, 3] = -0.5
    assert not possible(certain, Volume(np.zeros((1, 6, 7), np.uint8), matrix, Kind.LABELS)).any()


def test_nothing_possible_is_nothing() -> None:
    empty = cloud("RAS")
    assert narrowed(empty.like(empty.array // 8, Kind.PROBABILITY)) is None
    far = np.eye(4)
    far[:3, 3] = 500
    grid = Volume(np.zeros((5, 5, 5), np.uint8), far, Kind.LABELS)
    assert not possible(empty, grid).any()


def test_reach_is_drawn_around_the_outline_and_hidden_at_first() -> None:
    image, labels = made_up("LPS")
    from scipy import ndimage

    share = ndimage.gaussian_filter((labels.array > 0).astype(np.float32), 2.0)
    kidney = Volume((255 * share).astype(np.uint8), labels.affine, Kind.PROBABILITY)
    bare = Scene.of(image, labels)
    scene = replace(bare, reach=(Reach.of(kidney, bare.image),))
    assert scene.box is not None
    shown = view(scene, Plane.AXIAL, 28, box=scene.box, size=(300, 400), title="")
    extents = {
        name: np.ptp(
            np.concatenate([x.points for x in shown.outlines if x.style.name == name]), axis=0
        )
        for name in ("kidney", "possible")
    }
    assert (extents["possible"] > extents["kidney"]).all()
    prediction = Prediction(labels, kidney, None)
    measured = measure(image, labels, prediction)
    text = render(ReportContent("case", image, labels, measured, probabilities=prediction))
    assert "possible reach (probability above 0.25)" in text
    assert '<path class="line possible"' in text
    assert "html:not(.show-possible) .shot path.possible { display: none; }" in text
