"""NIfTI in and out: every axis order, every stored type, the header kept bit by bit."""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import resource
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from helpers.dicom_writer import body, hu_at, world_grid, write_series
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.errors import OutputError
from renalis.io import find_scans, read_scan, whole_file, write_labels
from renalis.volume import Kind

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def written(path: Path, array: np.ndarray, affine: np.ndarray, **header) -> Path:
    """Save with nibabel; ``header`` sets header fields."""
    image = nib.Nifti1Image(array, affine)
    for field, value in header.items():
        image.header[field] = value
    nib.save(image, path)
    return path


def ct(shape=(6, 7, 8)) -> np.ndarray:
    """Noise in the range of HU."""
    return np.random.default_rng(3).integers(-1000, 1500, shape).astype(np.int16)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_as_nibabel_reads_it(tmp_path: Path, suffix: str) -> None:
    affine = np.array([[0, 0, -0.8, 9], [0, -0.8, 0, 5], [-2.5, 0, 0, 3], [0, 0, 0, 1.0]])
    path = written(tmp_path / f"case_00007{suffix}", ct(), affine)
    scan = read_scan(path)
    assert scan.case_id == "case_00007"
    assert scan.volume.array.dtype == np.int16
    assert np.array_equal(scan.volume.array, ct())
    assert np.array_equal(scan.volume.affine, nib.load(path).affine)
    assert scan.volume.orientation == "IPL"
    assert scan.warnings == ()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("given", [".hdr", ".img", "folder"])
def test_a_pair_of_files_is_read_as_nibabel_reads_it(
    tmp_path: Path, given: str, packed: bool
) -> None:
    affine = np.array([[0, 0, -0.8, 9], [0, -0.8, 0, 5], [-2.5, 0, 0, 3], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Pair(ct(), affine), tmp_path / "a.img")
    if packed:
        voxels = (tmp_path / "a.img").read_bytes()
        (tmp_path / "a.img").unlink()
        (tmp_path / "a.img.gz").write_bytes(gzip.compress(voxels))
    ending = f"{given}.gz" if packed and given == ".img" else given
    (source,) = find_scans([tmp_path if given == "folder" else tmp_path / f"a{ending}"])
    scan = read_scan(source)
    assert scan.case_id == "a"
    assert np.array_equal(scan.volume.array, ct())
    assert np.allclose(scan.volume.affine, affine, atol=1e-6)
    assert scan.warnings == ()
    labels = scan.volume.like(np.zeros(scan.volume.shape, np.uint8), Kind.LABELS)
    write_labels(tmp_path / "s.nii.gz", labels, scan)
    assert np.array_equal(nib.load(tmp_path / "s.nii.gz").affine, scan.volume.affine)


@pytest.mark.parametrize(
    "axes", list(itertools.product(itertools.permutations(range(3)), (0, 1), (0, 1), (0, 1)))
)
def test_all_48_axis_orders_are_one_scan(tmp_path: Path, axes) -> None:
    """However the file orders its axes, each voxel keeps its HU and place; labels go back."""
    order, *flips = axes
    base = LPS @ np.array([[0.7, 0, 0, -100], [0, 0.9, 0, -80], [0, 0, 3, 20], [0, 0, 0, 1.0]])
    array = body(5, 6, 7).transpose(2, 1, 0)
    codes = nib.orientations.ornt_transform(
        nib.io_orientation(np.eye(4)),
        np.array([[order.index(a), 1 - 2 * flips[a]] for a in range(3)]),
    )
    image = nib.Nifti1Image(array, base).as_reoriented(codes)
    nib.save(image, tmp_path / "x.nii.gz")
    scan = read_scan(tmp_path / "x.nii.gz")
    assert scan.volume.shape == image.shape
    assert np.abs(hu_at(world_grid(scan.volume)) - scan.volume.array).max() < 0.01
    same = scan.volume.reoriented("LPS")
    assert np.array_equal(same.array, array)
    assert np.allclose(same.affine, base, atol=1e-4)
    labels = scan.volume.like((scan.volume.array > -500).astype(np.uint8), Kind.LABELS)
    back = nib.load(write_labels(tmp_path / "y.nii.gz", labels, scan))
    assert back.affine.tobytes() == nib.load(tmp_path / "x.nii.gz").affine.tobytes()
    assert np.array_equal(np.asarray(back.dataobj), labels.array)


@given(
    values=st.lists(st.floats(-200, 200), min_size=12, max_size=12),
    codes=st.sampled_from([(1, 0), (0, 1), (2, 1), (0, 4), (3, 3), (0, 0)]),
    second=st.booleans(),
    big_endian=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_header_survives(tmp_path_factory, values, codes, second, big_endian) -> None:
    """Oblique and sheared, sform or qform or neither, both versions, both byte orders."""
    folder = tmp_path_factory.mktemp("any")
    linear = np.array(values[:9]).reshape(3, 3) / 100
    linear += np.sign(np.linalg.det(linear) or 1) * np.diag([6.0, 7, 8])
    affine = nib.affines.from_matvec(linear, values[9:])
    kind = nib.Nifti2Image if second else nib.Nifti1Image
    image = kind(ct(), None)
    image.header.set_data_shape(ct().shape)
    image.header.set_sform(affine, code=codes[0])
    image.header.set_qform(affine, code=codes[1], strip_shears=True)
    if big_endian:
        image = kind(ct().astype(">i2"), None, image.header.as_byteswapped(">"))
    path = folder / "a.nii.gz"
    nib.save(image, path)
    source = nib.load(path)
    scan = read_scan(path)
    assert np.array_equal(scan.volume.affine, source.affine)
    assert np.array_equal(scan.volume.array, ct())
    labels = scan.volume.like((scan.volume.array > 0).astype(np.uint8), Kind.LABELS)
    back = nib.load(write_labels(folder / "b.nii.gz", labels, scan))
    assert back.affine.tobytes() == source.affine.tobytes()
    for name in ("qform_code", "sform_code", "pixdim", "srow_x", "quatern_b", "qoffset_z"):
        assert np.array_equal(back.header[name], source.header[name])
    assert back.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(back.dataobj), labels.array)


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8", "f4", ">f4", "f8"]
)
def test_stored_types(tmp_path: Path, dtype: str) -> None:
    """Whole HU whatever the type; unsigned types need the intercept."""
    low = 0 if np.dtype(dtype).kind == "u" else -100
    stored = np.random.default_rng(1).integers(low, 127, (5, 6, 7)).astype(dtype)
    image = nib.Nifti1Image(stored, np.eye(4), dtype=stored.dtype)
    path = tmp_path / "t.nii"
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    order = ">" if image.header.endianness == ">" else "<"
    raw[112:120] = np.array([2.0, -60.0], dtype=f"{order}f4").tobytes()
    path.write_bytes(raw)
    expected = np.asarray(nib.load(path).dataobj)
    assert np.array_equal(read_scan(path).volume.array, expected)
    assert expected.min() < 0


def test_fractions_are_rounded(tmp_path: Path) -> None:
    values = np.random.default_rng(1).uniform(-1000, 2000, (5, 6, 7)).astype(np.float32)
    scan = read_scan(written(tmp_path / "f.nii.gz", values, np.eye(4)))
    assert scan.volume.array.dtype == np.int16
    assert np.abs(scan.volume.array - values).max() <= 0.5


def test_padding_and_metal_are_limited(tmp_path: Path) -> None:
    values = ct().astype(np.int32)
    values[0, 0, :4] = [-3024, -2048, -2000, 70000]
    scan = read_scan(written(tmp_path / "p.nii", values, np.eye(4)))
    assert scan.volume.array[0, 0, :4].tolist() == [-1024, -1024, -1024, 32767]
    assert "1 voxels above 32767" in scan.warnings[0]


def test_fourth_axis_of_one(tmp_path: Path) -> None:
    path = written(tmp_path / "four.nii.gz", ct()[..., None], np.eye(4))
    scan = read_scan(path)
    assert scan.volume.shape == (6, 7, 8)
    back = nib.load(write_labels(tmp_path / "l.nii.gz", scan.volume, _signless(scan)))
    assert back.shape == (6, 7, 8)


def _signless(scan):
    """The scan itself; its voxels made small enough to be written as labels."""
    np.clip(scan.volume.array, 0, 3, out=scan.volume.array)
    return scan


def test_header_extension_is_skipped(tmp_path: Path) -> None:
    image = nib.Nifti1Image(ct(), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 5000))
    nib.save(image, tmp_path / "e.nii.gz")
    assert np.array_equal(read_scan(tmp_path / "e.nii.gz").volume.array, ct())


def test_the_content_decides_whether_it_is_packed(tmp_path: Path) -> None:
    plain = written(tmp_path / "a.nii", ct(), np.eye(4))
    (tmp_path / "b.nii.gz").write_bytes(plain.read_bytes())
    (tmp_path / "c.nii").write_bytes(gzip.compress(plain.read_bytes()))
    for name in ("b.nii.gz", "c.nii"):
        assert np.array_equal(read_scan(tmp_path / name).volume.array, ct())


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"sform_code": 0, "qform_code": 0}, "left and right"),
        ({"qform_code": 1, "qoffset_x": 40.0}, "differ by 40 mm"),
    ],
)
def test_doubtful_places_are_reported(tmp_path: Path, header, words: str) -> None:
    affine = np.diag([0.8, 0.8, 3, 1])
    image = nib.Nifti1Image(ct(), affine)
    image.header.set_qform(affine, code=1)
    image.header.set_sform(affine, code=1)
    path = tmp_path / "d.nii"
    nib.save(image, path)
    raw = nib.Nifti1Header(path.read_bytes()[:348])
    for field, value in header.items():
        raw[field] = value
    path.write_bytes(raw.binaryblock + path.read_bytes()[348:])
    scan = read_scan(path)
    assert words in scan.warnings[0]
    assert np.array_equal(scan.volume.affine, nib.load(path).affine)


def test_values_that_lost_their_intercept_are_reported(tmp_path: Path) -> None:
    scan = read_scan(written(tmp_path / "u.nii", ct() + np.int16(1024), np.eye(4)))
    assert "not in HU" in scan.warnings[0]


def test_dicom_and_nifti_of_one_scan_agree(tmp_path: Path) -> None:
    write_series(tmp_path / "d", body())
    one = read_scan(tmp_path / "d")
    image = nib.Nifti1Image(one.volume.array, one.volume.affine)
    nib.save(image.as_reoriented([[1, -1], [2, 1], [0, -1]]), tmp_path / "n.nii.gz")
    two = read_scan(tmp_path / "n.nii.gz").volume.reoriented("LPS")
    assert np.array_equal(one.volume.array, two.array)
    assert one.volume.same_grid(two)


def test_labels_of_a_dicom_scan(tmp_path: Path) -> None:
    write_series(tmp_path / "d", body())
    scan = read_scan(tmp_path / "d")
    labels = scan.volume.like((scan.volume.array > 0).astype(np.uint8), Kind.LABELS)
    back = nib.load(write_labels(tmp_path / "out" / "s.nii.gz", labels, scan))
    assert np.allclose(back.affine, scan.volume.affine, atol=1e-4)
    assert np.allclose(back.get_qform(), scan.volume.affine, atol=1e-3)
    assert np.array_equal(np.asarray(back.dataobj), labels.array)


def test_labels_of_a_tilted_scan_have_no_false_qform(tmp_path: Path) -> None:
    orientation = [1, 0, 0, 0, np.cos(0.3), -np.sin(0.3)]
    write_series(tmp_path / "d", body(), ImageOrientationPatient=[f"{v:.9f}" for v in orientation])
    scan = read_scan(tmp_path / "d")
    labels = scan.volume.like((scan.volume.array > 0).astype(np.uint8), Kind.LABELS)
    back = nib.load(write_labels(tmp_path / "s.nii.gz", labels, scan))
    assert np.allclose(back.affine, scan.volume.affine, atol=1e-4)
    assert back.header["qform_code"] == 0


def test_free_text_of_the_scan_is_not_copied(tmp_path: Path) -> None:
    path = written(tmp_path / "t.nii.gz", ct(), np.eye(4), descrip=b"Muster Erika", db_name=b"4711")
    scan = read_scan(path)
    labels = scan.volume.like((scan.volume.array > 0).astype(np.uint8), Kind.LABELS)
    content = gzip.decompress(write_labels(tmp_path / "l.nii.gz", labels, scan).read_bytes())
    assert b"Muster" not in content
    assert b"4711" not in content[:352]


def test_equal_labels_give_equal_files(tmp_path: Path) -> None:
    scan = read_scan(written(tmp_path / "t.nii.gz", ct(), np.eye(4)))
    labels = scan.volume.like((scan.volume.array > 0).astype(np.uint8), Kind.LABELS)
    one = write_labels(tmp_path / "1.nii.gz", labels, scan).read_bytes()
    assert one == write_labels(tmp_path / "2.nii.gz", labels, scan).read_bytes()


def test_labels_must_fit(tmp_path: Path) -> None:
    scan = read_scan(written(tmp_path / "t.nii.gz", ct(), np.eye(4)))
    with pytest.raises(ValueError, match="grid"):
        write_labels(tmp_path / "l.nii.gz", scan.volume.cropped((slice(1, 3),) * 3), scan)
    with pytest.raises(ValueError, match="fit uint8"):
        write_labels(tmp_path / "l.nii.gz", scan.volume, scan)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.nii.gz"]


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "result.bin"
    target.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with (
            pytest.raises(OutputError, match=r"result\.bin was not written: the disk is full"),
            whole_file(target) as file,
        ):
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.bin"]


def test_read_only_folder(tmp_path: Path) -> None:
    """As another user, since root may write anywhere."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with (
            pytest.raises(OutputError, match="no permission; choose another output folder"),
            whole_file(folder / "a"),
        ):
            pass
    finally:
        if root:
            os.seteuid(0)
    assert list(folder.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with (
        pytest.raises(OutputError, match=r"out/a\.bin cannot be written"),
        whole_file(tmp_path / "out" / "a.bin"),
    ):
        pass


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), ValueError(), OSError(errno.ENOSPC, "")])
def test_interruption_leaves_nothing(tmp_path: Path, stop: BaseException) -> None:
    def half() -> None:
        with whole_file(tmp_path / "a") as file:
            file.write(b"half")
            raise stop

    with pytest.raises((KeyboardInterrupt, ValueError, OutputError)):
        half()
    assert list(tmp_path.iterdir()) == []


def test_case_ids_in_a_folder(tmp_path: Path) -> None:
    for folder in ("case_00001", "case_00002"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "imaging.nii.gz", ct(), np.eye(4))
        labels = (ct() > 0).astype(np.uint8)
        written(tmp_path / folder / "segmentation.nii.gz", labels, np.eye(4))
        written(tmp_path / folder / "ct.nii.gz", ct(), np.eye(4))
    ids = [s.case_id for s in find_scans([tmp_path])]
    assert ids == ["case_00001_ct", "case_00001", "case_00002_ct", "case_00002"]


def test_equal_names_stay_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii", ct(), np.eye(4))
    ids = [s.case_id for s in find_scans([path, path, path])]
    assert len(set(ids)) == 3


def test_labels_carry_their_names_in_the_header(tmp_path: Path) -> None:
    volume = ct()
    path = written(tmp_path / "scan.nii.gz", volume, np.diag([2.0, 3.0, 4.0, 1.0]))
    scan = read_scan(path)
    labels = np.zeros(scan.volume.shape, np.uint8)
    labels[2:4, 1:3, 1:2] = 3
    write_labels(tmp_path / "l.nii.gz", scan.volume.like(labels, Kind.LABELS), scan)
    image = nib.load(tmp_path / "l.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), labels)
    (extension,) = image.header.extensions
    table = ElementTree.fromstring(extension.text.strip()).find(".//LabelTable")
    assert {int(one.get("Key")): one.text for one in table} == {
        0: "background", 1: "kidney", 2: "tumor", 3: "cyst"
    }  # fmt: skip
    assert image.header["vox_offset"] % 16 == 0
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "l.nii.gz")))
    np.testing.assert_array_equal(read.T, labels)
