"""Options that repeat what published programs do where they differ from their texts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from renalis.errors import InputError
from renalis.preparation import GridSpec, normalized, prepare_case
from renalis.preparation.pixel_weights import weight_map
from renalis.recipes import load_system
from renalis.sampling.windows import Coverage, WindowSampler, window_list
from renalis.systems.case_batches import case_batches, masked_hu
from renalis.systems.recipe_cases import grid_specs
from renalis.systems.recipe_grids import grid_spec
from renalis.volume import Kind, Volume

AFFINE = np.array([[0, 0, -2, 0], [0, -2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1.0]])


def spec_of(recipe: str, *changes: str) -> GridSpec:
    return grid_spec(load_system(recipe, changes).all_stages()[0].grids[0])


def scan_and_labels() -> tuple[Volume, Volume]:
    """A body with a kidney whose middle is tumor; canonical orientation."""
    labels = np.zeros((20, 30, 32), np.uint8)
    labels[5:15, 8:22, 9:23] = 1
    labels[8:12, 12:18, 13:19] = 2
    hu = np.full(labels.shape, -1000, np.int16)
    hu[2:18, 3:27, 4:29] = 40
    return Volume(hu, AFFINE), Volume(labels, AFFINE, Kind.LABELS)


def test_truncated_labels_are_linear_interpolation_cut_off() -> None:
    image, labels = scan_and_labels()
    plain = GridSpec("g", spacing_mm=(2.0, 1.3, 1.7))
    said = GridSpec("g", spacing_mm=(2.0, 1.3, 1.7), label_truncated=True)
    nearest = prepare_case(image, labels, [plain]).grid("g").label
    grid = prepare_case(image, labels, [said]).grid("g")
    assert grid.label is not None
    assert nearest is not None
    assert (grid.label > 0).sum() < 0.9 * (nearest > 0).sum()
    axes = [np.arange(n) for n in labels.shape]
    linear = RegularGridInterpolator(axes, labels.array.astype(float))
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    to_scan = np.linalg.inv(labels.affine) @ grid.affine
    places = index @ to_scan[:3, :3].T + to_scan[:3, 3]
    inside = np.all((places >= 0) & (places <= np.array(labels.shape) - 1), axis=-1)
    expected = np.floor(linear(places[inside]) + 1e-6)
    assert inside.mean() > 0.8
    np.testing.assert_array_equal(grid.label[inside], expected)
    whole = prepare_case(
        image, labels, [GridSpec("g", spacing_mm=(None,) * 3, label_truncated=True)]
    )
    np.testing.assert_array_equal(whole.grid("g").label, labels.array)


def test_the_last_plane_of_the_body_is_lost_when_asked() -> None:
    image, labels = scan_and_labels()
    kept = GridSpec("g", spacing_mm=(None,) * 3, clip_hu=(-79, 304), crop_body=True)
    lost = GridSpec(
        "g", spacing_mm=(None,) * 3, clip_hu=(-79, 304), crop_body=True, crop_end_dropped=True
    )
    a, b = (prepare_case(image, labels, [spec]).grid("g") for spec in (kept, lost))
    assert a.shape == (16, 24, 25)
    assert b.shape == (15, 23, 24)
    np.testing.assert_array_equal(a.affine, b.affine)
    np.testing.assert_array_equal(a.image[:-1, :-1, :-1], b.image)
    assert a.label is not None
    np.testing.assert_array_equal(a.label[:-1, :-1, :-1], b.label)


def test_padding_is_air_or_what_becomes_zero() -> None:
    air = spec_of("unet3d-plain")
    zero = spec_of("unet3d-plain", "grids.mm3.fill=zero")
    assert air.fill_hu == -79
    assert zero.fill_hu == 101
    assert normalized(np.array([zero.fill_hu]), zero).item() == 0
    # What lies outside an input mask stays air, however grids are padded.
    assert masked_hu("min", zero) == -79
    hu = np.full((10, 12, 14), 50, np.int16)
    grid = prepare_case(Volume(hu, AFFINE), Volume(hu * 0, AFFINE, Kind.LABELS), [zero]).grid("mm3")
    sampler = WindowSampler([grid], (16, 32, 32), (12, 24, 24))
    image = sampler[0].inputs["image"][0]
    z, y, x = grid.shape
    assert (image[:z, :y, :x] == 50).all()
    assert (image[z:] == 101).all()
    assert (image[:, :, x:] == 101).all()
    with pytest.raises(InputError, match="fill=zero is for resampled grids"):
        spec_of("quicknat-2d", "grids.slices.fill=zero")


def test_floored_weights_forget_the_background() -> None:
    labels = np.zeros((4, 16, 16), np.uint8)
    labels[1:3, 5:9, 5:9] = 1
    exact, whole = weight_map(labels), weight_map(labels, whole=True)
    assert exact[0, 0, 0] > 0.5
    assert whole[0, 0, 0] == 0
    assert whole[1, 5, 5] == min(10, np.median([992, 32]) // 32 + 2)
    spec = spec_of("quicknat-2d", "grids.slices.weight_map.division=floor")
    assert spec.weight_floor
    assert spec.stored() != spec_of("quicknat-2d").stored()


@pytest.mark.parametrize(
    ("shape", "unseen"),
    [((150, 180, 180), 0.26), ((95, 230, 290), 0.098), ((200, 260, 300), 0.03)],
)
def test_the_published_windows_leave_the_holes_that_were_measured_of_the_published_code(
    shape: tuple[int, int, int], unseen: float
) -> None:
    def share(coverage: Coverage) -> float:
        # All numbers are multiples of 5 and 10: a voxel here stands for 5 x 10 x 10.
        seen = np.zeros((shape[0] // 5, shape[1] // 10, shape[2] // 10), bool)
        for z, y, x in window_list(shape, (80, 160, 160), (60, 120, 120), coverage):
            box = (
                slice(z // 5, z // 5 + 16),
                slice(y // 10, y // 10 + 16),
                slice(x // 10, x // 10 + 16),
            )
            seen[box] = True
        return float(1 - seen.mean())

    assert share("code") == pytest.approx(unseen, abs=0.005)
    assert share("full") == 0


def test_published_windows_are_drawn_with_their_tumor_flags() -> None:
    image, labels = scan_and_labels()
    system = load_system("unet3d-plain", ("sampler.coverage=code",), tiny=True)
    stage = system.all_stages()[0]
    specs = grid_specs(stage)
    case = prepare_case(image, labels, list(specs.values()))
    grid = case.grid("mm3")
    sampler = WindowSampler([grid], (8, 8, 8), (6, 6, 6), coverage="code")
    starts, flags = sampler.windows(0)
    assert grid.label is not None
    for (z, y, x), flag in zip(starts, flags, strict=True):
        assert flag == (grid.label[z : z + 8, y : y + 8, x : x + 8] == 2).any()
    assert 0 < flags.sum() < len(flags)
    inputs, targets = case_batches(stage, [case], seed=0, specs=specs, augment=False)(
        0, 0, np.random.default_rng(0)
    )
    assert inputs["image"].shape[2:] == targets["seg"].shape[1:] == (16, 32, 32)
