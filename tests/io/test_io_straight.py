"""The straight copy of a tilted scan's labels: every program opens it, and nothing has moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.io.label_placement import labels_on
from renalis.io.straight import sheared, straight
from renalis.io.write import write_volume
from renalis.volume import Kind, Volume


def tilted(
    degrees: float, order: tuple[int, ...] = (0, 1, 2), flips: tuple[int, ...] = (1, 1, 1)
) -> Volume:
    """Two balls of labels on a grid whose slices are tilted, with its axes in any order."""
    spacing = np.array([0.8, 0.8, 3.0])
    affine = np.diag([*spacing, 1.0])
    angle = np.radians(degrees)
    # Image planes tilted about the patient's x axis; the table moves along z.
    affine[:3, 1] = spacing[1] * np.array([0, np.cos(angle), np.sin(angle)])
    affine[:3, 3] = -30, 20, -400
    shape = (48, 40, 14)
    grid = Volume(np.zeros(shape, np.uint8), affine, Kind.LABELS)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    places = grid.world(index)
    for value, center in ((1, (14, 20, 6)), (2, (34, 18, 8))):
        far = np.linalg.norm(places - grid.world(np.array(center)), axis=-1)
        grid.array[far < 8] = value
    array = grid.array.transpose(order)
    affine = affine[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip < 0:
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
    return Volume(array[tuple(slice(None, None, f) for f in flips)], affine, Kind.LABELS)


def center(labels: Volume, value: int) -> np.ndarray:
    return labels.world(np.argwhere(labels.array == value)).mean(axis=0)


@given(
    degrees=st.floats(-30, 30).filter(lambda d: abs(d) > 0.1),
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.sampled_from([1, -1])] * 3),
)
@settings(max_examples=60, deadline=None)
def test_labels_keep_place_and_volume(
    degrees: float, order: list[int], flips: tuple[int, ...]
) -> None:
    labels = tilted(degrees, tuple(order), flips)
    assert sheared(labels)
    copy = straight(labels)
    assert not sheared(copy)
    assert copy.orientation == labels.orientation
    assert copy.voxel_ml == pytest.approx(labels.voxel_ml, rel=1e-9)
    for value in (1, 2):
        # Slices stay where they are and voxels move within them: not one is lost or doubled.
        assert (copy.array == value).sum() == (labels.array == value).sum()
        assert np.abs(center(copy, value) - center(labels, value)).max() < 0.3
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in labels.shape])).reshape(3, -1).T
    inside = copy.index(labels.world(corners))
    assert (inside > -0.51).all()
    assert (inside < np.array(copy.shape) - 0.49).all()


@pytest.mark.parametrize("degrees", [0.05, 5.0, -18.0])
def test_itk_opens_it_and_finds_the_labels_where_they_are(degrees: float, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    labels = tilted(degrees, (2, 0, 1), (1, -1, 1))
    with pytest.raises(RuntimeError, match="orthonormal"):
        sitk.ReadImage(str(write_volume(tmp_path / "tilted.nii.gz", labels)))
    image = sitk.ReadImage(str(write_volume(tmp_path / "straight.nii.gz", straight(labels))))
    array = sitk.GetArrayFromImage(image)
    for value in (1, 2):
        found = [
            image.TransformIndexToPhysicalPoint([int(n) for n in index[::-1]])
            for index in np.argwhere(array == value)
        ]
        lps = np.mean(found, axis=0)
        assert np.abs(lps * [-1, -1, 1] - center(labels, value)).max() < 0.3


def test_a_straight_grid_is_left_alone() -> None:
    assert not sheared(tilted(0))
    turned = tilted(0).affine.copy()
    turned[:3, :3] = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] * [0.8, 0.8, 3]
    assert not sheared(Volume(np.zeros((2, 2, 2), np.uint8), turned, Kind.LABELS))


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_each_voxel_takes_the_label_of_the_nearest(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    source = Volume(
        rng.integers(0, 4, (5, 6, 7)).astype(np.uint8) * (rng.random((5, 6, 7)) < 0.2),
        np.vstack([np.c_[rng.normal(size=(3, 3)), rng.normal(0, 3, 3)], [0, 0, 0, 1]]),
        Kind.LABELS,
    )
    affine = np.vstack([np.c_[rng.normal(size=(3, 3)), rng.normal(0, 3, 3)], [0, 0, 0, 1]])
    try:
        placed = labels_on(source, (20, 18, 4), affine)
    except ValueError:  # the affine drawn is singular
        return
    index = np.stack(np.meshgrid(*map(np.arange, placed.shape), indexing="ij"), axis=-1)
    nearest = np.floor(np.round(source.index(placed.world(index)), 6) + 0.5).astype(int)
    inside = ((nearest >= 0) & (nearest < source.shape)).all(axis=-1)
    expected = np.zeros(placed.shape, np.uint8)
    expected[inside] = source.array[tuple(nearest[inside].T)]
    assert np.mean(placed.array != expected) < 1e-3  # halves may be rounded either way
