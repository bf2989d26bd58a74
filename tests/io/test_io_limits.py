"""Values and sizes that no scanner writes: a slice is left out, or the file refused."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import body, ct_slice, write_series
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from renalis.errors import InputError
from renalis.io import dicom_meta, dicom_pixels, find_scans, read_scan

AFFINE = np.diag([-0.8, -0.8, 3, 1])


def ct() -> np.ndarray:
    return np.random.default_rng(3).integers(-1000, 1500, (6, 7, 8)).astype(np.int16)


def nifti(path: Path, affine: np.ndarray = AFFINE, **header) -> Path:
    """A NIfTI with qform and sform, of which header fields are then overwritten."""
    picture = nib.Nifti1Image(ct(), affine)
    picture.set_qform(affine, 1)
    picture.set_sform(affine, 1)
    nib.save(picture, path)
    raw = path.read_bytes()
    fields = nib.Nifti1Header(raw[:348], check=False)
    for field, value in header.items():
        fields[field] = value
    path.write_bytes(fields.binaryblock + raw[348:])
    return path


@pytest.mark.parametrize(
    "header",
    [
        {"quatern_b": 0, "quatern_c": 0, "quatern_d": 1.00001},
        {"pixdim": [np.nan, 0.8, 0.8, 3, 1, 1, 1, 1]},
        {"pixdim": [1, np.inf, 0.8, 3, 1, 1, 1, 1]},
    ],
)
def test_an_invalid_qform_beside_a_sform_is_only_reported(tmp_path: Path, header) -> None:
    scan = read_scan(nifti(tmp_path / "q.nii", **header))
    assert np.allclose(scan.volume.affine, AFFINE)
    assert scan.warnings == ("q: the qform is invalid; sform was used",)


@pytest.mark.parametrize("pixdim", [[0, 0.8, 0.8, 3], [1, -0.8, 0.8, 3], [0, -0.8, 0.8, -3]])
@pytest.mark.parametrize("sform_code", [0, 1])
def test_pixdim_is_read_as_the_standard_says(tmp_path: Path, pixdim, sform_code: int) -> None:
    path = nifti(tmp_path / "p.nii", sform_code=sform_code, pixdim=[*pixdim, 1, 1, 1, 1])
    scan = read_scan(path)
    assert np.allclose(scan.volume.affine, nib.load(path).affine)
    assert np.allclose(scan.volume.affine, AFFINE)
    assert scan.warnings == ()
    assert scan.source.nifti_header == path.read_bytes()[:348]


@pytest.mark.parametrize("offset", [np.nan, np.inf, -np.inf])
def test_an_offset_that_is_no_number_is_refused(tmp_path: Path, offset: float) -> None:
    path = nifti(tmp_path / "v.nii", vox_offset=offset)
    with pytest.raises(InputError, match=r"v\.nii has a damaged header; copy or export it again"):
        read_scan(path)


@pytest.mark.parametrize(
    ("factor", "unit", "words"),
    [
        (1000, 3, r"800 × 800 × 3e\+03 mm, .* unit is the micron\); export"),
        (0.001, 1, r"unit is the meter\); export"),
        (1000, 2, r"which no CT has; export"),
        (0.001, 0, r"which no CT has; export"),
    ],
)
def test_spacing_that_no_ct_has_is_refused(
    tmp_path: Path, factor: float, unit: int, words: str
) -> None:
    path = nifti(tmp_path / "u.nii", np.diag([0.8, 0.8, 3, 1 / factor]) * factor, xyzt_units=unit)
    with pytest.raises(InputError, match=words):
        read_scan(path)


def at(index: int, **tags):
    """A change of one slice."""

    def change(data: Dataset, number: int) -> None:
        if number == index:
            for tag, value in tags.items():
                setattr(data, tag, value)

    return change


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImagePositionPatient": ["1e308"] * 3}, "far outside any scanner"),
        ({"ImagePositionPatient": ["0", "0", "-2e5"]}, "far outside any scanner"),
        ({"PixelSpacing": ["1e200", "1e200"]}, "pixel spacing that no CT has"),
        ({"PixelSpacing": ["0.0001", "0.7"]}, "pixel spacing that no CT has"),
        ({"RescaleSlope": "0"}, "rescale slope of 0"),
    ],
)
def test_a_slice_with_damaged_values_is_left_out(tmp_path: Path, tags: dict, words: str) -> None:
    hu = body()
    write_series(tmp_path / "d", hu, change=at(4, **tags))
    (source,) = find_scans([tmp_path / "d"])
    assert source.kind == "dicom"
    scan = read_scan(source)
    assert np.array_equal(scan.volume.array.T, hu)  # linear along z, so filled exactly
    warnings = " ".join(scan.warnings)
    assert "1 slice was missing" in warnings
    assert words in warnings


@pytest.mark.parametrize("tags", [{"PixelSpacing": ["1e30", "1e30"]}, {"RescaleSlope": "0"}])
def test_a_series_of_damaged_values_is_refused(tmp_path: Path, tags: dict) -> None:
    write_series(tmp_path, body(), **tags)
    with pytest.raises(InputError, match=r"no CT volume \(damaged: .*\); export the series again"):
        read_scan(tmp_path)


def deflated_bomb(meta_size: int) -> bytes:
    """64 MiB of zeros in a private element, with a file meta group of about ``meta_size``."""
    data = ct_slice(body(1)[0], (0, 0, 0))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.file_meta.add_new((2, 0x0001), "OB", bytes(meta_size))  # in front of the syntax
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    raw = buffer.getvalue()
    end = 144 + int.from_bytes(raw[140:144], "little")
    pack = zlib.compressobj(1, zlib.DEFLATED, -15)
    parts = [pack.compress(zlib.decompressobj(-15).decompress(raw[end:]))]
    parts.append(pack.compress(b"\xfd\x7f\x10\x00OB\0\0" + (1 << 26).to_bytes(4, "little")))
    parts += [pack.compress(bytes(1 << 24)) for _ in range(4)]
    return raw[:end] + b"".join(parts) + pack.flush()


@pytest.mark.parametrize("meta_size", [2, 1200, 8000, 200_000])
def test_a_deflated_bomb_is_found_wherever_its_syntax_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meta_size: int
) -> None:
    monkeypatch.setattr(dicom_meta, "_LARGEST_UNPACKED", 1 << 25)
    monkeypatch.setattr("pydicom.dcmread", lambda *_, **__: pytest.fail("it was unpacked"))
    (tmp_path / "a.dcm").write_bytes(deflated_bomb(meta_size))
    with pytest.raises(InputError, match="damaged or cut short"):
        read_scan(tmp_path)


def test_a_syntax_mentioned_elsewhere_does_not_make_a_file_deflated(tmp_path: Path) -> None:
    write_series(tmp_path, body(), SeriesDescription=str(DeflatedExplicitVRLittleEndian))
    assert read_scan(tmp_path).volume.shape[2] == 12


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_much_larger_than_its_pixels_is_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(dicom_pixels, "_OTHER_BYTES", 1 << 16)
    files = write_series(tmp_path / "s", body(), change=at(3, ImageComments="x"))
    with files[3].open("ab") as file:
        file.write(b"\xfd\x7f\x10\x00OB\0\0" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20))
    place = tmp_path / "s"
    if packed:
        place = tmp_path / "s.zip"
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.name)
    words = rf"{files[3].name}\)? is much larger than its 32 × 24 pixels can be; export"
    with pytest.raises(InputError, match=words):
        read_scan(place)


@pytest.mark.parametrize("name", ["x" * 300 + ".nii", "漢" * 90 + ".nii.gz", "a\0b.nii"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"(cannot be read|does not exist).*; check the path"):
        read_scan(tmp_path / name)
