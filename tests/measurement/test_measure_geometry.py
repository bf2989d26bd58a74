"""The same body on different grids gives the same measurements, and left stays left."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.kidney_phantoms import (
    ALL_ORIENTATIONS,
    LEFT,
    LEFT_CYST,
    RIGHT,
    RIGHT_TUMOR,
    Ellipsoid,
    Phantom,
    grid_around,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.measurement import Measurements, measure
from renalis.volume import Kind, Volume


@pytest.fixture(scope="module")
def drawn() -> tuple[Volume, Volume]:
    return Phantom().draw(*grid_around())


@pytest.fixture(scope="module")
def reference(drawn: tuple[Volume, Volume]) -> Measurements:
    return measure(*drawn)


def numbers(measurements: Measurements) -> dict[str, float | str]:
    """Everything that must not depend on the grid's axis order, flattened."""
    flat: dict[str, float | str] = {}

    def walk(value: object, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if key not in ("centroid_index", "slice_index", "slices", "axial_slice", "grid"):
                    walk(inner, f"{name}.{key}")
        elif isinstance(value, (list, tuple)):
            for place, inner in enumerate(value):
                walk(inner, f"{name}.{place}")
        else:
            flat[name] = value  # type: ignore[assignment]

    walk(dataclasses.asdict(measurements), "")
    return flat


def half(shape: Ellipsoid, kidney: Ellipsoid) -> Ellipsoid:
    """A shape of half the size, as far from its kidney's center as fits that."""
    center = (np.array(shape.center) + kidney.center) / 2
    return Ellipsoid(tuple(center), tuple(np.array(shape.radii) / 2), shape.label)


@pytest.fixture(scope="module")
def coarse() -> tuple[Volume, Volume]:
    """Small kidneys in uneven steps, so that no two places are as good as each other."""
    right, left = half(RIGHT, RIGHT), half(LEFT, LEFT)
    shapes = (right, left, half(RIGHT_TUMOR, RIGHT), half(LEFT_CYST, LEFT))
    return Phantom(shapes).draw(*grid_around((2.6, 2.9, 3.3), (120, 70, 60)))


@pytest.fixture(scope="module")
def coarse_numbers(coarse: tuple[Volume, Volume]) -> dict[str, float | str]:
    return numbers(measure(*coarse))


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_every_orientation_measures_the_same(
    codes: str, coarse: tuple[Volume, Volume], coarse_numbers: dict[str, float | str]
) -> None:
    image, labels = (volume.reoriented(codes) for volume in coarse)
    copied = Volume(np.ascontiguousarray(labels.array), labels.affine, labels.kind)
    found = measure(image, copied)
    assert found.grid.orientation == codes
    measured = numbers(found)
    for name, value in coarse_numbers.items():
        same = pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value
        assert measured[name] == same, name
    for structure in (*found.kidneys, *found.lesions):
        place = structure.location
        back = labels.world(np.array(place.centroid_index))
        assert back == pytest.approx(np.array(place.centroid_mm), abs=1e-6)
        level = round(place.centroid_index[found.grid.slice_axis])
        assert place.slices[0] <= place.slice_index <= place.slices[1]
        assert abs(place.slice_index - level) <= 1
    for lesion in found.lesions:
        picked = np.take(copied.array, lesion.axial_slice, axis=found.grid.slice_axis)
        assert (picked == (2 if lesion.kind == "tumor" else 3)).any()


def test_numbers_match_the_formulas(reference: Measurements) -> None:
    right, left = reference.kidney("right"), reference.kidney("left")
    assert right is not None
    assert left is not None
    assert [kidney.id for kidney in reference.kidneys] == ["left", "right"]
    assert right.length_mm == pytest.approx(2 * RIGHT.radii[2], abs=2.5)
    assert left.offset_mm == pytest.approx(LEFT.center[0], abs=3)
    assert right.offset_mm == pytest.approx(RIGHT.center[0], abs=3)
    assert right.intensity is not None
    assert right.intensity.mean_hu == pytest.approx(160)
    assert right.intensity.sd_hu == 0
    tumor, cyst = reference.lesions
    assert (tumor.side, tumor.kidney, cyst.side) == ("right", "right", "left")
    assert tumor.volume_ml == pytest.approx(RIGHT_TUMOR.ml, rel=0.03)
    assert cyst.volume_ml == pytest.approx(LEFT_CYST.ml, rel=0.05)
    assert tumor.axial_mm == pytest.approx(24, abs=2)
    assert tumor.diameter_mm == pytest.approx(24, abs=2.5)
    assert tumor.location.centroid_mm == pytest.approx(RIGHT_TUMOR.center, abs=0.5)
    assert tumor.intensity is not None
    assert tumor.intensity.median_hu == 90
    assert tumor.enhancement_hu is None
    assert cyst.shape.pole == "upper"
    assert reference.notes == ()


@settings(max_examples=5, deadline=None)
@given(
    turn=st.floats(-25, 25),
    shear=st.floats(-0.3, 0.3),
    spacing=st.tuples(st.floats(2.4, 3.2), st.floats(2.4, 3.2), st.floats(2.5, 5.0)),
    shift=st.floats(-60, 60),
)
def test_oblique_sheared_and_shifted_grids(
    turn: float, shear: float, spacing: tuple[float, float, float], shift: float
) -> None:
    affine, shape = grid_around(spacing, (220, 130, 115), turn, shear)
    found = measure(*Phantom(shift_mm=shift).draw(affine, shape))
    assert [kidney.id for kidney in found.kidneys] == ["left", "right"]
    coarse = max(spacing)
    # The cyst takes the left one's upper pole: the points of the ellipsoid outside of its ball are
    # 93.0 mm apart at most.
    for kidney, truth, length in zip(found.kidneys, (LEFT, RIGHT), (93.0, 104), strict=True):
        assert kidney.offset_mm == pytest.approx(truth.center[0], abs=8)
        assert kidney.parenchyma_ml == pytest.approx(truth.ml, rel=0.12)
        assert kidney.length_mm == pytest.approx(length, abs=1.5 * coarse)
    tumor, cyst = found.lesions
    assert tumor.volume_ml == pytest.approx(RIGHT_TUMOR.ml, rel=0.15)
    assert tumor.diameter_mm == pytest.approx(24, abs=1.3 * coarse)
    assert (tumor.side, cyst.side) == ("right", "left")
    assert cyst.shape.pole == "upper"


def test_a_mirrored_body_swaps_sides(drawn: tuple[Volume, Volume], reference: Measurements) -> None:
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    image, labels = (Volume(volume.array, mirror @ volume.affine, volume.kind) for volume in drawn)
    found = measure(image, labels)
    for side, opposite in (("left", "right"), ("right", "left")):
        one, other = found.kidney(side), reference.kidney(opposite)
        assert one is not None
        assert other is not None
        assert one.volume_ml == pytest.approx(other.volume_ml)
        # Directions are not mirrored with the body.
        assert one.length_mm == pytest.approx(other.length_mm, abs=0.1)
    assert found.lesions[0].side == "left"


def test_grids_that_differ_are_refused(drawn: tuple[Volume, Volume]) -> None:
    image, labels = drawn
    with pytest.raises(ValueError, match="same grid"):
        measure(image, labels.cropped((slice(1, None), slice(None), slice(None))))


def test_unknown_labels_are_refused(drawn: tuple[Volume, Volume]) -> None:
    image, labels = drawn
    with pytest.raises(ValueError, match=r"labels hold (7|14|21), which stands for nothing"):
        measure(image, labels.like(labels.array * 7, labels.kind))


@pytest.mark.parametrize(
    ("value", "dtype"), [(257, np.int16), (2.6, np.float32), (np.nan, np.float32), (-1, np.int8)]
)
def test_what_a_cast_would_make_a_label_of_is_refused(
    value: float, dtype: type, drawn: tuple[Volume, Volume]
) -> None:
    image, labels = drawn
    array = labels.array.astype(dtype)
    array[3, 4, 5] = value
    with pytest.raises(ValueError, match=f"labels hold {value}, which stands for nothing"):
        measure(image, labels.like(array, labels.kind))


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_whole_numbers_of_any_type_are_labels(
    dtype: type, drawn: tuple[Volume, Volume], reference: Measurements
) -> None:
    image, labels = drawn
    found = measure(image, labels.like(labels.array.astype(dtype), labels.kind))
    assert found.totals == reference.totals


@pytest.mark.parametrize("order", ["SPL", "RAS", "LPI"])
def test_a_place_inside_is_the_structures_voxel_nearest_to_its_centroid(order: str) -> None:
    image, labels = Phantom().draw(*grid_around())
    array = labels.array.copy()
    where = np.argwhere(array == 3)
    middle = np.round(where.mean(axis=0)).astype(int)
    hollow = np.linalg.norm((where - middle) * labels.spacing, axis=1) < 4  # a cyst with a hollow
    array[tuple(where[hollow].T)] = 2
    labels = labels.like(array, Kind.LABELS).reoriented(order)
    (cyst,) = [
        one for one in measure(image.reoriented(order), labels).lesions if one.kind == "cyst"
    ]

    voxels = labels.world(np.argwhere(labels.array == 3))
    away = np.linalg.norm(voxels - cyst.location.centroid_mm, axis=1)
    assert np.linalg.norm(np.subtract(cyst.location.inside_mm, cyst.location.centroid_mm)) == (
        pytest.approx(away.min(), abs=1e-6)
    )
    assert np.linalg.norm(voxels - cyst.location.inside_mm, axis=1).min() < 1e-6
    index = np.round(labels.index(np.array(cyst.location.centroid_mm))).astype(int)
    assert labels.array[tuple(index)] != 3
