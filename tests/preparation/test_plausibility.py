"""Places that cannot be right are refused, odd ones named, all others left alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from renalis.errors import InputError
from renalis.io import Scan, ScanSource
from renalis.preparation.plausibility import place_doubts, with_place_notes
from renalis.volume import Volume

REAL = (
    "totalsegmentator-example/ct.nii.gz",
    "tcga-ov/TCGA-09-2043-abdomen-dicom.zip",
    "liver-phantom/ct.nii.gz",
    "lidc-chest/ct.nii.gz",
)
ORIENTATIONS = [
    "".join(codes) for axes in permutations(("RL", "AP", "SI")) for codes in product(*axes)
]


def in_ras(array: np.ndarray, *spacing: float) -> Volume:
    """An array whose header says that its axes run right, front and up, from the origin."""
    return Volume(array, np.diag([*spacing, 1.0]))


def brighter(array: np.ndarray) -> np.ndarray:
    """Another contrast phase: other noise, enhanced organs, the patient moved by a voxel."""
    noise = np.random.default_rng(5).normal(0, 12, array.shape)
    changed = np.where((array > 60) & (array < 250), array * 1.5, array) + noise
    return np.roll(changed, 1, axis=2).astype(np.int16)


def impossible(scan: Volume) -> str:
    """The sentences about what cannot be."""
    return "; ".join(doubt.sentence for doubt in place_doubts(scan) if doubt.impossible)


def test_slices_first_with_the_spacing_of_another_order(torso: Volume) -> None:
    assert "axes are exchanged" in impossible(in_ras(torso.array, 4, 4, 6))


def test_rows_and_columns_exchanged(torso: Volume) -> None:
    affine = np.array([[0, 0, -4, 0], [0, -4, 0, 0], [6, 0, 0, 0], [0, 0, 0, 1]])
    turned = Volume(torso.array.transpose(0, 2, 1), affine)
    assert "deeper than wide" in impossible(turned)


@pytest.mark.parametrize("order", [(2, 1, 0), (0, 1, 2)])
def test_an_identity_affine_of_a_body_that_no_adult_has(torso: Volume, order) -> None:
    assert impossible(in_ras(torso.array.transpose(order), 1, 1, 1))


def test_an_identity_affine_of_a_body_that_fills_the_field_of_view(torso: Volume) -> None:
    array = torso.array[:, 66:12:-1, 14:86].repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert "affine is the identity" in impossible(in_ras(array.transpose(2, 1, 0), 1, 1, 1))


def test_a_scan_in_centimetres_is_named(torso: Volume) -> None:
    affine = torso.affine.copy()
    affine[:3] /= 10
    (doubt,) = place_doubts(Volume(torso.array, affine))
    assert not doubt.impossible
    assert "only 4.0 cm large" in doubt.sentence


def test_an_identity_affine_of_a_large_matrix(torso: Volume) -> None:
    array = np.repeat(np.repeat(torso.array, 6, axis=2), 6, axis=1)[::-1, ::-1, ::-1]
    assert "identity" in impossible(in_ras(array.transpose(2, 1, 0), 1, 1, 1))


def test_two_phases_stacked(torso: Volume) -> None:
    stacked = np.concatenate([torso.array, brighter(torso.array)])
    assert "from 41 of 80" in impossible(Volume(stacked, torso.affine))


def test_parts_of_two_phases_stacked(torso: Volume) -> None:
    stacked = np.concatenate([torso.array[12:], brighter(torso.array)[:34]])
    assert "from 29 of 62" in impossible(Volume(stacked, torso.affine))


def test_parts_that_look_the_same_all_along_are_no_copies() -> None:
    """Two ellipsoids in a block of fat, both ends of which are alike."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (28, 60, 80)), indexing="ij")
    kidneys = (z / 0.45) ** 2 + (y / 0.3) ** 2 + ((abs(x) - 0.5) / 0.2) ** 2 < 1
    noise = np.random.default_rng(1).normal(0, 3, z.shape)
    array = (np.where(kidneys, 160, -100) + noise).astype(np.int16)
    assert not impossible(in_ras(array[::-1, ::-1, ::-1].transpose(2, 1, 0), 4, 4, 8))


def test_a_small_body_is_named_and_not_refused(torso: Volume) -> None:
    (doubt,) = place_doubts(Volume(torso.array, torso.affine @ np.diag([0.4, 0.4, 0.4, 1])))
    assert "a small child or an animal" in doubt.sentence
    assert not doubt.impossible


def test_a_spine_at_the_front_is_named_and_not_refused(torso: Volume) -> None:
    (doubt,) = place_doubts(Volume(torso.array[:, ::-1], torso.affine))
    assert "spine lies at the front" in doubt.sentence
    assert not doubt.impossible


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_axes_in_any_order_with_the_right_affine(torso: Volume, codes: str) -> None:
    assert place_doubts(torso.reoriented(codes)) == []


def parts(scan: Volume) -> dict[str, Volume]:
    """A scan thinned, cut and cropped."""
    count, rows, columns = scan.shape
    found = {"whole": scan}
    for step in (2, 3):
        thin = scan.affine.copy()
        thin[:3, 0] *= step
        found[f"every {step}"] = Volume(scan.array[::step], thin)
    everything = slice(None)
    for part in (2, 3, 4):
        low, high = slice(count // part), slice(count - count // part, None)
        found[f"lowest 1/{part}"] = scan.cropped((low, everything, everything))
        found[f"highest 1/{part}"] = scan.cropped((high, everything, everything))
    middle = slice(count // 2, count // 2 + 2)
    found["two slices"] = scan.cropped((middle, everything, everything))
    inner = slice(rows // 3, -rows // 3), slice(columns // 3, -columns // 3)
    found["no air around"] = scan.cropped((everything, *inner))
    left = slice(columns // 2, None)
    found["half"] = scan.cropped((everything, everything, left))
    return found


def test_parts_of_a_scan_are_left_alone(torso: Volume) -> None:
    for name, part in parts(torso).items():
        assert place_doubts(part) == [], name


@pytest.mark.parametrize("file", REAL)
def test_real_scans_are_left_alone_and_their_copies_found(
    real_ct: Callable[[str], Volume], file: str
) -> None:
    scan = real_ct(file).reoriented()
    for name, part in parts(scan).items():
        assert place_doubts(part) == [], name
    step = -(-scan.shape[1] // 256)  # noise for every voxel of a large matrix takes a second
    thin = scan.affine @ np.diag([1, step, step, 1])
    scan = Volume(scan.array[:, ::step, ::step], thin)
    z, y, x = scan.spacing
    assert "axes are exchanged" in impossible(in_ras(scan.array, x, y, z))
    stacked = np.concatenate([scan.array, brighter(scan.array)])
    assert "show the same part" in impossible(Volume(stacked, scan.affine))


def test_a_refusal_names_the_file_and_the_way_on(torso: Volume) -> None:
    source = ScanSource("x", Path("folder/x.nii.gz"), "nifti")
    scan = Scan("x", in_ras(torso.array, 4, 4, 6), source, ("before",))
    with pytest.raises(InputError, match=r"^folder/x\.nii\.gz: .*; export .* --trust-place$"):
        with_place_notes(scan)
    before, added = with_place_notes(scan, trusted=True).warnings
    assert before == "before"
    assert added.startswith("x: the body is cut through")
