"""Every picture is laid out as radiologists expect, whatever the file's axis order."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.report_case import ALL_ORDERS, affine, made_up
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.report.planes import Plane, cut, direction_letters, slice_number
from renalis.volume import CANONICAL, Kind, Volume

EDGES = {
    Plane.AXIAL: ("R", "L", "A", "P"),
    Plane.CORONAL: ("R", "L", "H", "F"),
    Plane.SAGITTAL: ("A", "P", "H", "F"),
}


def numbered() -> Volume:
    """A volume whose voxels are all different."""
    array = np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7)
    return Volume(array, affine(), Kind.IMAGE)


@pytest.mark.parametrize("plane", list(Plane))
@pytest.mark.parametrize("order", ALL_ORDERS)
def test_every_axis_order_gives_the_same_picture(order: str, plane: Plane) -> None:
    stored = numbered().reoriented(order)
    expected = cut(numbered(), plane, 2)
    shown = cut(stored.reoriented(), plane, 2)
    np.testing.assert_array_equal(shown.array, expected.array)
    assert (shown.edges, shown.position) == (expected.edges, expected.position)


@pytest.mark.parametrize("plane", list(Plane))
def test_picture_corners_lie_where_the_letters_say(plane: Plane) -> None:
    volume = numbered()
    shown = cut(volume, plane, 1)
    edges = shown.edges
    assert (edges.left, edges.right, edges.top, edges.bottom) == EDGES[plane]
    place = {
        int(value): volume.world(index)
        for index, value in zip(np.ndindex(volume.shape), volume.array.ravel(), strict=True)
    }
    # RAS+: +x right, +y front, +z head; independent of how the cut was made.
    toward = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "H": (2, 1), "F": (2, -1)}
    for letter, here, there in (
        (edges.left, shown.array[0, 0], shown.array[0, -1]),
        (edges.top, shown.array[0, 0], shown.array[-1, 0]),
    ):
        axis, sign = toward[letter]
        assert sign * (place[int(here)] - place[int(there)])[axis] > 0


@given(
    order=st.sampled_from(ALL_ORDERS),
    plane=st.sampled_from(list(Plane)),
    index=st.integers(0, 4),
    start=st.integers(0, 1),
)
@settings(max_examples=80, deadline=None)
def test_slice_numbers_are_those_of_the_file(
    order: str, plane: Plane, index: int, start: int
) -> None:
    stored = numbered().reoriented(order)
    box = (slice(start, 5), slice(start, 6), slice(start, 7))
    upright = stored.reoriented().cropped(box)
    index = min(index, upright.shape[plane.axis] - 1)
    number, count = slice_number(stored, upright, plane, index)
    axis = next(a for a in range(3) if order[a] in ("SI", "AP", "LR")[plane.axis])
    assert count == stored.shape[axis]
    in_file = np.take(stored.array, number - 1, axis=axis)
    shown = np.take(upright.array, index, axis=plane.axis)
    assert set(shown.ravel().tolist()) <= set(in_file.ravel().tolist())


def test_position_is_the_patient_coordinate_with_its_letter() -> None:
    image, _ = made_up()
    z = image.world(np.array([10, 0, 0]))[2]
    assert z < 0
    assert cut(image, Plane.AXIAL, 10).position == f"I {-z:.1f} mm"
    x = image.world(np.array([0, 0, 3]))[0]
    assert x > 0
    assert cut(image, Plane.SAGITTAL, 3).position == f"R {x:.1f} mm"


def test_tilted_scan_names_both_directions() -> None:
    angle = np.radians(30)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    tilted = Volume(numbered().array, turn @ affine(), Kind.IMAGE)
    edges = cut(tilted, Plane.AXIAL, 0).edges
    assert [len(letters) for letters in (edges.left, edges.top)] == [2, 2]
    assert edges.left[0] == "R"
    assert edges.top[0] == "A"
    assert direction_letters(np.array([0.9, 0.1, 0.0])) == "R"


def test_a_direction_between_three_sides_is_named_by_the_two_strongest() -> None:
    assert direction_letters(np.array([0.8, 0.45, 0.4])) == "RA"


def test_other_orientation_is_refused() -> None:
    with pytest.raises(ValueError, match=CANONICAL):
        cut(numbered().reoriented("RAS"), Plane.AXIAL, 0)
