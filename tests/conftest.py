"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

# Before numpy and torch are imported, here and in the programs that tests start: as many processes
# run tests as there are cores, and threads beyond that wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings
from scipy import ndimage

from renalis.io import read_scan, whole_file
from renalis.volume import Volume

# No test cuts the power: what a file holds is there for every process at once, also after a kill,
# and waiting for the disk each time takes longer than much of what is tested.
os.fsync = lambda _: None

# While tests are collected millions of objects are made to stay: nothing to look through again and
# again for garbage.
gc.disable()

# The same examples on every run: what fails once fails again, for everybody.
# No deadline: how fast a machine is must not decide whether a test passes.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """From now on garbage is collected, but not sought among what is there to stay."""
    gc.freeze()
    gc.enable()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes are no name of a test: packed ones hold the time at which they were packed, and workers
    that collect the same tests in another second would know them by other names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 8 else None


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder with real scans and published label maps, which are not part of the project."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RENALIS_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data: set RENALIS_DATA to its folder (looked in {folder})")
    return folder


@pytest.fixture(scope="session")
def real_ct(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Volume]:
    """A real scan by its place below ``real-ct``, as `read_scan` gives it; a DICOM series of 160
    slices is decoded once for all tests, of whichever process."""
    kept = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        kept = kept.parent

    def read(place: str) -> Volume:
        path = data_folder / "real-ct" / place
        if not path.exists():
            pytest.skip(f"{place} is missing")
        name = place.replace("/", "_")
        files = [kept / f"{name}.{part}.npy" for part in ("array", "affine")]
        if not all(file.exists() for file in files):
            scan = read_scan(path).volume
            for file, values in zip(files, (scan.array, scan.affine), strict=True):
                with whole_file(file) as part:
                    np.save(part, values)
        return Volume(*[np.load(file) for file in files])

    return read


@pytest.fixture(scope="session")
def torso() -> Volume:
    """A trunk in HU, orientation SPL, (40, 80, 100) voxels of 6 x 4 x 4 mm: two lungs that end half
    way down, fat around organs, an iliac bone at the bottom, spine at the back, table below."""
    z, y, x = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in (40, 80, 100)], indexing="ij")
    z, y, x = z * 6, (y - 40) * 4, (x - 50) * 4
    hu = np.full(z.shape, -1000, np.float32)
    hu[(np.abs(y - 130) < 8) & (np.abs(x) < 170)] = -200
    wide = 1 - 0.15 * np.cos(z / 240 * np.pi)
    hu[(x / (160 * wide)) ** 2 + (y / 115) ** 2 < 1] = -100
    hu[(x / (135 * wide)) ** 2 + ((y + 5) / 85) ** 2 < 1] = 50
    for side in (-1, 1):
        lung = ((x - side * 68) / 45) ** 2 + ((y + 5) / 60) ** 2 + ((z - 250) / 110) ** 2 < 1
        hu[lung] = -850
        kidney = ((x - side * 65) / 27) ** 2 + ((y - 35) / 24) ** 2 + ((z - 90) / 50) ** 2 < 1
        hu[kidney] = 120
        hu[(np.abs(x - side * 105) < 14) & (np.abs(y - 20) < 40 - z) & (z < 40)] = 600
    hu[((x - 45) / 70) ** 2 + ((y + 20) / 45) ** 2 + ((z - 140) / 45) ** 2 < 1] = 90
    hu[(x / 22) ** 2 + ((y - 55) / 20) ** 2 < 1] = 350
    hu[((np.abs(x) % 90) < 6) & (((x / 140) ** 2 + (y / 90) ** 2) > 0.9) & (hu == -100)] = 400
    hu = ndimage.gaussian_filter(hu, 0.5)  # border voxels hold both tissues
    noise = np.random.default_rng(1).normal(0, 12, hu.shape)
    affine = np.array([[0, 0, -4, 200], [0, -4, 0, 160], [6, 0, 0, -700], [0, 0, 0, 1]], float)
    return Volume((hu + noise).clip(-1024, 3071).astype(np.int16), affine)
