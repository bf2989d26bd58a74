"""DICOM series: place of every voxel, choice of the series, and what scanners do to them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import AXIAL, body, hu_at, world_grid, write_enhanced, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from renalis.errors import InputError
from renalis.io import find_scans, read_scan
from renalis.io.dicom_files import Frame, SeriesTags
from renalis.io.dicom_geometry import grid_of


def assert_body(scan, exact: bool = True) -> None:
    """Every voxel has the HU that belongs to its place in the patient."""
    apart = np.abs(hu_at(world_grid(scan.volume)) - scan.volume.array)
    assert apart.max() <= (1e-3 if exact else 0.51)


def test_plain_series(tmp_path: Path) -> None:
    write_series(tmp_path / "scan7", body())
    scan = read_scan(tmp_path / "scan7")
    assert scan.case_id == "scan7"
    assert scan.volume.shape == (32, 24, 12)
    assert scan.volume.array.dtype == np.int16
    assert scan.volume.orientation == "LPS"
    assert scan.volume.reoriented().array.flags.c_contiguous
    assert np.allclose(scan.volume.spacing, (0.7, 0.9, 3.0))
    assert_body(scan)
    assert scan.warnings == ()


def test_slices_are_named_in_the_order_of_the_volume(tmp_path: Path) -> None:
    write_series(tmp_path, body())
    scan = read_scan(tmp_path)
    assert scan.source.slice_count == 12
    for k, entry in enumerate(scan.source.slices):
        data = pydicom.dcmread(tmp_path / entry.file)
        assert entry.place == k
        assert entry.sop_instance_uid == data.SOPInstanceUID
        assert np.array_equal(data.pixel_array.T.astype(int) - 1024, scan.volume.array[:, :, k])


def test_files_without_extension_in_nested_folders_among_others(tmp_path: Path) -> None:
    hu = body()
    write_series(tmp_path / "a" / "b", hu[:6], name="IM{:d}")
    write_series(tmp_path / "a" / "c", hu[6:], origin=(-100, -80, 38), name="IM{:d}")
    (tmp_path / "a" / "readme.txt").write_text("not DICOM")
    (tmp_path / "a" / "photo.jpg").write_bytes(b"\xff\xd8\xff" + bytes(500))
    (tmp_path / "DICOMDIR").write_bytes(bytes(64))
    scan = read_scan(tmp_path)
    assert scan.volume.shape[2] == 12
    assert_body(scan)


def test_zip_equals_folder(tmp_path: Path) -> None:
    files = write_series(tmp_path / "series", body())
    archive = tmp_path / "case 12.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.write(file, f"x/y/{file.name}")
        packed.writestr("__MACOSX/x/._0001.dcm", b"junk")
        packed.writestr("../../escape.dcm", b"junk")
    scan, folder = read_scan(archive), read_scan(tmp_path / "series")
    assert scan.case_id == "case_12"
    assert np.array_equal(scan.volume.array, folder.volume.array)
    assert np.array_equal(scan.volume.affine, folder.volume.affine)
    assert not (tmp_path.parent / "escape.dcm").exists()


def test_enhanced_multiframe(tmp_path: Path) -> None:
    hu = body()
    order = np.random.default_rng(0).permutation(12)
    write_enhanced(tmp_path / "e.dcm", hu[order], [(-100, -80, 20 + 3 * k) for k in order])
    scan = read_scan(tmp_path / "e.dcm")
    assert_body(scan)
    assert [s.frame for s in scan.source.slices] == np.argsort(order).tolist()


def test_enhanced_multiframe_with_a_slope_per_frame(tmp_path: Path) -> None:
    hu = np.full((4, 8, 8), -1024, np.int16)
    hu[:, 2:6, 2:6] = 100
    path = tmp_path / "e.dcm"
    write_enhanced(path, hu, [(0, 0, k) for k in range(4)], slopes=[1, 1, 2, 1])
    scan = read_scan(path)
    assert scan.volume.array[3, 3].tolist() == [100, 100, 1224, 100]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(
    "orientation", [AXIAL, (-1, 0, 0, 0, -1, 0), (0, 1, 0, -1, 0, 0), (-1, 0, 0, 0, 1, 0)]
)
def test_position_of_the_patient(tmp_path: Path, orientation, direction: int) -> None:
    """Prone, decubitus and feet first: the marked voxel stays where the header puts it."""
    hu = np.zeros((5, 24, 32), np.int16)
    hu[1, 3, 7] = 500
    write_series(
        tmp_path,
        hu,
        origin=(10, 20, 30),
        step=(0, 0, 3 * direction),
        ImageOrientationPatient=list(orientation),
    )
    scan = read_scan(tmp_path)
    (found,) = np.argwhere(scan.volume.array == 500)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lps = np.array([10, 20, 30 + 3 * direction]) + 7 * 0.7 * row + 3 * 0.9 * column
    assert np.allclose(scan.volume.world(found), lps * (-1, -1, 1))


def test_gantry_tilt_shears_the_affine(tmp_path: Path) -> None:
    tilt = np.radians(17)
    hu = body()
    orientation = [1, 0, 0, 0, np.cos(tilt), -np.sin(tilt)]
    write_series(tmp_path, hu, ImageOrientationPatient=[f"{v:.12f}" for v in orientation])
    scan = read_scan(tmp_path)
    assert np.allclose(scan.volume.affine[:3, 2], (0, 0, 3))
    assert np.allclose(scan.volume.affine[:3, 1], (0, -0.9 * np.cos(tilt), -0.9 * np.sin(tilt)))
    assert np.isclose(scan.volume.voxel_ml, 0.7 * 0.9 * 3 * np.cos(tilt) / 1000)
    assert np.array_equal(scan.volume.array.T, hu)
    assert scan.warnings == ()


def test_missing_slices_are_filled_and_reported(tmp_path: Path) -> None:
    keep = [0, 1, 2, 4, 5, 8, 9, 10, 11]
    write_series(tmp_path, body()[keep], places=keep)
    scan = read_scan(tmp_path)
    assert scan.volume.shape[2] == 12
    assert_body(scan)
    (warning,) = scan.warnings
    assert "3 slices were missing" in warning
    assert "29.0, 38.0, 41.0 mm" in warning
    assert [int(s.place) for s in scan.source.slices] == keep


def test_uneven_spacing_is_resampled_to_the_right_places(tmp_path: Path) -> None:
    places = np.array([0, 1, 2, 3.4, 4.3, 5, 6, 7, 8.2, 9, 10, 11])
    hu = body(1)[0] + 10 * places[:, None, None]
    write_series(tmp_path, hu, places=places)
    scan = read_scan(tmp_path)
    assert "unevenly" in scan.warnings[0]
    assert np.isclose(scan.volume.affine[2, 2], 3.0)
    assert_body(scan, exact=False)


def test_rounded_positions_are_one_regular_grid(tmp_path: Path) -> None:
    """0.625 mm steps that a scanner wrote with one decimal are not uneven."""
    places = np.round(np.arange(40) * 0.625, 1)
    write_series(tmp_path, body(40), step=(0, 0, 1), places=places)
    scan = read_scan(tmp_path)
    assert scan.warnings == ()
    assert scan.volume.shape[2] == 40


def test_stray_duplicate_is_left_out_and_reported(tmp_path: Path) -> None:
    hu = body()
    write_series(tmp_path / "a", hu)
    write_series(tmp_path / "b", hu[4:5], origin=(-100, -80, 32))
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert "1 slice was left out" in scan.warnings[0]
    assert "32.0" in scan.warnings[0]


def test_long_hole_keeps_the_longest_part(tmp_path: Path) -> None:
    places = [*range(4), *range(24, 32)]
    hu = body(1)[0] + 10 * np.array(places)[:, None, None]
    write_series(tmp_path, hu, places=places)
    scan = read_scan(tmp_path)
    assert scan.volume.shape[2] == 8
    assert "hole of 63 mm" in scan.warnings[0]
    assert_body(scan)


@pytest.mark.parametrize("told_by", ["AcquisitionNumber", "ConvolutionKernel", "AcquisitionTime"])
def test_two_phases_in_one_series_are_kept_apart(tmp_path: Path, told_by: str) -> None:
    hu = body()
    values = {"AcquisitionNumber": (1, 2), "ConvolutionKernel": ("B30f", "B70f")}
    first, second = values.get(told_by, ("101600", "101700"))
    write_series(tmp_path / "1", hu, **{told_by: first})
    write_series(tmp_path / "2", hu[:11] + 50, **{told_by: second})
    scan = read_scan(tmp_path)
    assert scan.volume.shape[2] == 12
    assert_body(scan)
    assert "2 stacks" in " ".join(scan.warnings)
    (other,) = scan.source.others
    again = read_scan(tmp_path, series=other.name)
    assert again.volume.shape[2] == 11
    assert np.array_equal(again.volume.array, scan.volume.array[:, :, :11] + 50)


def test_two_phases_at_shifted_positions_are_kept_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "1", body(), AcquisitionNumber=1)
    write_series(tmp_path / "2", body(), origin=(-100, -80, 21.1), AcquisitionNumber=2)
    scan = read_scan(tmp_path)
    assert scan.volume.shape[2] == 12
    assert_body(scan)


def test_an_acquisition_number_for_each_slice_splits_nothing(tmp_path: Path) -> None:
    hu = body()

    def number(data: Dataset, index: int) -> None:
        data.AcquisitionNumber = data.InstanceNumber

    write_series(tmp_path / "1", hu, change=number)
    write_series(tmp_path / "2", hu[4:5], origin=(-100, -80, 32), AcquisitionNumber=40)
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert scan.source.others == ()


def test_bolus_tracking_slices_in_the_series_are_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "1", body(), AcquisitionNumber=3)
    for index in range(8):
        folder = tmp_path / f"t{index}"
        write_series(folder, body(1) + 9, origin=(-100, -80, 36.5), AcquisitionNumber=2)
    scan = read_scan(tmp_path)
    assert_body(scan)
    (tracking,) = scan.source.others  # one entry, not eight stacks
    assert (tracking.name, tracking.slice_count) == ("5", 8)
    assert tracking.remark.startswith("8 stacks of at most 1 images")
    assert "choose another one" not in " ".join(scan.warnings)
    with pytest.raises(InputError, match=r"it has: series 5/1 [^;]*; and no volumes \([^;]*\): 5$"):
        read_scan(tmp_path, series="77")


def test_two_regions_in_turn_stay_one_volume(tmp_path: Path) -> None:
    hu = body()
    write_series(tmp_path / "1", hu[:6], AcquisitionNumber=1)
    write_series(tmp_path / "2", hu[6:], origin=(-100, -80, 38), AcquisitionNumber=2)
    assert read_scan(tmp_path).volume.shape[2] == 12


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study as a PACS sends it."""
    folder = tmp_path_factory.mktemp("several")

    def series(number: int, slices: int, description: str, **tags) -> None:
        uid = f"1.2.3.1.{number}"
        write_series(
            folder / f"S{number}",
            body(slices),
            SeriesInstanceUID=uid,
            SeriesNumber=number,
            SeriesDescription=description,
            **{"step": (0, 0, 6.0)} | tags,
        )

    series(1, 2, "Topogram", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    series(2, 24, "Abdomen portal venous 3.0")
    series(3, 18, "Abdomen nativ 5.0")
    series(4, 40, "Schädel 1.0", BodyPartExamined="HEAD")
    series(5, 40, "Abdomen cor", ImageOrientationPatient=[1, 0, 0, 0, 0, -1], step=(0, 3.0, 0))
    series(6, 40, "Abdomen MIP", ImageType=["DERIVED", "SECONDARY", "MIP"])
    series(7, 40, "Lunge Lung 1.0")
    series(8, 3, "Dose Report", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    series(10, 30, "Thorax 3.0")
    series(9, 30, "PET", Modality="PT", SOPClassUID="1.2.840.10008.5.1.4.1.1.128")
    return folder


def test_the_abdominal_axial_series_is_chosen_and_the_others_are_listed(several: Path) -> None:
    scan = read_scan(several)
    assert scan.source.series_description == "Abdomen portal venous 3.0"
    assert scan.source.phase == "nephrographic"
    remarks = {other.name: other.remark for other in scan.source.others}
    assert set(remarks) == {str(n) for n in range(1, 11)} - {"2"}
    assert all(remarks.values())
    assert remarks["1"] == "localizer"
    assert remarks["3"] == "fewer slices"
    assert remarks["5"] == "not axial"
    assert remarks["9"] == "not CT"
    assert remarks["10"] == "does not say that it shows the abdomen"


def test_kept_headers_change_nothing(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (kept,) = find_scans([several])
    assert kept.headers is not None
    monkeypatch.setattr("renalis.io.find._MOST_HEADERS", 100)
    (bare,) = find_scans([several])
    assert not hasattr(bare.headers, "frames")  # where its files are, to read them again
    assert bare == kept
    for series in (None, "3"):
        one, two = read_scan(kept, series), read_scan(bare, series)
        np.testing.assert_array_equal(one.volume.array, two.volume.array)
        np.testing.assert_array_equal(one.volume.affine, two.volume.affine)
        assert (one.source, one.warnings) == (two.source, two.warnings)


@pytest.mark.parametrize("wanted", ["3", "1.2.3.1.3", "Abdomen nativ 5.0", "nativ", "NATIV"])
def test_series_overrules(several: Path, wanted: str) -> None:
    scan = read_scan(several, series=wanted)
    assert scan.source.series_number == "3"
    assert scan.source.phase == "unenhanced"
    assert scan.volume.shape[2] == 18


def test_a_coronal_series_can_be_asked_for(several: Path) -> None:
    scan = read_scan(several, series="5")
    assert scan.volume.orientation[:2] == "LI"
    assert "not axial" in " ".join(scan.warnings)


def test_mixed_sizes_and_directions_in_one_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", body())
    write_series(tmp_path / "b", body(4, 16, 16))
    scan = read_scan(tmp_path)
    assert scan.volume.shape == (32, 24, 12)
    assert_body(scan)
    assert "2 stacks" in " ".join(scan.warnings)


def test_localizers_in_the_same_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", body())
    write_series(
        tmp_path / "b",
        body(2, 40, 40),
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
    )
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert scan.warnings == ()
    assert scan.source.others[0].remark == "localizer"


def test_two_studies_in_one_folder_are_two_cases(tmp_path: Path) -> None:
    write_series(tmp_path / "p1", body())
    write_series(tmp_path / "p2", body(), StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1")
    sources = find_scans([tmp_path])
    assert sorted(s.case_id for s in sources) == ["p1", "p2"]
    for source in sources:
        assert read_scan(source).volume.shape[2] == 12
        assert {s.file[:2] for s in read_scan(source).source.slices} == {source.case_id}


def test_two_studies_in_one_flat_folder(tmp_path: Path) -> None:
    write_series(tmp_path / "f", body(), name="a{:d}")
    write_series(
        tmp_path / "f", body(), name="b{:d}", StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1"
    )
    assert sorted(s.case_id for s in find_scans([tmp_path / "f"])) == ["f_4974ae19", "f_9764dd27"]


def test_the_patients_name_never_becomes_a_case_id(tmp_path: Path) -> None:
    folder = tmp_path / "MUSTER_Erika_CT"
    write_series(folder, body())
    scan = read_scan(folder)
    assert scan.case_id.startswith("case_")
    assert "muster" not in repr(scan.source.case_id).lower()
    assert scan.case_id == read_scan(folder).case_id


def test_padding_becomes_air(tmp_path: Path) -> None:
    hu = body().astype(np.int32)
    hu[:, :4] = -2048

    def signed(data: Dataset, index: int) -> None:
        data.PixelRepresentation, data.BitsStored, data.HighBit = 1, 16, 15
        data.RescaleIntercept = "0"
        data.add_new("PixelPaddingValue", "SS", -2048)
        data.PixelData = hu[index].astype("<i2").tobytes()

    write_series(tmp_path, hu, change=signed)
    scan = read_scan(tmp_path)
    assert (scan.volume.array[:, :4] == -1024).all()
    assert np.array_equal(scan.volume.array.T[:, 4:], hu[:, 4:])


def test_padding_with_a_value_of_tissue_only_counts_at_the_edge(tmp_path: Path) -> None:
    hu = np.full((4, 20, 20), 40, np.int32)
    hu[:, :3] = 0
    hu[:, 10:12, 10:12] = 0

    def padded(data: Dataset, index: int) -> None:
        data.add_new("PixelPaddingValue", "US", 1024)

    write_series(tmp_path, hu, change=padded)
    image = read_scan(tmp_path).volume.array.T
    assert (image[:, :3] == -1024).all()
    assert (image[:, 10:12, 10:12] == 0).all()


def test_high_unsigned_padding(tmp_path: Path) -> None:
    def padded(data: Dataset, index: int) -> None:
        data.BitsStored, data.HighBit = 16, 15
        stored = np.frombuffer(data.PixelData, "<u2").copy()
        stored[:40] = 63536
        data.PixelData = stored.tobytes()
        data.add_new("PixelPaddingValue", "US", 63536)

    write_series(tmp_path, body(), change=padded)
    image = read_scan(tmp_path).volume.array.T.reshape(12, -1)
    assert (image[:, :40] == -1024).all()
    assert image.max() == body().max()


def test_slope_and_intercept_of_each_slice(tmp_path: Path) -> None:
    hu = np.zeros((4, 8, 8), np.int16)
    hu[:, 2:, 2:] = 100

    def scaled(data: Dataset, index: int) -> None:
        data.RescaleSlope = ["1", "2", "0.5", "1"][index]
        data.RescaleIntercept = ["-1024", "-1024", "-1024.4", "0"][index]

    write_series(tmp_path, hu, change=scaled)
    image = read_scan(tmp_path).volume.array
    assert image[5, 5].tolist() == [100, 1224, -462, 1124]


@given(
    angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    step=st.floats(0.3, 8),
    shear=st.floats(-0.5, 0.5),
    keep=st.sets(st.integers(1, 14), min_size=9, max_size=14),
)
@settings(max_examples=60, deadline=None)
def test_every_slice_keeps_its_position(angles, step: float, shear: float, keep) -> None:
    """Oblique, tilted, with gaps: the affine puts each used slice where its header does."""
    a, b, c = angles
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    axes = turn_z @ turn_y @ turn_x
    move = step * (axes[:, 2] + shear * axes[:, 1])
    places = [0, *sorted(keep), 15]
    frames = [
        Frame(
            SeriesTags("1", "1"), str(p), 0, "", "", rows=7, columns=5, spacing=(0.8, 0.6),
            position=tuple(np.array([5.0, -7, 9]) + p * move),
            orientation=(*axes[:, 0], *axes[:, 1]), instance=-p,
        )
        for p in reversed(places)
    ]  # fmt: skip
    grid = grid_of(frames)
    flip = np.diag([-1, -1, 1, 1.0])
    lps = flip @ grid.affine
    assert not grid.uneven
    assert grid.shape == (5, 7, grid.places[-1] + 1)
    for frame, place in zip(grid.frames, grid.places, strict=True):
        index = np.array([2, 3, place, 1])
        expected = np.array(frame.position) + axes[:, 0] * 0.6 * 2 + axes[:, 1] * 0.8 * 3
        assert np.allclose((lps @ index)[:3], expected, atol=1e-6)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_uncompressed_syntaxes(tmp_path: Path, syntax) -> None:
    def recode(data: Dataset, index: int) -> None:
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
            data["PixelData"].VR = "OW"

    write_series(tmp_path, body(), change=recode)
    assert_body(read_scan(tmp_path))


def test_without_preamble(tmp_path: Path) -> None:
    """Files from before DICOM part 10: no preamble, no meta header."""
    for file in write_series(tmp_path, body()):
        data = pydicom.dcmread(file)
        buffer = io.BytesIO()
        del data.file_meta
        pydicom.dcmwrite(buffer, data, implicit_vr=True, little_endian=True)
        file.write_bytes(buffer.getvalue())
    assert_body(read_scan(tmp_path))


def test_uids_are_not_needed_to_differ(tmp_path: Path) -> None:
    """Anonymized series without a study UID or series number still are one series."""

    def strip(data: Dataset, index: int) -> None:
        for tag in ("StudyInstanceUID", "SeriesNumber", "SeriesDescription", "PatientName"):
            delattr(data, tag)
        data.FrameOfReferenceUID = generate_uid()

    write_series(tmp_path, body(), change=strip)
    assert_body(read_scan(tmp_path))
