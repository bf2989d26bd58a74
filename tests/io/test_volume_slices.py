"""What is wrong with a series is still seen in the file that was made of it."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from renalis.io import read_scan
from renalis.io.block_means import block_means
from renalis.io.volume_slices import slice_doubts
from renalis.volume import Volume

STEP_MM = 6.0


def scan_of(hu: NDArray[np.int16], order: tuple[int, int, int] = (0, 1, 2)) -> Volume:
    """Axial slices (slice, row, column), head last, with the array's axes in some order."""
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = (STEP_MM, -2.0, -2.0, 1.0)
    affine[:3, 3] = (90.0, 80.0, 20.0)
    turned = affine[:, [*order, 3]]
    return Volume(np.asarray(hu, np.int16).transpose(order), turned)


def exchanged(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    """Parts of five slices in another order."""
    return hu[np.arange(40).reshape(8, 5)[[3, 0, 6, 2, 7, 4, 1, 5]].ravel()]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)], ids=str)
@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (lambda hu: hu, ""),
        (lambda hu: hu[::2], ""),
        (
            lambda hu: np.concatenate([hu[:20], hu[5:6], hu[21:]]),
            "1 slice does not fit .* 140.0 mm",
        ),
        (lambda hu: np.concatenate([hu[:20], hu[20:23] + 300, hu[23:]]), "3 slices do not fit"),
        (lambda hu: np.repeat(hu, [1] * 20 + [2] + [1] * 19, axis=0), "same picture .* 146.0 mm"),
        (lambda hu: np.delete(hu, range(20, 32), axis=0), "changes abruptly at 140.0 mm"),
        (lambda hu: np.concatenate([hu[22:], hu[:18]]), "changes abruptly at 128.0 mm"),
        (exchanged, "do not follow each other in their order"),
    ],
    ids=["whole", "every 2nd", "stray", "shifted", "doubled", "gap", "glued", "in another order"],
)
def test_what_is_wrong_with_slices_is_said(
    torso: Volume, order: tuple[int, int, int], spoiled, words: str
) -> None:
    found = slice_doubts(scan_of(spoiled(torso.array), order))
    assert len(found) == bool(words)
    assert re.search(words, " ".join(found))


def test_phases_in_turn_are_said(torso: Volume) -> None:
    hu = torso.array.copy()
    late = hu[1::2]
    late[(late > 80) & (late < 200)] += 60
    (found,) = slice_doubts(scan_of(hu))
    assert "change in brightness with every second one" in found


def test_thick_slices_are_compared_whatever_plane_they_are_of(torso: Volume) -> None:
    hu = torso.array.copy()
    hu[21] = hu[20]
    coronal = np.diag([-2.0, -STEP_MM, 2.0, 1.0])  # the slices lie along the patient's front
    (found,) = slice_doubts(Volume(hu.transpose(2, 0, 1), coronal))
    assert "same picture as the one before" in found
    assert f"at {-21 * STEP_MM:.1f} mm" in found


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_files_say_it_and_keep_their_voxels(tmp_path: Path, torso: Volume, suffix: str) -> None:
    spoiled = scan_of(torso.array[[*range(20), 5, *range(21, 40)]], (2, 1, 0))
    path = tmp_path / f"scan{suffix}"
    nifti = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(spoiled.array, spoiled.affine), nifti)
    if suffix == ".mha":
        sitk = pytest.importorskip("SimpleITK")
        sitk.WriteImage(sitk.ReadImage(str(nifti)), str(path))
    scan = read_scan(path)
    (note,) = scan.warnings
    assert note.startswith("scan: 1 slice does not fit the neighbors")
    np.testing.assert_array_equal(scan.volume.array, spoiled.array)


@pytest.mark.parametrize("shape", [(5, 150, 290), (4, 71, 96), (3, 512, 700)], ids=str)
def test_block_means_are_means_however_voxels_lie_in_memory(shape: tuple[int, int, int]) -> None:
    hu = np.random.default_rng(0).integers(-1024, 3000, shape).astype(np.int16)
    side = max(1, max(shape[1:]) // 72)
    rows, columns = shape[1] // side, shape[2] // side
    cut = hu.clip(-150, 300)[:, : rows * side, : columns * side].astype(np.float64)
    true = cut.reshape(shape[0], rows, side, columns, side).mean(axis=(2, 4))
    for order in ((0, 1, 2), (1, 2, 0), (2, 1, 0), (0, 2, 1), (1, 0, 2)):
        laid = np.ascontiguousarray(hu.transpose(order)).transpose(np.argsort(order))
        for given in (laid, list(laid)):
            found = block_means(given, 72, (-150, 300))
            if found.shape != true.shape or not np.allclose(found, true, atol=1e-3):
                found = found.swapaxes(1, 2)
            np.testing.assert_allclose(found, true, atol=1e-3)
