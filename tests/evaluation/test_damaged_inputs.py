"""Randomly damaged inputs: each is scored right or refused with a sentence."""

from __future__ import annotations

import csv
import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.folders import AFFINE, anatomy, write
from helpers.oracle import official

from renalis.cli import main

COUNT = 120
PREDICTION = anatomy(0, 1)


def save(folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE, name: str = "") -> Path:
    return write(folder / (name or "prediction_00007.nii.gz"), array, affine)


def header_bytes(folder: Path, rng: np.random.Generator) -> Path:
    """Random bytes somewhere in the header."""
    path = save(folder, PREDICTION, name="prediction_00007.nii")
    data = bytearray(path.read_bytes())
    for _ in range(int(rng.integers(1, 6))):
        data[int(rng.integers(0, 352))] = int(rng.integers(0, 256))
    path.write_bytes(data)
    return path


def header_field(folder: Path, rng: np.random.Generator) -> Path:
    """A field of the header with a value that it must not or should not have."""
    path = save(folder, PREDICTION, name="prediction_00007.nii")
    data = bytearray(path.read_bytes())
    numbers = (0.0, -1.0, 1e30, np.nan, np.inf, 0.5, 3.0)
    kind = int(rng.integers(0, 5))
    if kind == 0:
        struct.pack_into("<h", data, 40 + 2 * int(rng.integers(0, 5)), int(rng.integers(-3, 99)))
    elif kind == 1:
        struct.pack_into(
            "<h", data, 70, int(rng.choice([0, 1, 2, 4, 8, 16, 32, 64, 128, 512, 999]))
        )
    elif kind == 2:
        struct.pack_into("<f", data, 76 + 4 * int(rng.integers(0, 4)), float(rng.choice(numbers)))
    elif kind == 3:
        struct.pack_into("<f", data, 112 + 4 * int(rng.integers(0, 2)), float(rng.choice(numbers)))
    else:
        struct.pack_into("<f", data, 280 + 4 * int(rng.integers(0, 12)), float(rng.choice(numbers)))
    path.write_bytes(data)
    return path


def shape(folder: Path, rng: np.random.Generator) -> Path:
    """Slices lost or added, axes exchanged, a fourth axis."""
    kind = int(rng.integers(0, 5))
    if kind == 0:
        cut = [
            slice(int(rng.integers(0, 3)), n - int(rng.integers(0, 3))) for n in PREDICTION.shape
        ]
        return save(folder, PREDICTION[tuple(cut)])
    if kind == 1:
        return save(folder, np.pad(PREDICTION, int(rng.integers(1, 4))))
    if kind == 2:
        return save(folder, PREDICTION.transpose(rng.permutation(3)))
    if kind == 3:
        return save(folder, PREDICTION[..., None].repeat(int(rng.integers(1, 3)), axis=3))
    return save(folder, PREDICTION[int(rng.integers(0, 24))])


def dtype(folder: Path, rng: np.random.Generator) -> Path:
    """The same labels in another type, or what is no number at all."""
    name = str(
        rng.choice(["int8", "int16", "uint16", "int32", "float32", "float64", "complex64", ">i2"])
    )
    return save(folder, PREDICTION.astype(name))


def values(folder: Path, rng: np.random.Generator) -> Path:
    """Values that are no labels, or other labels."""
    array = PREDICTION.astype(np.float64)
    where = tuple(int(rng.integers(0, n)) for n in array.shape)
    kind = int(rng.integers(0, 6))
    if kind < 4:
        array[where] = [np.nan, -1.0, 0.37, 1000.0][kind]
    elif kind == 4:
        array[where] = float(rng.integers(4, 256))
    else:
        array = array * 85 - float(rng.integers(0, 2)) * 1024
    return save(folder, array.astype(np.float32))


def place(folder: Path, rng: np.random.Generator) -> Path:
    """Another affine."""
    affine = AFFINE.copy()
    kind = int(rng.integers(0, 4))
    if kind == 0:
        affine[int(rng.integers(0, 3)), 3] += float(rng.choice([1e-4, 0.005, 2.0, 500.0]))
    elif kind == 1:
        affine[:3, int(rng.integers(0, 3))] *= -1
    elif kind == 2:
        affine[:3, int(rng.integers(0, 3))] *= float(rng.choice([0.0, 1e-6, 1.1, 10.0]))
    else:
        affine[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    path = save(folder, PREDICTION, name="prediction_00007.nii")
    data = bytearray(path.read_bytes())
    struct.pack_into("<hh", data, 252, 0, 1)
    struct.pack_into("<12f", data, 280, *affine[:3].ravel())
    path.write_bytes(data)
    return path


def content(folder: Path, rng: np.random.Generator) -> Path:
    """A packed file that is cut, bent, not packed, or something else."""
    path = save(folder, PREDICTION)
    data = bytearray(path.read_bytes())
    kind = int(rng.integers(0, 5))
    if kind == 0:
        data = data[: int(rng.integers(0, len(data)))]
    elif kind == 1:
        for _ in range(int(rng.integers(1, 9))):
            data[int(rng.integers(0, len(data)))] ^= int(rng.integers(1, 256))
    elif kind == 2:
        data = bytearray(gzip.decompress(data))
    elif kind == 3:
        data = bytearray(rng.bytes(int(rng.integers(0, 4000))))
    else:
        data += rng.bytes(int(rng.integers(1, 50)))
    path.write_bytes(data)
    return path


def name(folder: Path, rng: np.random.Generator) -> Path:
    """Names that belong to the case, to another, or to none."""
    names = ["case_7", "KiTS-0007", "00007", "kits23_case_00007", "case_00008", "patient", "7_seg"]
    chosen = str(
        rng.choice([*names, "case 00007 (copy)", "case_00007/segmentation", "n\u00e4me_7"])
    )
    return save(folder, PREDICTION, name=f"{chosen}.nii.gz")


DAMAGES = (header_bytes, header_field, shape, dtype, values, place, content, name)


@pytest.mark.parametrize("damage", DAMAGES)
def test_scored_right_or_refused_with_a_sentence(damage, tmp_path: Path, capfd) -> None:
    reference = anatomy()
    scored = refused = 0
    for seed in range(COUNT // len(DAMAGES)):
        folder = tmp_path / str(seed)
        write(folder / "r" / "case_00007.nii.gz", reference)
        path = damage(folder / "p", np.random.default_rng(1000 + seed))
        given = ["-r", str(folder / "r"), "-p", str(folder / "p"), "-o", str(folder / "o")]
        code = main(["evaluate", *given, "--jobs", "1"])
        message = capfd.readouterr().err
        if code == 2:
            refused += 1
            assert "renalis: " in message
            assert "internal error" not in message
            assert "Traceback" not in message
            assert not (folder / "o" / "metrics.csv").exists()
            continue
        assert code == 0, message
        scored += 1
        # nibabel reads what was really stored; it lies where the reference lies.
        image = nib.Nifti1Image.from_bytes(_unpacked(path))
        stored = np.asarray(image.get_fdata()).reshape(reference.shape)
        assert np.abs(image.affine - AFFINE).max() < 0.011
        with (folder / "o" / "metrics.csv").open() as file:
            row = next(csv.DictReader(file))
        for region, (dice, surface) in official(reference, stored, (3.0, 0.8, 0.8)).items():
            assert float(row[f"Dice_{region}"]) == pytest.approx(dice, abs=1e-8)
            assert float(row[f"SD_{region}"]) == pytest.approx(surface, abs=1e-8)
    assert scored + refused == COUNT // len(DAMAGES)
    if damage not in (header_bytes, dtype, name):
        assert refused


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
