"""Boxes hold what they should, in any memory order, and nothing beside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.boxes import (
    Box,
    around_all,
    bounding_box,
    component_boxes,
    grown,
    grown_mm,
    in_whole,
    relative_to,
    scaled_box,
    touches_border,
    whole,
)
from renalis.prediction.region_of_interest import nearest


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, int, int]) -> Box:
    ends = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        ends.append(slice(start, draw(st.integers(start + 1, n))))
    return ends[0], ends[1], ends[2]


@given(st.data(), st.permutations([0, 1, 2]))
def test_a_bounding_box_is_the_smallest_in_any_memory_order(
    data: st.DataObject, order: list[int]
) -> None:
    mask = np.zeros((6, 7, 8), np.int16)
    box = data.draw(boxes(mask.shape))
    corners = [(part.start, part.stop - 1) for part in box]
    mask[tuple(low for low, _ in corners)] = -3  # what is not 0 counts, below it too
    mask[tuple(high for _, high in corners)] = 5
    turned = bounding_box(mask.transpose(order))
    assert turned == tuple(box[axis] for axis in order)
    assert bounding_box(mask < 0, mask > 0) == box


def test_nothing_has_no_bounding_box() -> None:
    assert bounding_box(np.zeros((3, 4, 5), bool)) is None
    assert bounding_box(np.zeros((0, 4, 5), bool)) is None
    assert bounding_box(np.zeros((3, 4, 5), bool), np.zeros((3, 4, 5), bool)) is None


def test_each_component_has_its_box() -> None:
    mask = np.zeros((9, 9, 9), bool)
    mask[1:3, 2:5, 4:9] = True
    mask[6, 6, 6] = mask[7, 7, 7] = True  # they share a corner
    assert component_boxes(mask) == [
        (slice(1, 3), slice(2, 5), slice(4, 9)),
        (slice(6, 8), slice(6, 8), slice(6, 8)),
    ]


@given(st.data())
def test_a_box_counted_from_another_comes_back(data: st.DataObject) -> None:
    outer, box = data.draw(boxes((9, 8, 7))), data.draw(boxes((9, 8, 7)))
    assert in_whole(relative_to(box, outer), outer) == box
    array = np.arange(9 * 8 * 7).reshape(9, 8, 7)
    around = around_all((outer, box))
    np.testing.assert_array_equal(array[around][relative_to(box, around)], array[box])


def test_a_margin_ends_at_the_border() -> None:
    box = (slice(2, 4), slice(0, 5), slice(3, 6))
    assert grown(box, (9, 5, 7), (1, 2, 3)) == (slice(1, 5), slice(0, 5), slice(0, 7))
    assert grown_mm(box, (9, 5, 7), (5.0, 1.0, 0.9), 1.0) == (slice(1, 5), slice(0, 5), slice(1, 7))
    assert grown(box, (9, 5, 7), 99) == whole((9, 5, 7))


@pytest.mark.parametrize(
    ("box", "touches"),
    [
        ((slice(1, 3), slice(1, 3), slice(1, 3)), False),
        ((slice(1, 3), slice(0, 3), slice(1, 3)), True),
        ((slice(1, 3), slice(1, 3), slice(1, 4)), True),
    ],
)
def test_a_box_touches_the_border_on_either_side(box: Box, touches: bool) -> None:
    assert touches_border(box, (4, 4, 4)) is touches


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_a_scaled_box_holds_everything_of_the_box(data: st.DataObject) -> None:
    coarse = (10, 12, 9)
    box = data.draw(boxes(coarse))
    ratio = tuple(data.draw(st.floats(1, 4)) for _ in range(3))
    i, j, k = (int(np.ceil(n * r)) for n, r in zip(coarse, ratio, strict=True))
    mask = np.zeros(coarse, bool)
    mask[box] = True
    fine = nearest(mask, whole((i, j, k)), tuple(1 / r for r in ratio))
    outside = np.ones((i, j, k), bool)
    outside[scaled_box(box, ratio, (i, j, k))] = False
    assert not (fine & outside).any()
