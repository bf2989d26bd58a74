"""Values that are not HU are mended beyond doubt or refused; HU are never touched."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.dicom_writer import write_series

from renalis.errors import InputError
from renalis.io import read_scan
from renalis.io.clipping import clipped_ends
from renalis.io.tissue_peaks import reading_of
from renalis.io.value_counts import value_counts
from renalis.volume import Volume

REAL = (
    "totalsegmentator-example/ct.nii.gz",
    "tcga-ov/TCGA-09-2043-abdomen-dicom.zip",
    "liver-phantom/ct.nii.gz",
    "lidc-chest/ct.nii.gz",
)


def stored(path: Path, values: np.ndarray, like: Volume) -> Path:
    """A NIfTI that says that its values are HU."""
    whole = np.clip(np.rint(values), -32768, 32767).astype(np.int16)
    picture = nib.Nifti1Image(whole, like.affine)
    picture.header.set_slope_inter(1, 0)
    nib.save(picture, path)
    return path


def hu(torso: Volume) -> np.ndarray:
    return torso.array.astype(np.int32)


def padded(values: np.ndarray, padding: int) -> np.ndarray:
    """Corners of the field of view set to what a scanner writes there."""
    result = values.copy()
    result[:, :16, :16] = result[:, -16:, -16:] = padding
    return result


@pytest.mark.parametrize("shift", [1024, 1000, -1024, -1000])
def test_an_intercept_lost_or_applied_twice_is_mended_and_named(
    tmp_path: Path, torso: Volume, shift: int
) -> None:
    scan = read_scan(stored(tmp_path / "s.nii", hu(torso) + shift, torso))
    assert np.array_equal(scan.volume.array, torso.array)
    (note,) = scan.warnings
    assert re.search(rf"{abs(shift)} was (subtracted|added)", note)


@pytest.mark.parametrize("padding", [-2000, -3024, -1024])
def test_padding_below_zero_makes_values_no_hu(tmp_path: Path, torso: Volume, padding: int) -> None:
    path = stored(tmp_path / "s.nii", padded(hu(torso) + 1024, padding), torso)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.array, padded(hu(torso), -1024))
    assert "1024 was subtracted" in scan.warnings[0]


def test_a_few_stray_negatives_make_values_no_hu(tmp_path: Path, torso: Volume) -> None:
    values = hu(torso) + 1024
    values[3, 4, 5:9] = -50
    assert "1024 was subtracted" in read_scan(stored(tmp_path / "s.nii", values, torso)).warnings[0]


def test_an_intercept_applied_twice_in_dicom_is_mended_and_padding_stays_air(
    tmp_path: Path, torso: Volume
) -> None:
    write_series(tmp_path, torso.array, RescaleIntercept="-2048", PixelPaddingValue=0)
    scan = read_scan(tmp_path)
    expected = torso.array.transpose(2, 1, 0)
    assert np.array_equal(scan.volume.array[..., ::1], expected)
    assert "1024 was added" in " ".join(scan.warnings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v * 10, "multiplied by 10"),
        (lambda v: v / 10, "divided by 10"),
        (lambda v: -v, "sign turned"),
        (lambda v: np.maximum(v - 1024, -1024), "do not show"),
        (lambda v: np.clip((v + 160) * 255 / 400, 0, 255) - 1024, "do not show"),
        (lambda v: np.clip((v + 160) * 255 / 400, 0, 255), "no value is below 0"),
        (lambda v: (v + 1024)[8:20, 20:60, 20:80].repeat(3, 0), "plus 1000 or 1024"),
        (lambda v: np.clip(v, 0, 400), "no value is below 0"),
        (lambda v: np.where(v < -900, -1024, np.clip(v, 10, 400)), "window baked in"),
    ],
)
def test_values_that_nobody_can_trust_are_refused(
    tmp_path: Path, torso: Volume, change, words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_scan(stored(tmp_path / "odd.nii", change(hu(torso)), torso))
    assert "odd.nii" in str(caught.value)
    assert "give the CT as it came from the scanner" in str(caught.value)


def test_noise_free_air_that_fits_two_shifts_is_refused(tmp_path: Path, torso: Volume) -> None:
    """Air clipped at -1000 plus 1024 is also air at -1024 plus 1000 and some: 24 HU apart."""
    values = np.maximum(hu(torso), -1000)
    values[values > -900] += 12  # fat between what both shifts would call fat
    with pytest.raises(InputError, match="plus 1000 or 1024"):
        read_scan(stored(tmp_path / "s.nii", values + 1000, torso))


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((-79, 304), "to -79 to 304 HU.* air, lung and fat as well as bone"),
        ((-160, 240), "to -160 to 240 HU.* air and lung as well as bone"),
        ((-200, 3000), "at -200 HU.* air and lung look"),
        ((-1024, 300), "at 300 HU.* bone"),
    ],
)
def test_a_window_baked_in_is_noted(tmp_path: Path, torso: Volume, ends, words: str) -> None:
    values = np.clip(hu(torso), *ends)
    scan = read_scan(stored(tmp_path / "w.nii", values, torso))
    assert np.array_equal(scan.volume.array, values)
    (note,) = scan.warnings
    assert re.search(words, note)


def altered(array: np.ndarray) -> dict[str, np.ndarray]:
    """True HU, odd in every way that patients and scanners are; axes (Z, Y, X)."""
    rng = np.random.default_rng(2)
    values = array.astype(np.int32)
    middle = [n // 2 for n in values.shape]
    box = tuple(slice(m - max(1, m // 4), m + max(1, m // 4)) for m in middle)
    fat = (values > -150) & (values < -30)
    soft = (values > 10) & (values < 300)
    small = np.full(tuple(n * f for n, f in zip(values.shape, (1, 3, 3), strict=True)), -1000)
    small[:, : values.shape[1], : values.shape[2]] = values
    metal = values.copy()
    metal[tuple(slice(m, m + m // 4) for m in middle)] = 3071
    return {
        "whole": values,
        "padding": padded(values, -3024),
        "crop without air": np.tile(values[box], (3, 2, 2)),
        "two slices": np.tile(values[middle[0] : middle[0] + 2], (4, 1, 1)),
        "thin": np.where(fat, rng.normal(40, 12, values.shape).astype(int), values),
        "contrast": np.where(soft, values * 3, values),
        "noise": values + rng.normal(0, 40, values.shape).astype(int),
        "child in a large field of view": small + rng.normal(0, 5, small.shape).astype(int),
        "metal": metal,
        "high resolution of air": np.maximum(values, -1000),
    }


def assert_left_alone(array: np.ndarray) -> None:
    for name, values in altered(array).items():
        counts = value_counts(np.clip(values, -32768, 32767).astype(np.int16))
        assert reading_of(counts).plausible, name
        assert clipped_ends(counts) == (None, None), name


def test_hu_are_left_alone_whatever_they_show(torso: Volume) -> None:
    assert_left_alone(torso.array)


@pytest.mark.parametrize("file", REAL)
def test_real_scans_are_left_alone_and_shifted_ones_never_mended_wrongly(
    real_ct: Callable[[str], Volume], file: str
) -> None:
    array = real_ct(file).reoriented().array
    # How often which HU occur is seen in a part of the voxels too.
    z, y, x = (-(-n // most) for n, most in zip(array.shape, (80, 128, 128), strict=True))
    array = array[::z, ::y, ::x]
    assert_left_alone(array)
    for shift in (1024, 1000, -1024, -1000):
        reading = reading_of(value_counts((array.astype(np.int32) + shift).astype(np.int16)))
        assert not reading.plausible
        assert reading.shift in (None, shift)
