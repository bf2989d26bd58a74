"""Values on a kidney's frame, and distances between borders, against the plain way to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from renalis.measurement.distances import least_distance_mm
from renalis.measurement.frame import frame_for, sampled
from renalis.volume import Kind, Volume

ORDERS = ("SPL", "RAS", "LIP", "ASR")


def placed(seed: int, order: str, angle: float, kind: Kind) -> tuple[Volume, Volume]:
    """Noise on a grid, and a frame that covers part of it and more."""
    rng = np.random.default_rng(seed)
    affine = np.diag([*rng.uniform(0.6, 5.0, 3), 1.0])
    turn = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    affine[:3, :3] = np.array(turn) @ affine[:3, :3]
    affine[:3, 3] = rng.uniform(-30, 30, 3)
    noise = rng.integers(0, 256, rng.integers(1, 24, 3)).astype(np.uint8)
    near = np.diag([*rng.uniform(0.6, 3.0, 3), 1.0])
    near[:3, 3] = affine[:3, 3] + rng.uniform(-20, 20, 3)
    frame = frame_for(Volume(np.zeros(rng.integers(1, 16, 3)), near))
    return Volume(noise, affine, kind).reoriented(order), frame


@pytest.mark.parametrize("kind", [Kind.LABELS, Kind.PROBABILITY])
@given(seed=st.integers(0, 10**6), order=st.sampled_from(ORDERS), angle=st.sampled_from([0.0, 0.2]))
@settings(max_examples=25, deadline=None)
def test_values_on_a_frame_are_interpolated_whatever_the_axes(
    kind: Kind, seed: int, order: str, angle: float
) -> None:
    volume, frame = placed(seed, order, angle, kind)
    places = volume.index(frame.world(np.moveaxis(np.indices(frame.shape), 0, -1)))
    linear = kind is Kind.PROBABILITY
    values = ndimage.map_coordinates(
        volume.array.astype(float),
        np.moveaxis(places, -1, 0),
        order=int(linear),
        mode="nearest",
    )
    inside = ((places >= -0.5) & (places < np.array(volume.shape) - 0.5)).all(axis=-1)
    # Between two voxels, and between two whole numbers, rounding may go either way.
    unsure = (np.abs(places - np.floor(places) - 0.5) < 1e-9).any(axis=-1)
    unsure |= np.abs(values - np.floor(values) - 0.5) < 1e-9
    expected = np.where(inside, np.floor(values + 0.5), 0)
    np.testing.assert_array_equal(sampled(volume, frame)[~unsure], expected[~unsure])


@given(
    seed=st.integers(0, 10**6), counts=st.tuples(*[st.integers(1, 40)] * 2),
    apart=st.floats(0, 60),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_the_least_distance_is_that_of_the_nearest_pair(
    seed: int, counts: tuple[int, int], apart: float
) -> None:
    rng = np.random.default_rng(seed)
    one, other = (rng.normal(0, 15, (count, 3)) for count in counts)
    other += [apart, 0, 0]
    assert least_distance_mm(one, other) == pytest.approx(float(cdist(one, other).min()))
