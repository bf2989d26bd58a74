"""Files of single slices: what is read, what is refused, what greys mean."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from renalis.dataset.slices import read_slices, slice_hu, slice_index
from renalis.errors import InputError

RNG = np.random.default_rng(4)


def body(low: float, high: float) -> np.ndarray[Any, Any]:
    """Greys of a slice with air, a ring of skin, fat, and organs of 30 to 60 HU in it."""
    y, x = np.mgrid[:128, :128]
    radius = np.hypot((y - 64) / 45, (x - 64) / 55)
    hu = np.full((128, 128), -1000.0)
    hu[radius < 1] = 40
    hu[radius < 0.93] = -100
    hu[radius < 0.7] = 45
    hu += RNG.normal(0, 6, hu.shape)
    return np.clip((hu - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def stored(path: Path, **changed: Any) -> Path:
    image = changed.pop("image", np.stack([body(-79, 304)] * 3))
    arrays = {
        "image": image,
        "labels": np.zeros_like(image),
        "case": np.array([3, 5, 400], np.int32),
        "slice": np.array([1, 2.5, 3], np.float32),
        "spacing_mm": np.full((3, 3), 0.8, np.float32),
        **changed,
    }
    np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


@pytest.mark.parametrize("ends", [(-79.0, 304.0), (0.0, 255.0)])
def test_the_grey_scale_is_seen_from_where_soft_tissue_lies(
    tmp_path: Path, ends: tuple[float, float]
) -> None:
    slices = read_slices(stored(tmp_path / "s.npz", image=np.stack([body(*ends)] * 3)))
    assert slices.grey_hu == ends


def test_clipped_pixels_become_fat_inside_of_the_body_and_air_outside(tmp_path: Path) -> None:
    hu = slice_hu(read_slices(stored(tmp_path / "s.npz")), 0)
    assert hu[64, 64] == pytest.approx(45, abs=25)
    assert hu[64, 64 + 45] == pytest.approx(-100)
    assert hu[2, 2] == pytest.approx(-1000)


def test_unknown_spacing_is_that_of_most_abdominal_scans(tmp_path: Path) -> None:
    slices = read_slices(stored(tmp_path / "s.npz", spacing_mm=np.zeros((3, 3))))
    assert slices.spacing_mm[:, 1:].tolist() == [[0.75, 0.75]] * 3


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"case": None}, "holds no case"),
        ({"case": np.zeros(2, int)}, "case is not one number"),
        ({"labels": np.full((3, 128, 128), 7, np.uint8)}, "labels other than"),
        ({"labels": np.zeros((3, 5, 5), np.uint8)}, "labels"),
        ({"spacing_mm": np.full((3, 3), -1.0)}, "spacing_mm"),
        ({"spacing_mm": np.full((3, 3), np.nan)}, "spacing_mm"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        read_slices(stored(tmp_path / "s.npz", **changed))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="cannot be read as"):
        read_slices(tmp_path / "s.npz")


@pytest.mark.parametrize(
    "head",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 60000, 60000), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3,",
        "{'descr': [('a', '|u1'), ('b', '|u1')], 'fortran_order': False, 'shape': (3,), }",
    ],
    ids=["too large", "negative", "objects", "no end", "records"],
)
def test_an_array_whose_header_lies_is_refused_before_room_is_made(
    tmp_path: Path, head: str
) -> None:
    path = tmp_path / "s.npz"
    text = head.ljust(117).encode() + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for key in ("image", "labels", "case", "slice", "spacing_mm"):
            content = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(300)
            archive.writestr(f"{key}.npy", content)
    for read in (read_slices, slice_index):
        with pytest.raises(InputError, match=r"cannot be read as \.npz"):
            read(path)
