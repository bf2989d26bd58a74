"""Every standard transfer syntax, encoded by codecs other than the ones that decode here."""

from __future__ import annotations

from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import body, write_series
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from renalis.io import read_scan


def textured(slices: int = 4) -> np.ndarray:
    """HU with noise, so that no codec has it easy."""
    hu = body(slices, 64, 48) // 8
    return (hu + np.random.default_rng(5).integers(0, 40, hu.shape)).astype(np.int16)


def by_gdcm(folder: Path, syntax: int) -> None:
    """Recode all files of a folder."""
    for path in folder.iterdir():
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()


def signed(hu: np.ndarray):
    """Store HU as they are, 16 bits signed."""

    def change(data: Dataset, index: int) -> None:
        data.PixelRepresentation, data.BitsStored, data.HighBit = 1, 16, 15
        data.RescaleIntercept = "0"
        data.PixelData = hu[index].astype("<i2").tobytes()

    return change


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize(
    ("syntax", "uid"),
    [
        (gdcm.TransferSyntax.JPEGLosslessProcess14, "1.2.840.10008.1.2.4.57"),
        (gdcm.TransferSyntax.JPEGLosslessProcess14_1, "1.2.840.10008.1.2.4.70"),
        (gdcm.TransferSyntax.JPEGLSLossless, "1.2.840.10008.1.2.4.80"),
        (gdcm.TransferSyntax.JPEG2000Lossless, "1.2.840.10008.1.2.4.90"),
        (gdcm.TransferSyntax.RLELossless, "1.2.840.10008.1.2.5"),
    ],
)
def test_lossless_encoded_by_gdcm(tmp_path: Path, syntax: int, uid: str, sign: bool) -> None:
    hu = textured()
    write_series(tmp_path, hu, change=signed(hu) if sign else None)
    by_gdcm(tmp_path, syntax)
    assert pydicom.dcmread(next(tmp_path.iterdir())).file_meta.TransferSyntaxUID == uid
    assert np.array_equal(read_scan(tmp_path).volume.array.T, hu)


@pytest.mark.parametrize("sign", [False, True])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_lossless_encoded_by_pydicom(tmp_path: Path, syntax: pydicom.uid.UID, sign: bool) -> None:
    hu = textured()
    store = signed(hu)

    def change(data: Dataset, index: int) -> None:
        if sign:
            store(data, index)
        data.compress(syntax, generate_instance_uid=False)

    write_series(tmp_path, hu, change=change)
    assert np.array_equal(read_scan(tmp_path).volume.array.T, hu)


@pytest.mark.parametrize(
    ("syntax", "options", "tolerance"),
    [(JPEG2000, {"j2k_psnr": [80]}, 4), (JPEGLSNearLossless, {"jls_error": 2}, 2)],
)
def test_lossy(tmp_path: Path, syntax, options, tolerance: int) -> None:
    hu = textured()

    def change(data: Dataset, index: int) -> None:
        data.compress(syntax, generate_instance_uid=False, **options)

    write_series(tmp_path, hu, change=change)
    assert np.abs(read_scan(tmp_path).volume.array.T - hu).max() <= tolerance


@pytest.mark.parametrize(
    ("bits", "syntax", "uid"),
    [
        (8, gdcm.TransferSyntax.JPEGBaselineProcess1, "1.2.840.10008.1.2.4.50"),
        (12, gdcm.TransferSyntax.JPEGExtendedProcess2_4, "1.2.840.10008.1.2.4.51"),
    ],
)
def test_lossy_jpeg(tmp_path: Path, bits: int, syntax: int, uid: str) -> None:
    smooth = np.repeat(np.linspace(0, 200, 48)[None, None], 4, 0).repeat(64, 1)
    hu = (smooth - 100).astype(np.int16)

    def change(data: Dataset, index: int) -> None:
        kind = "u1" if bits == 8 else "<u2"
        data.BitsAllocated = 8 if bits == 8 else 16
        data.BitsStored, data.HighBit = bits, bits - 1
        data.RescaleIntercept = "-100"
        data.PixelData = (hu[index] + 100).astype(kind).tobytes()

    write_series(tmp_path, hu, change=change)
    by_gdcm(tmp_path, syntax)
    assert pydicom.dcmread(next(tmp_path.iterdir())).file_meta.TransferSyntaxUID == uid
    assert np.abs(read_scan(tmp_path).volume.array.T - hu).max() <= 4


def test_overlay_bits_above_the_stored_ones_are_ignored(tmp_path: Path) -> None:
    """Old scanners keep drawings in the upper bits (group 60xx, retired)."""
    hu = textured()

    def change(data: Dataset, index: int) -> None:
        values = np.frombuffer(data.PixelData, "<u2").copy()
        values[::7] |= 0x8000
        data.PixelData = values.tobytes()

    write_series(tmp_path, hu, change=change)
    assert np.array_equal(read_scan(tmp_path).volume.array.T, hu)
