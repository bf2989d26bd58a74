"""Bad input: one sentence that names the file and says what to do, nothing else."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import body, write_series

from renalis.errors import InputError
from renalis.io import dicom_files, dicom_meta, find_scans, read_scan
from renalis.io.find import inventory

ADVICE = re.compile(
    r"; .*\b(give|check|copy|export|download|convert|choose|split|unpack|reads|leave|get|name)"
)


def refused(path: Path, name: str, words: str, **options) -> str:
    """Reading fails with one sentence; it names ``name``, contains ``words`` and gives advice."""
    with pytest.raises(InputError) as caught:
        read_scan(path, **options)
    message = str(caught.value)
    assert name in message
    assert re.search(words, message), message
    assert ADVICE.search(message), message
    assert "\n" not in message
    return message


def image(shape=(6, 7, 8), dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, shape).astype(dtype)


def nifti(path: Path, array: np.ndarray, affine=None, **header) -> Path:
    """A NIfTI whose header fields are then overwritten in the file."""
    picture = nib.Nifti1Image(array, np.diag([0.8, 0.8, 3, 1]) if affine is None else affine)
    picture.header.set_slope_inter(1, 0)
    plain = path.with_name("raw.nii")
    nib.save(picture, plain)
    raw = plain.read_bytes()
    plain.unlink()
    fields = nib.Nifti1Header(raw[:348])
    for field, value in header.items():
        fields[field] = value
    content = fields.binaryblock + raw[348:]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "no.nii.gz", "no.nii.gz", "does not exist")


def test_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty", "is empty")


def test_folder_without_scans(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path, tmp_path.name, "holds no CT scan")


@pytest.mark.parametrize("name", ["text.nii.gz", "text.nii"])
def test_text_named_nifti(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("this is not a scan, " * 100)
    refused(tmp_path / name, name, "is not a NIfTI file")


@pytest.mark.parametrize("name", ["zero.nii.gz", "zero.nii", "zero.dcm", "zero.zip"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    refused(tmp_path / name, name, "damaged zip" if name == "zero.zip" else r"empty \(0 bytes\)")


@pytest.mark.parametrize("part", [0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("name", ["cut.nii.gz", "cut.nii"])
def test_truncated(tmp_path: Path, name: str, part: float) -> None:
    path = nifti(tmp_path / name, image((20, 20, 20)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    refused(path, name, "cut short|is not a NIfTI")


def test_changed_byte_in_packed_file(tmp_path: Path) -> None:
    path = nifti(tmp_path / "flip.nii.gz", image((20, 20, 20)))
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    path.write_bytes(raw)
    refused(path, "flip.nii.gz", "damaged")


def test_two_axes(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "flat.nii", image((9, 9))), "flat.nii", "single slice")


def test_one_slice(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "one.nii", image((9, 9, 1))), "one.nii", "single slice")


def test_four_axes(tmp_path: Path) -> None:
    path = nifti(tmp_path / "time.nii", image((5, 5, 5, 3)))
    refused(path, "time.nii", "5 × 5 × 5 × 3")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    array = image(dtype=np.float32)
    array[1, 2, 3] = value
    refused(nifti(tmp_path / "nan.nii.gz", array), "nan.nii.gz", "1 voxels that are not numbers")


@pytest.mark.parametrize("field", ["srow_x", "srow_z"])
def test_affine_with_nan(tmp_path: Path, field: str) -> None:
    path = nifti(tmp_path / "a.nii", image(), **{field: [np.nan, 0, 0, 0]})
    refused(path, "a.nii", "not finite")


def test_an_origin_beyond_any_scanner(tmp_path: Path) -> None:
    path = nifti(tmp_path / "far.nii", image(), srow_x=[1, 0, 0, 1e8])
    refused(path, "far.nii", "more than 100 m")


def test_singular_affine(tmp_path: Path) -> None:
    path = nifti(tmp_path / "s.nii", image(), srow_x=[1, 1, 0, 0], srow_y=[1, 1, 0, 0])
    refused(path, "s.nii", "singular")


def test_zero_spacing(tmp_path: Path) -> None:
    path = nifti(tmp_path / "z.nii", image(), srow_z=[0, 0, 0, 0])
    refused(path, "z.nii", "spacing of zero")


def test_zero_spacing_in_qform(tmp_path: Path) -> None:
    path = nifti(
        tmp_path / "q.nii", image(), sform_code=0, qform_code=1, pixdim=[1, 1, 0, 1, 0, 0, 0, 0]
    )
    refused(path, "q.nii", "spacing of zero")


def test_invalid_quaternion(tmp_path: Path) -> None:
    path = nifti(tmp_path / "q.nii", image(), sform_code=0, qform_code=1, quatern_b=5.0)
    refused(path, "q.nii", "invalid place")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_label_map(tmp_path: Path, dtype) -> None:
    labels = np.zeros((20, 20, 20), dtype)
    labels[4:9, 4:9, 4:9] = 1
    labels[6, 6, 6] = 2
    path = nifti(tmp_path / "seg.nii.gz", labels)
    refused(path, "seg.nii.gz", r"label map \(whole numbers 0 to 2\)")


def test_label_map_with_many_labels(tmp_path: Path) -> None:
    labels = np.zeros((60, 60, 60), np.uint8)
    for label, (i, j, k) in enumerate(np.random.default_rng(0).integers(0, 55, (60, 3)), 1):
        labels[i : i + 5, j : j + 5, k : k + 5] = label
    refused(nifti(tmp_path / "total.nii", labels), "total.nii", "label map")


def test_normalized_image(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((6, 6, 6)).astype(np.float32)
    refused(nifti(tmp_path / "n.nii", array), "n.nii", "not in HU")


def test_constant_image(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "c.nii", np.full((5, 5, 5), -1024, np.int16)), "c.nii", "empty")


def test_colors(tmp_path: Path) -> None:
    rgb = np.zeros((5, 5, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    picture = nib.Nifti1Image(rgb, np.eye(4))
    nib.save(picture, tmp_path / "rgb.nii")
    refused(tmp_path / "rgb.nii", "rgb.nii", "colors")


def test_complex_numbers(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(image().astype(np.complex64), np.eye(4)), tmp_path / "c.nii")
    refused(tmp_path / "c.nii", "c.nii", "not CT numbers")


def test_unknown_data_type(tmp_path: Path) -> None:
    path = nifti(tmp_path / "t.nii", image(), datatype=999)
    refused(path, "t.nii", "not CT numbers")


@pytest.mark.parametrize(
    "dim", [[3, 30000, 30000, 30000], [3, 0, 5, 5], [3, -5, 5, 5], [9, 5, 5, 5]]
)
@pytest.mark.parametrize("name", ["h.nii", "h.nii.gz"])
def test_hostile_sizes(tmp_path: Path, dim, name: str) -> None:
    path = nifti(tmp_path / name, image(), dim=[*dim, 1, 1, 1, 1])
    refused(path, name, "no valid size|more than a CT|not a NIfTI")


def test_promised_voxels_that_the_file_cannot_hold(tmp_path: Path) -> None:
    path = nifti(tmp_path / "h.nii.gz", image(), dim=[3, 1000, 1000, 1000, 1, 1, 1, 1])
    refused(path, "h.nii.gz", "cut short")


def test_header_of_a_pair_without_its_voxels(tmp_path: Path) -> None:
    path = nifti(tmp_path / "p.nii", image(), magic=b"ni1")
    refused(path, "p.nii", r"header of a NIfTI pair \(\.hdr and \.img\), and its \.img file")


def test_analyze(tmp_path: Path) -> None:
    path = nifti(tmp_path / "p.nii", image(), magic=b"")
    refused(path, "p.nii", "ANALYZE")


def test_series_of_a_nifti(tmp_path: Path) -> None:
    refused(nifti(tmp_path / "a.nii", image()), "a.nii", "no series", series="3")


def test_foreign_format(tmp_path: Path) -> None:
    (tmp_path / "scan.par").write_bytes(b"# === DATA DESCRIPTION FILE ===" + bytes(300))
    refused(tmp_path / "scan.par", "scan.par", r"neither NIfTI .*, NRRD \(\.nrrd\) nor DICOM")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\x1f\x8b" + bytes(9), "a gzip file and no scan; unpack it"),
        (bytes(257) + b"ustar", "a tar archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"\x89PNG\r\n", "a PNG picture .* hold no HU"),
        (b"\x89HDF\r\n", "an HDF5 file and no scan; convert"),
        (b"version https://git-lfs.github.com/spec/v1", "only a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "a web page or XML .*download the scan again"),
        (b"NRRD0004\n", r"an NRRD file and no scan; name it \.nrrd"),
        (bytes(2000), "filled with zeros"),
    ],
)
def test_what_a_file_is_instead_is_named(tmp_path: Path, start: bytes, words: str) -> None:
    (tmp_path / "scan.bin").write_bytes(start)
    refused(tmp_path / "scan.bin", "scan.bin", words)
    (tmp_path / "scan.nii").write_bytes(gzip.compress(start))
    refused(tmp_path / "scan.nii", "scan.nii", "is not a NIfTI file but ")


def test_dicom_named_nifti(tmp_path: Path) -> None:
    file = write_series(tmp_path, body(1))[0].rename(tmp_path / "scan.nii")
    refused(file, "scan.nii", "is not a NIfTI file but a DICOM file; give the folder")


def test_a_folder_of_other_files_says_which(tmp_path: Path) -> None:
    for name in ("a.mnc", "b.mnc", "c"):
        (tmp_path / name).write_bytes(b"CDF\x01")
    words = r"holds no CT scan \(2 \.mnc, 1 without an ending\)"
    refused(tmp_path, tmp_path.name, words)


def test_truncated_dicom_pixels(tmp_path: Path) -> None:
    file = write_series(tmp_path, body())[3]
    file.write_bytes(file.read_bytes()[:-200])
    refused(tmp_path, file.name, "cut short")


@pytest.mark.parametrize("keep", [140, 300, 500, 900])
def test_dicom_truncated_in_its_header(tmp_path: Path, keep: int) -> None:
    """Alone it is refused; among others it is counted and reported as a missing slice."""
    files = write_series(tmp_path, body())
    cut = sorted(files, key=slice_height)[5]
    cut.write_bytes(cut.read_bytes()[:keep])
    warnings = " ".join(read_scan(tmp_path).warnings)
    assert "35.0 mm" in warnings
    assert "1 damaged DICOM file in the same place left out" in warnings
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "x.dcm").write_bytes(cut.read_bytes())
    refused(alone, "alone", "damaged|no CT|no DICOM")


def slice_height(file: Path) -> float:
    """z in mm."""
    return float(pydicom.dcmread(file).ImagePositionPatient[2])


@pytest.mark.parametrize("modality", ["MR", "PT", "US"])
def test_another_modality(tmp_path: Path, modality: str) -> None:
    write_series(tmp_path, body(), Modality=modality, SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    refused(tmp_path, tmp_path.name, f"{modality} images and no CT; renalis reads CT only")


def test_only_a_localizer(tmp_path: Path) -> None:
    write_series(tmp_path, body(2), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    refused(tmp_path, tmp_path.name, "no CT volume.*localizer")


def test_single_dicom_slice(tmp_path: Path) -> None:
    file = write_series(tmp_path, body(1))[0]
    refused(file, file.name, "only one slice")


def test_no_positions(tmp_path: Path) -> None:
    def strip(data, index) -> None:
        del data.ImagePositionPatient

    write_series(tmp_path, body(), change=strip)
    refused(tmp_path, tmp_path.name, "no position in the patient")


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ("PixelSpacing", ["0", "0"], "no pixel spacing"),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0], "right angles"),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "right angles"),
        ("SamplesPerPixel", 3, "color"),
        ("RescaleType", "MGML", "values are MGML"),
        ("Rows", 0, "no image size"),
        ("Columns", 60000, "larger than 4096"),
    ],
)
def test_unusable_dicom(tmp_path: Path, tag: str, value, words: str) -> None:
    write_series(tmp_path, body(), **{tag: value})
    refused(tmp_path, tmp_path.name, words)


def test_unknown_compression(tmp_path: Path) -> None:
    def relabel(data, index) -> None:
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"  # MPEG2
        data.PixelData = pydicom.encaps.encapsulate([data.PixelData])

    write_series(tmp_path, body(), change=relabel)
    with pytest.raises(InputError, match=r"\.dcm is compressed in a way .* convert the series"):
        read_scan(tmp_path)


def test_constant_dicom(tmp_path: Path) -> None:
    write_series(tmp_path, body() * 0)
    refused(tmp_path, tmp_path.name, "every voxel is 0")


def test_slices_shifted_against_each_other(tmp_path: Path) -> None:
    def shift(data, index) -> None:
        if index == 6:
            data.ImagePositionPatient = [-70, -80, data.ImagePositionPatient[2]]

    write_series(tmp_path, body(), change=shift)
    refused(tmp_path, tmp_path.name, "shifted against each other by up to 30 mm")


def test_unknown_series_lists_what_there_is(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    with pytest.raises(
        InputError, match=r"no series '77'; it has: series 5 'Abdomen 3\.0' \(CT, 12"
    ):
        read_scan(tmp_path, series="77")


def test_ambiguous_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", body(), SeriesInstanceUID="1.2.3.1", SeriesNumber=1)
    write_series(tmp_path / "b", body(), SeriesInstanceUID="1.2.3.2", SeriesNumber=2)
    with pytest.raises(InputError, match="several series that match 'abdomen'"):
        read_scan(tmp_path, series="abdomen")


def test_damaged_zip(tmp_path: Path) -> None:
    (tmp_path / "z.zip").write_bytes(b"PK\x03\x04" + bytes(200))
    refused(tmp_path / "z.zip", "z.zip", "damaged zip")


def test_truncated_zip(tmp_path: Path) -> None:
    files = write_series(tmp_path / "s", body())
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        for file in files:
            packed.write(file, file.name)
    whole = (tmp_path / "z.zip").read_bytes()
    (tmp_path / "z.zip").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "z.zip", "z.zip", "damaged zip")


def test_zip_without_dicom(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        packed.writestr("a.nii.gz", "hello")
    refused(tmp_path / "z.zip", "z.zip", r"no DICOM images \(1 \.nii\.gz\)")


def test_empty_zip(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "z.zip", "w").close()
    refused(tmp_path / "z.zip", "z.zip", r"z\.zip is empty")


def test_a_folder_of_links_to_folders_is_not_called_empty(tmp_path: Path) -> None:
    write_series(tmp_path / "s", body())
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "s").symlink_to(tmp_path / "s")
    refused(tmp_path / "links", "links", r"only links to folders \(s\), which are not followed")
    nifti(tmp_path / "links" / "a.nii", image())
    found = inventory([tmp_path / "links"])
    assert [s.case_id for s in found.scans] == ["a"]
    assert "1 linked folder (s) not followed" in found.remarks[0]


def test_a_folder_that_may_not_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nifti(tmp_path / "a.nii", image())
    (tmp_path / "closed").mkdir()
    listed = os.scandir

    def denied(path):
        if Path(path).name == "closed":
            raise PermissionError(13, os.strerror(13), str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", denied)
    good, bad = find_scans([tmp_path])
    assert good.case_id == "a"
    assert "closed may not be opened; check who is allowed to read it" in bad.problem


def test_zip_with_changed_byte(tmp_path: Path) -> None:
    files = write_series(tmp_path / "s", body())
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        for file in files:
            packed.write(file, file.name)
        place = packed.getinfo(files[2].name).header_offset + 2000
    raw = bytearray((tmp_path / "z.zip").read_bytes())
    raw[place] ^= 0xFF
    (tmp_path / "z.zip").write_bytes(raw)
    refused(tmp_path / "z.zip", "z.zip", "damaged|cannot be decoded")


def test_zip_bomb_by_declared_size(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.dcm", bytes(1000))
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"bomb\.zip"):
        read_scan(path)


def test_deflated_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small deflated file is given up as soon as it has unpacked to more than the limit."""
    monkeypatch.setattr(dicom_meta, "_LARGEST_UNPACKED", 1 << 25)
    file = write_series(tmp_path, body(1))[0]
    raw = file.read_bytes()
    deflated = b"1.2.840.10008.1.2.1.99"
    end = 144 + int.from_bytes(raw[140:144], "little")
    place = raw.index(b"1.2.840.10008.1.2.1\0")
    meta = raw[: place - 2] + (22).to_bytes(2, "little") + deflated + raw[place + 20 : end]
    meta = meta[:140] + (len(meta) - 144).to_bytes(4, "little") + meta[144:]
    pack = zlib.compressobj(1, zlib.DEFLATED, -15)
    zeros = bytes(1 << 24)
    packed = b"".join(pack.compress(zeros) for _ in range(4)) + pack.flush()
    file.write_bytes(meta + packed)
    with pytest.raises(ValueError, match="unpacks to more"), file.open("rb") as stream:
        dicom_files.frames_of(stream, "x")
    refused(tmp_path, tmp_path.name, "damaged")


def test_encrypted_zip(tmp_path: Path) -> None:
    path = tmp_path / "secret.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.dcm", bytes(1000))
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    raw[6] |= 1
    path.write_bytes(raw)
    refused(path, "secret.zip", "password")


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "pipe", "no file or folder")
    refused(tmp_path, tmp_path.name, "is empty")


def test_control_characters_do_not_reach_the_message(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb.nii"
    path.write_text("text")
    with pytest.raises(InputError) as caught:
        read_scan(path)
    assert str(caught.value).isprintable()


def test_one_bad_input_does_not_hide_the_others(tmp_path: Path) -> None:
    good = nifti(tmp_path / "good.nii.gz", image())
    sources = find_scans([tmp_path / "missing.nii.gz", good, tmp_path / "nothing"])
    assert [s.kind for s in sources] == ["unreadable", "nifti", "unreadable"]
    assert read_scan(sources[1]).case_id == "good"
    with pytest.raises(InputError, match="does not exist"):
        read_scan(sources[0])


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    """Whatever bytes change, there is a scan or a sentence, never another exception."""
    random: Callable[..., np.ndarray] = np.random.default_rng(seed).integers
    if seed % 2:
        target = nifti(tmp_path / "r.nii", image())
        path = target
        end = 352
    else:
        target = write_series(tmp_path / "d", body(4))[seed % 4]
        path = tmp_path / "d"
        end = target.stat().st_size
    raw = bytearray(target.read_bytes())
    for place in random(0, end, 6):
        raw[int(place)] = int(random(0, 256))
    target.write_bytes(raw)
    with contextlib.suppress(InputError):
        assert read_scan(path).volume.array.dtype == np.int16
