"""The volume: places stay, whatever is permuted, flipped or cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.volume import CANONICAL, Kind, Volume

ALL_48 = [
    "".join(codes)
    for order in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*order)
]


def marked(affine: np.ndarray, shape=(3, 4, 5)) -> Volume:
    """Voxel values that are all different."""
    return Volume(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine)


@st.composite
def affines(draw: st.DrawFn, oblique: float = 0.4) -> np.ndarray:
    """Any handedness and axis order, unequal spacing, turned and sheared a little."""
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    spacing = draw(st.tuples(*[st.floats(0.3, 6)] * 3))
    off = draw(st.lists(st.floats(-oblique, oblique), min_size=9, max_size=9))
    origin = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    linear = np.eye(3)[:, order] * signs
    linear = linear + np.reshape(off, (3, 3)) * (linear == 0) * 0.9
    affine = np.eye(4)
    affine[:3, :3] = linear / np.linalg.norm(linear, axis=0) * spacing
    affine[:3, 3] = origin
    return affine


def places(volume: Volume) -> dict[int, np.ndarray]:
    """World coordinates of each voxel by its value."""
    index = np.moveaxis(np.indices(volume.shape), 0, -1)
    world = volume.world(index).reshape(-1, 3)
    return dict(zip(volume.array.ravel().tolist(), world, strict=True))


def assert_same_places(one: Volume, two: Volume) -> None:
    left, right = places(one), places(two)
    assert left.keys() == right.keys()
    for value, place in left.items():
        assert np.allclose(place, right[value], atol=1e-9 * 6000)


@pytest.mark.parametrize("codes", ALL_48)
def test_reoriented_to_all_48(codes: str) -> None:
    affine = np.array([[0, 0, -0.8, 9], [0, -0.7, 0.1, 5], [-2.5, 0, 0, 3], [0, 0, 0, 1]])
    volume = marked(affine)
    turned = volume.reoriented(codes)
    assert turned.orientation == codes
    assert_same_places(volume, turned)
    back = turned.reoriented(volume.orientation)
    assert np.array_equal(back.array, volume.array)
    assert np.allclose(back.affine, volume.affine)


@given(affine=affines(), codes=st.sampled_from(ALL_48))
@settings(deadline=None)
def test_reoriented_keeps_places(affine: np.ndarray, codes: str) -> None:
    volume = marked(affine)
    turned = volume.reoriented(codes)
    assert turned.orientation == codes
    assert_same_places(volume, turned)
    assert np.shares_memory(turned.array, volume.array)
    assert np.isclose(turned.voxel_ml, volume.voxel_ml)
    assert np.allclose(sorted(turned.spacing), sorted(volume.spacing))


@given(affine=affines(oblique=0.0), codes=st.sampled_from(ALL_48))
@settings(deadline=None)
def test_orientation_as_nibabel_has_it(affine: np.ndarray, codes: str) -> None:
    import nibabel as nib

    turned = marked(affine).reoriented(codes)
    assert turned.orientation == "".join(nib.aff2axcodes(turned.affine))


def test_canonical_is_what_radiologists_see() -> None:
    volume = Volume(np.zeros((4, 5, 6)), np.eye(4)).reoriented()
    assert volume.orientation == CANONICAL
    assert volume.shape == (6, 5, 4)
    up, back, left = volume.affine[:3, :3].T
    assert up.tolist() == [0, 0, 1]
    assert back.tolist() == [0, -1, 0]
    assert left.tolist() == [-1, 0, 0]


@given(affine=affines(), point=st.tuples(*[st.floats(-900, 900)] * 3))
@settings(deadline=None)
def test_index_undoes_world(affine: np.ndarray, point: tuple[float, float, float]) -> None:
    volume = marked(affine)
    assert np.allclose(volume.world(volume.index(np.array(point))), point, atol=1e-6)


@given(
    affine=affines(),
    low=st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4)),
    size=st.tuples(*[st.integers(1, 5)] * 3),
)
@settings(deadline=None)
def test_cropped_keeps_places(affine: np.ndarray, low, size) -> None:
    volume = marked(affine)
    box = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
    part = volume.cropped(box)
    whole = places(volume)
    for value, place in places(part).items():
        assert np.allclose(place, whole[value], atol=1e-6)


@pytest.mark.parametrize("box", [slice(-2, None), slice(None, -1), slice(1, 99), slice(None)])
def test_cropped_with_every_form_of_slice(box: slice) -> None:
    volume = marked(np.diag([1.0, 2, 3, 1]))
    part = volume.cropped((box, box, box))
    whole = places(volume)
    assert all(np.allclose(p, whole[v]) for v, p in places(part).items())


@pytest.mark.parametrize("step", [2, -1])
def test_cropped_refuses_steps(step: int) -> None:
    """A step would change the spacing, which the affine of the part does not."""
    with pytest.raises(ValueError, match="step"):
        marked(np.eye(4)).cropped((slice(None, None, step), slice(None), slice(None)))


def test_spacing_and_volume_of_a_sheared_grid() -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.7, 0, 0], [0, 0.8, 3], [0, 0, 4]])
    volume = marked(affine)
    assert np.allclose(volume.spacing, (0.7, 0.8, 5))
    assert np.isclose(volume.voxel_ml, 0.7 * 0.8 * 4 / 1000)


def test_like_keeps_the_grid() -> None:
    volume = marked(np.diag([1.0, 2, 3, 1]))
    labels = volume.like(np.zeros(volume.shape, np.uint8), Kind.LABELS)
    assert labels.same_grid(volume)
    assert labels.kind is Kind.LABELS
    with pytest.raises(ValueError, match="shape"):
        volume.like(np.zeros((1, 2, 3)), Kind.LABELS)


def test_same_grid_measures_at_the_corners() -> None:
    volume = marked(np.eye(4), (2, 2, 100))
    tilted = volume.affine.copy()
    tilted[0, 2] = 1e-4
    assert not volume.same_grid(Volume(volume.array, tilted))
    assert volume.same_grid(Volume(volume.array, tilted), tolerance_mm=0.01)
    assert not volume.same_grid(volume.cropped((slice(2), slice(2), slice(99))))


def test_the_affine_cannot_be_changed() -> None:
    affine = np.eye(4)
    volume = marked(affine)
    affine[0, 3] = 7
    assert volume.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        volume.affine[0, 3] = 7


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.eye(3), "4 x 4"),
        (np.full((4, 4), np.nan), "finite"),
        (np.diag([1.0, 0, 1, 1]), "singular"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "singular"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1.0]]), "last row"),
    ],
)
def test_invalid_affines(affine: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        marked(affine)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 4, 5, 1)])
def test_three_axes_only(shape) -> None:
    with pytest.raises(ValueError, match="three axes"):
        Volume(np.zeros(shape), np.eye(4))


@pytest.mark.parametrize("codes", ["RA", "RRS", "XYZ", "", "RASL", "ras"])
def test_invalid_orientations(codes: str) -> None:
    with pytest.raises(ValueError, match="not an orientation"):
        marked(np.eye(4)).reoriented(codes)


@pytest.mark.parametrize("codes", ["SPL", "RAS", "LIP"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_empty_label_map_lies_on_the_same_grid_in_the_same_memory_order(codes, order) -> None:
    scan = Volume(np.ones((3, 4, 5), np.int16, order=order), np.diag([1.0, 2, 3, 1]))
    scan = scan.reoriented(codes)
    labels = scan.unlabeled()
    assert labels.same_grid(scan)
    assert labels.kind is Kind.LABELS
    assert labels.array.dtype == np.uint8
    assert not labels.array.any()
    assert (
        np.argsort(np.abs(labels.array.strides)) == np.argsort(np.abs(scan.array.strides))
    ).all()
