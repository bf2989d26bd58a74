"""Transforms against closed forms and SciPy, on several grids at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import BSpline

from renalis.augmentation import (
    BrightnessContrast,
    Compose,
    Flip,
    HuShift,
    MaskInput,
    Noise,
    Normalize,
    Presence,
    Sometimes,
    Spatial,
    Transform,
    Warp,
    brightness_contrast,
    expand,
    flip,
    rotation,
    warp_array,
)
from renalis.sampling import Sample


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _places(shape: tuple[int, ...], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """mm from the center, (D, *shape)."""
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _sample(seed: int = 0, margin: int = 0) -> Sample:
    """A fine and a coarse patch of the same smooth field, with labels around the same center."""
    fine, coarse = 24 + 8 * margin, 24 + 2 * margin
    out = 12 + 8 * margin
    field = {
        "image": _field(_places((fine,) * 3, (1.0,) * 3), seed),
        "low_image": _field(_places((coarse,) * 3, (4.0,) * 3), seed),
    }
    at = float(_field(np.zeros((3, 1, 1, 1)), seed)[0, 0, 0])
    label = (_field(_places((out,) * 3, (1.0,) * 3), seed) > at).astype(np.uint8) * 2
    spacing = {"image": (1.0,) * 3, "low_image": (4.0,) * 3, "seg": (1.0,) * 3}
    return Sample(
        {name: array[None].astype(np.float32) for name, array in field.items()},
        {"seg": label, "cls": np.ones(1, np.float32)},
        {"at": at},
        spacing,
        {"image": -500.0, "low_image": -500.0},
    )


def _field(places: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """HU at places in mm: slow waves, so that linear interpolation is nearly exact."""
    rng = _rng(seed)
    waves = rng.normal(0, 1 / 40, (4, 3))
    phases = rng.uniform(0, 6, 4)
    return sum(
        60 * np.sin(np.tensordot(wave, places, 1) + phase)
        for wave, phase in zip(waves, phases, strict=True)
    )


SPATIAL = Spatial(angle_deg=8, scale=(0.9, 1.1), crop=(0.9, 1.0), elastic_mm=(1.0, 2.0), control=6)


@pytest.mark.parametrize("seed", range(4))
def test_one_draw_moves_both_grids_to_the_same_places(seed: int) -> None:
    """The transformed patches are the field at the transformed places, on either grid."""
    sample = _sample(seed)
    spatial = replace(SPATIAL, elastic_mm=None)
    warp = spatial.draw((96.0,) * 3, _rng(seed))
    moved = spatial.apply(sample, warp)
    for name, mm in (("image", 1.0), ("low_image", 4.0)):
        shape = sample.inputs[name].shape[1:]
        places = _places(shape, (mm,) * 3)
        source = np.tensordot(warp.matrix, places, 1) + warp.shift_mm.reshape(3, 1, 1, 1)
        reach = (np.array(shape) - 1) / 2 * mm
        inside = (np.abs(source) <= reach.reshape(3, 1, 1, 1)).all(axis=0)
        # The crop is anywhere in 96 mm: it may lie outside the small patch altogether.
        if name == "low_image":
            assert inside.mean() > 0.5
        difference = np.abs(moved.inputs[name][0] - _field(source, seed))[inside]
        assert difference.max(initial=0) < 3


def test_elastic_displacement_is_the_spline() -> None:
    """Against SciPy's B-splines, on two grids, beyond the control points as well."""
    control = _rng(1).normal(0, 3, (3, 7, 6, 5))
    extent = np.array([40.0, 36.0, 30.0])
    warp = Warp(np.eye(3), np.zeros(3), control, extent)
    for shape, mm in (((20, 18, 16), 1.0), ((12, 12, 12), 4.0)):
        axes = [(np.arange(n) - (n - 1) / 2) * mm for n in shape]
        weights = []
        for place, points, side in zip(axes, control.shape[1:], extent, strict=True):
            position = np.clip(place / side + 0.5, 0, 1) * (points - 3) + 1
            basis = [
                BSpline.basis_element(np.arange(k - 2, k + 3.0), extrapolate=False)(position)
                for k in range(points)
            ]
            weights.append(np.nan_to_num(np.stack(basis, axis=1)))
        moved = np.einsum("dabc,za,yb,xc->dzyx", control, *weights)
        places = _places(shape, (mm,) * 3)
        for axis in range(3):
            # An array that holds its own places shows where each voxel came from.
            result = warp_array(places[axis], (mm,) * 3, warp)
            border = np.abs(places).max(axis=(1, 2, 3)).reshape(3, 1, 1, 1)
            inside = (np.abs(places + moved) <= border).all(axis=0)
            np.testing.assert_allclose(result[inside], (places + moved)[axis][inside], atol=2e-3)
            assert inside.mean() > 0.3


@pytest.mark.parametrize("order", [0, 1])
def test_warp_equals_scipy(order: int) -> None:
    rng = _rng(2)
    array = rng.normal(0, 100, (11, 14, 9)).astype(np.float32)
    spacing = (3.0, 0.8, 1.1)
    matrix = rotation(np.deg2rad([5, -8, 12]).tolist()) * 0.9
    shift = np.array([1.0, -2.0, 0.7])
    ours = warp_array(array, spacing, Warp(matrix, shift), (9, 13, 11), order=order)
    source = np.tensordot(matrix, _places((9, 13, 11), spacing), 1) + shift.reshape(3, 1, 1, 1)
    index = source / np.reshape(spacing, (3, 1, 1, 1))
    index += (np.reshape(array.shape, (3, 1, 1, 1)) - 1) / 2
    expected = ndimage.map_coordinates(array, index, order=order, mode="grid-constant")
    clear = np.ones(expected.shape, bool)
    if order == 0:
        clear = (np.abs(index - np.rint(index)) < 0.499).all(axis=0)
    np.testing.assert_allclose(ours[clear], expected[clear], atol=0.05)


def test_in_plane_moves_all_slices_alike() -> None:
    array = np.repeat(_rng(3).normal(size=(1, 1, 20, 22)), 5, axis=1).astype(np.float32)
    sample = Sample({"image": array}, {}, {}, {"image": (3.0, 1.0, 1.0)}, {"image": -2.0})
    moved = Spatial(dims=2, angle_deg=30, scale=(0.8, 0.9))(sample, _rng(4)).inputs["image"]
    assert np.abs(moved - array).max() > 0.5
    for z in range(1, 5):
        np.testing.assert_array_equal(moved[0, z], moved[0, 0])
    assert moved[0, 0, 0, 0] == -2  # the corner shows what lies beyond


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_labels_stay_labels_and_nothing_changes_twice(seed: int) -> None:
    sample = _sample(seed % 7)
    before = {name: array.copy() for name, array in {**sample.inputs, **sample.targets}.items()}
    first, again = SPATIAL(sample, _rng(seed)), SPATIAL(sample, _rng(seed))
    assert first.targets["seg"].dtype == np.uint8
    assert set(np.unique(first.targets["seg"])) <= {0, 2}
    for name, array in {**first.inputs, **first.targets}.items():
        assert array.shape == before[name].shape
        np.testing.assert_array_equal(array, {**again.inputs, **again.targets}[name])
        np.testing.assert_array_equal({**sample.inputs, **sample.targets}[name], before[name])
    assert first.targets["cls"] is sample.targets["cls"]


def test_image_and_label_move_together() -> None:
    sample = _sample(1, margin=2)
    inner = sample.inputs["image"][0][(slice(6, -6),) * 3]
    at = sample.meta["at"]
    np.testing.assert_array_equal(inner > at, sample.targets["seg"] == 2)
    spatial = replace(
        SPATIAL, crop=None, shape={"image": (24,) * 3, "seg": (12,) * 3, "low_image": (24,) * 3}
    )
    moved = spatial(sample, _rng(8))
    assert moved.inputs["image"].shape == (1, 24, 24, 24)
    image, seg = moved.inputs["image"][0][(slice(6, -6),) * 3], moved.targets["seg"] == 2
    # Nearest labels are up to half a voxel off: HU then differ by the field's slope at most.
    assert (image > -490).all()
    assert image[seg].min() > at - 8
    assert image[~seg].max() < at + 8
    assert 0.1 < seg.mean() < 0.9


def test_no_displacement_only_cuts_the_margin_off() -> None:
    sample = _sample(2, margin=1)
    shape = {"image": (24,) * 3, "low_image": (24,) * 3, "seg": (12,) * 3}
    plain = Spatial(shape=shape)(sample, _rng())
    np.testing.assert_array_equal(plain.inputs["image"], _sample(2).inputs["image"])
    np.testing.assert_array_equal(plain.inputs["low_image"], _sample(2).inputs["low_image"])
    np.testing.assert_array_equal(plain.targets["seg"], _sample(2).targets["seg"])
    with pytest.raises(ValueError, match="no middle"):
        Spatial(shape={"image": (25,) * 3})(sample, _rng())


def test_crop_enlarges_a_box_of_the_slice() -> None:
    ramp = _places((40, 40), (1.0, 1.0))
    for seed in range(5):
        warp = Spatial(dims=2, crop=(0.8, 0.8)).draw((40.0, 40.0), _rng(seed))
        for axis in range(2):
            seen = warp_array(ramp[axis].astype(np.float32), (1.0, 1.0), warp, fill=999.0)
            assert seen.max() < 20
            assert seen.max() - seen.min() == pytest.approx(39 * 0.8, abs=0.5)


def test_rotation_is_a_rotation() -> None:
    for angles in ([0.3], [0.2, -0.4, 0.7]):
        matrix = rotation(angles)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_ranges_are_reached_and_kept() -> None:
    spatial = Spatial(angle_deg=5, scale=(0.95, 1.05))
    warps = [spatial.draw((100.0,) * 3, _rng(seed)) for seed in range(200)]
    scales = [np.linalg.det(warp.matrix) ** (-1 / 3) for warp in warps]
    assert 0.95 <= min(scales) < 0.96
    assert 1.04 < max(scales) <= 1.05
    rare = Spatial(angle_deg=5, p_rotate=0.2)
    still = [np.array_equal(rare.draw((1.0,) * 3, _rng(s)).matrix, np.eye(3)) for s in range(300)]
    assert 0.7 < np.mean(still) < 0.9


def test_flip_mirrors_everything_about_the_same_center() -> None:
    sample = _sample(3)
    mirrored = flip(sample, (-1, -3))
    for name, array in sample.inputs.items():
        np.testing.assert_array_equal(mirrored.inputs[name], array[:, ::-1, :, ::-1])
    np.testing.assert_array_equal(mirrored.targets["seg"], sample.targets["seg"][::-1, :, ::-1])
    np.testing.assert_array_equal(mirrored.targets["cls"], sample.targets["cls"])
    back = flip(mirrored, (-3, -1))
    np.testing.assert_array_equal(back.inputs["low_image"], sample.inputs["low_image"])
    changed = [Flip((-1,))(sample, _rng(s)) is not sample for s in range(100)]
    assert 30 < sum(changed) < 70


def test_intensities_change_as_they_say() -> None:
    sample = _sample(4)
    roi = np.ones((1, 24, 24, 24), np.float32)
    sample = replace(sample, inputs={**sample.inputs, "roi": roi})
    shifted = HuShift(50)(sample, _rng(1))
    added = {n: np.unique(np.rint(shifted.inputs[n] - sample.inputs[n])) for n in sample.inputs}
    assert added["image"] == added["low_image"]  # one scan, one shift
    assert 0 < abs(added["image"][0]) <= 50
    np.testing.assert_array_equal(shifted.inputs["roi"], roi)

    normal = Normalize((-30, 70), -30, 100)(sample, _rng())
    expected = (np.clip(sample.inputs["image"], -30, 70) + 30) / 100
    np.testing.assert_allclose(normal.inputs["image"], expected, atol=1e-6)
    assert normal.fill["image"] == 0  # what lies beyond stays what it was
    assert Normalize(None, 10, 2, only="image")(sample, _rng()).fill == {
        "image": -255.0,
        "low_image": -500.0,
    }

    noisy = Noise((0.5, 0.5))(normal, _rng(2)).inputs["image"] - normal.inputs["image"]
    assert noisy.std() == pytest.approx(0.5, rel=0.05)
    assert abs(noisy.mean()) < 0.02


def test_brightness_and_contrast() -> None:
    image = np.linspace(-3, 5, 81, dtype=np.float32).reshape(1, 9, 9)
    np.testing.assert_allclose(brightness_contrast(image, 1, 1), image, atol=1e-5)
    darker = brightness_contrast(image, 0.5, 1, clamp=False)
    np.testing.assert_allclose(darker, -3 + (image + 3) * 0.5, atol=1e-5)
    stretched = brightness_contrast(image, 1, 1.5, clamp=False)
    np.testing.assert_allclose(stretched, 1 + (image - 1) * 1.5, atol=1e-5)
    clamped = brightness_contrast(image, 1.5, 1.5)
    assert clamped.min() >= -3 - 1e-5
    assert clamped.max() <= 5 + 1e-5
    flat = np.full((1, 3, 3), 7, np.float32)
    np.testing.assert_array_equal(brightness_contrast(flat, 0.5, 1.5), flat)
    sample = _sample(5)
    assert (BrightnessContrast()(sample, _rng()).inputs["image"] != sample.inputs["image"]).any()


def test_mask_and_presence_follow_what_changed() -> None:
    sample = _sample(6)
    roi = np.zeros((1, 24, 24, 24), np.float32)
    roi[0, :12] = 1
    masked = MaskInput(fill=0.0)(replace(sample, inputs={**sample.inputs, "roi": roi}), _rng())
    assert set(masked.inputs) == {"image", "low_image"}
    np.testing.assert_array_equal(masked.inputs["image"][0, :12], sample.inputs["image"][0, :12])
    assert not masked.inputs["image"][0, 12:].any()
    assert masked.fill["image"] == 0
    empty = replace(sample, targets={**sample.targets, "seg": np.zeros((3, 3, 3), np.uint8)})
    assert Presence()(empty, _rng()).targets["cls"].tolist() == [0.0]
    assert Presence(values=(0,))(empty, _rng()).targets["cls"].tolist() == [1.0]


def test_expand_gives_the_original_and_different_copies() -> None:
    sample = Normalize((-100, 100), 0, 100)(_sample(7), _rng())
    steps: list[Transform] = [HuShift(1), Noise((1, 1)), Flip((-1,), 1.0)]
    orders = set()
    for seed in range(40):
        group = expand(sample, steps, 2, _rng(seed))
        assert group[0] is sample
        kinds = []
        for copy in group[1:]:
            change = copy.inputs["image"] - sample.inputs["image"]
            if change.std() < 1e-4:
                kinds.append("shift")
            elif np.array_equal(copy.inputs["image"][..., ::-1], sample.inputs["image"]):
                kinds.append("flip")
            else:
                kinds.append("noise")
        assert len(set(kinds)) == 2
        orders.add(tuple(kinds))
    assert len(orders) == 6
    with pytest.raises(ValueError, match="different copies"):
        expand(sample, steps, 4, _rng())


def test_composition_is_repeatable() -> None:
    chain = Compose(
        (HuShift(20), SPATIAL, Sometimes(Flip(), 0.5), Normalize(None, 0, 100), Noise())
    )
    sample = _sample(8)
    a, b = chain(sample, _rng(9)), chain(sample, _rng(9))
    np.testing.assert_array_equal(a.inputs["low_image"], b.inputs["low_image"])
    assert (chain(sample, _rng(10)).inputs["image"] != a.inputs["image"]).any()
    never = Sometimes(HuShift(), 0.0)
    assert never(sample, _rng()) is sample
    assert a.meta == sample.meta


@pytest.mark.parametrize(
    "make",
    [
        lambda: Spatial(dims=4),
        lambda: Spatial(control=3),
        lambda: Spatial(scale=(1.1, 0.9)),
        lambda: Flip((0,)),
    ],
)
def test_nonsense_is_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"not|smaller first"):
        make()  # type: ignore[operator]
