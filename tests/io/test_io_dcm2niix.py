"""World coordinates against dcm2niix, the converter that the field trusts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.dicom_writer import body, write_enhanced, write_series
from scipy import ndimage

from renalis.io import read_scan
from renalis.volume import Volume


def converted(folder: Path, out: Path, name: str = "x.nii") -> Volume:
    """A volume that dcm2niix makes of a folder; "x.nii" has to be the only one."""
    beside = Path(sys.executable).with_name("dcm2niix")
    program = str(beside) if beside.exists() else shutil.which("dcm2niix")
    assert program, "dcm2niix is not installed; install the dev extras"
    out.mkdir()
    done = subprocess.run(
        [program, "-z", "n", "-b", "n", "-f", "x", "-o", str(out), str(folder)],
        capture_output=True,
        text=True,
    )
    found = sorted(file.name for file in out.glob("*.nii"))
    assert name in found, done.stdout
    assert len(found) == 1 or name != "x.nii", done.stdout
    image = nib.load(out / name)
    return Volume(np.asarray(image.dataobj), image.affine)


def assert_same_places(ours: Volume, theirs: Volume, floor: int = -1024) -> None:
    """Each voxel of ours is a voxel of theirs, with the same HU."""
    turned = theirs.reoriented(ours.orientation)
    assert turned.shape == ours.shape
    assert turned.same_grid(ours, tolerance_mm=2e-3)
    assert np.array_equal(np.maximum(turned.array, floor), ours.array)


@pytest.mark.parametrize(
    ("orientation", "step"),
    [
        ((1, 0, 0, 0, 1, 0), (0, 0, 3)),
        ((1, 0, 0, 0, 1, 0), (0, 0, -3)),
        ((-1, 0, 0, 0, -1, 0), (0, 0, 3)),
        ((0, 1, 0, -1, 0, 0), (0, 0, 2.5)),
        ((1, 0, 0, 0, 0, -1), (0, 3, 0)),
        ((0, 1, 0, 0, 0, -1), (3, 0, 0)),
    ],
)
def test_made_series(tmp_path: Path, orientation, step) -> None:
    write_series(tmp_path / "d", body(), step=step, ImageOrientationPatient=list(orientation))
    assert_same_places(read_scan(tmp_path / "d").volume, converted(tmp_path / "d", tmp_path / "o"))


@pytest.mark.parametrize("seed", range(4))
def test_oblique_series(tmp_path: Path, seed: int) -> None:
    axes = np.linalg.qr(np.eye(3) + 0.25 * np.random.default_rng(seed).normal(size=(3, 3)))[0]
    axes *= np.sign(np.diag(axes))
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    cosines = [f"{v:.12f}" for v in (*axes[:, 0], *axes[:, 1])]
    write_series(tmp_path / "d", body(), step=3 * axes[:, 2], ImageOrientationPatient=cosines)
    assert_same_places(read_scan(tmp_path / "d").volume, converted(tmp_path / "d", tmp_path / "o"))


def test_enhanced_series(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    positions = [(-100, -80, 20 + 3 * k) for k in range(12)]
    write_enhanced(tmp_path / "d" / "e.dcm", body(), positions)
    assert_same_places(read_scan(tmp_path / "d").volume, converted(tmp_path / "d", tmp_path / "o"))


@pytest.mark.parametrize("degrees", [17, -12])
def test_gantry_tilt(tmp_path: Path, degrees: float) -> None:
    """dcm2niix resamples tilted series to right angles; ours, sampled there, has the same HU.

    Rows differ by 64 HU. dcm2niix moves whole slices by fractions of a row that it rounds, so a
    third of a row is allowed; the tilt itself moves the last slice by more than seven rows.
    """
    tilt = np.radians(degrees)
    cosines = [f"{v:.12f}" for v in (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt))]
    write_series(
        tmp_path / "d", body(), ImageOrientationPatient=cosines, GantryDetectorTilt=str(degrees)
    )
    ours = read_scan(tmp_path / "d").volume
    theirs = converted(tmp_path / "d", tmp_path / "o", "x_Tilt_1.nii")
    index = ours.index(theirs.world(np.moveaxis(np.indices(theirs.shape), 0, -1)))
    inside = ((index >= 0) & (index <= np.array(ours.shape) - 1)).all(-1)
    inside &= theirs.array > -1000
    assert inside.mean() > 0.4
    image = ours.array.astype(np.float64)
    sampled = ndimage.map_coordinates(image, np.moveaxis(index, -1, 0), order=1)
    assert np.abs(sampled - theirs.array)[inside].max() < 64 / 3


def test_real_series(data_folder: Path, tmp_path: Path) -> None:
    """The zip as it is against dcm2niix on its members."""
    (archive,) = (data_folder / "real-ct" / "tcga-ov").glob("*.zip")
    scan = read_scan(archive)
    assert scan.volume.shape == (512, 512, 160)
    assert scan.warnings == ()
    assert scan.source.phase == "contrast-enhanced"
    assert scan.volume.array.min() == -1024
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "d")
    assert_same_places(scan.volume, converted(tmp_path / "d", tmp_path / "o"))
