"""DICOM as careless exporters leave it: read where other values tell, else refused rightly."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import body, hu_at, world_grid, write_enhanced, write_series
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid

from renalis.errors import InputError
from renalis.io import find_scans, read_scan


def assert_body(scan, slices: int = 12) -> None:
    """Every voxel has the HU that belongs to its place in the patient."""
    assert scan.volume.shape == (32, 24, slices)
    assert np.abs(hu_at(world_grid(scan.volume)) - scan.volume.array).max() < 1e-3


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_scan(path)
    message = str(caught.value)
    assert path.name in message
    assert "; " in message
    return message


def disc(folder: Path, hu: np.ndarray) -> Path:
    """A disc with a DICOMDIR as the standard has it."""
    index = FileSet()
    for file in write_series(folder.parent / "made", hu, StudyID="1"):
        index.add(file)
    index.write(folder)
    assert (folder / "DICOMDIR").is_file()
    return folder


def test_a_dicomdir_is_an_index_and_not_damaged(tmp_path: Path) -> None:
    folder = disc(tmp_path / "disc", body())
    scan = read_scan(folder)
    assert_body(scan)
    assert scan.warnings == ()


@pytest.mark.parametrize("name", ["DICOMDIR", "DIRFILE", "dicomdir"])
def test_an_index_that_breaks_the_standard_is_left_out_by_its_name(
    tmp_path: Path, name: str
) -> None:
    write_series(tmp_path / "d", body())
    (tmp_path / "d" / name).write_bytes(bytes(128) + b"DICM" + bytes(200))
    scan = read_scan(tmp_path / "d")
    assert_body(scan)
    assert scan.warnings == ()


def test_a_dicomdir_stands_for_its_folder(tmp_path: Path) -> None:
    folder = disc(tmp_path / "disc", body())
    (source,) = find_scans([folder / "DICOMDIR"])
    assert source.case_id == "disc"
    assert_body(read_scan(source))
    assert_body(read_scan(folder / "DICOMDIR"))


def test_a_dicomdir_without_its_images_says_so(tmp_path: Path) -> None:
    folder = disc(tmp_path / "disc", body())
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    for path in (folder, folder / "DICOMDIR"):
        message = refusal(path) if path.is_dir() else str(find_scans([path])[0].problem)
        assert "only lists the images" in message
        assert "damaged" not in message
        assert message.endswith("copy the whole disc")


def test_a_dicomdir_in_a_zip(tmp_path: Path) -> None:
    folder = disc(tmp_path / "disc", body())
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, file.relative_to(folder))
    scan = read_scan(tmp_path / "disc.zip")
    assert_body(scan)
    assert scan.warnings == ()


def same_position(data: Dataset, index: int) -> None:
    """The first slice's position in every slice, the true one kept as SliceLocation."""
    data.SliceLocation = data.ImagePositionPatient[2]
    data.ImagePositionPatient = [-100, -80, 20]


@pytest.mark.parametrize("rising", [1, -1])
@pytest.mark.parametrize("counted", [1, -1])
def test_one_position_in_all_slices_is_read_by_slice_location(
    tmp_path: Path, rising: int, counted: int
) -> None:
    """SliceLocation rises to the head or to the feet, numbers run either way."""

    def change(data: Dataset, index: int) -> None:
        same_position(data, index)
        data.SliceLocation = rising * data.SliceLocation
        data.InstanceNumber = index + 1 if counted == 1 else 12 - index

    write_series(tmp_path, body(), change=change)
    scan = read_scan(tmp_path)
    assert_body(scan)
    (note,) = scan.warnings
    assert "all 12 images have the same ImagePositionPatient" in note
    assert "SliceLocation" in note
    assert "taken" not in note


@pytest.mark.parametrize(
    ("position", "sign", "words"), [("HFS", 1, "rise to the head"), ("FFS", -1, "rise to the feet")]
)
def test_the_direction_is_said_where_only_habit_tells_it(
    tmp_path: Path, position: str, sign: int, words: str
) -> None:
    """As in a real series: SliceLocation counts from 0, the position belongs to another slice."""

    def change(data: Dataset, index: int) -> None:
        same_position(data, index)
        data.SliceLocation = sign * 3 * index
        data.ImagePositionPatient = [-100, -80, 777]
        data.PatientPosition = position

    hu = body()
    write_series(tmp_path, hu, change=change)
    scan = read_scan(tmp_path)
    assert np.array_equal(scan.volume.array.T, hu)
    assert np.allclose(scan.volume.affine[:3, 2], (0, 0, 3))
    assert words in scan.warnings[0]
    assert "head and feet may be exchanged" in scan.warnings[0]


@pytest.mark.parametrize("rising", [1, -1])
def test_one_position_in_half_of_the_slices_is_read_by_slice_location(
    tmp_path: Path, rising: int
) -> None:
    def change(data: Dataset, index: int) -> None:
        data.SliceLocation = rising * 3 * index
        if index >= 6:
            data.ImagePositionPatient = [-100, -80, 35]

    write_series(tmp_path, body(), change=change)
    scan = read_scan(tmp_path)
    assert_body(scan)
    (note,) = scan.warnings
    assert "7 of 12 images have the same ImagePositionPatient" in note


def test_positions_that_slice_location_contradicts_stay(tmp_path: Path) -> None:
    def change(data: Dataset, index: int) -> None:
        data.SliceLocation = 4 * index
        data.SliceThickness = 4
        if index >= 6:
            data.ImagePositionPatient = [-100, -80, 35]

    write_series(tmp_path, body(), change=change)
    scan = read_scan(tmp_path)
    assert_body(scan, 6)
    assert "6 slices were left out because another one lies in the same place" in scan.warnings[0]


def test_a_missing_slice_is_still_found_by_slice_location(tmp_path: Path) -> None:
    files = write_series(tmp_path, body(), change=same_position)
    files[5].unlink()
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert "1 slice was missing" in " ".join(scan.warnings)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"SliceLocation": None}, "and no SliceLocation"),
        ({"SliceLocation": "20"}, "the same SliceLocation, as of a bolus tracker"),
        ({"InstanceNumber": 1}, "do not agree on where they lie"),
        ({"SpacingBetweenSlices": "5"}, "do not agree on where they lie"),
        ({"SliceThickness": "1"}, "do not agree on where they lie"),
        ({"SliceThickness": None}, "do not agree on where they lie"),
        (
            {"ImageOrientationPatient": [1, 0, 0, 0, 0.9659258, 0.2588190]},
            "do not agree on where they lie",
        ),
        (
            {"ImagePositionPatient": [0, 0, 777], "PatientPosition": ""},
            "nothing tells in which direction",
        ),
    ],
)
def test_one_position_in_all_slices_is_refused_for_the_reason(
    tmp_path: Path, tags: dict, words: str
) -> None:
    def change(data: Dataset, index: int) -> None:
        same_position(data, index)
        for tag, value in tags.items():
            if value is None:
                delattr(data, tag)
            else:
                setattr(data, tag, value)

    write_series(tmp_path, body(), change=change)
    message = refusal(tmp_path)
    assert "all 12 images have the same ImagePositionPatient" in message
    assert words in message
    assert "only one slice" not in message


def own_series(data: Dataset, index: int) -> None:
    data.SeriesInstanceUID = generate_uid()


def own_study(data: Dataset, index: int) -> None:
    data.SeriesInstanceUID, data.StudyInstanceUID = generate_uid(), generate_uid()


@pytest.mark.parametrize("change", [own_series, own_study])
def test_a_series_for_each_slice_is_put_together(tmp_path: Path, change) -> None:
    write_series(tmp_path / "p", body(), change=change)
    (source,) = find_scans([tmp_path / "p"])
    assert source.case_id == "p"
    scan = read_scan(source)
    assert_body(scan)
    (note,) = scan.warnings
    uid = "StudyInstanceUID" if change is own_study else "SeriesInstanceUID"
    assert f"each of 12 slices has a {uid} of its own; they were put together" in note


@pytest.mark.parametrize("each", [2, 5, 7])
def test_a_series_for_every_few_slices_is_put_together(tmp_path: Path, each: int) -> None:
    def change(data: Dataset, index: int) -> None:
        data.SeriesInstanceUID = f"1.2.3.1.5.{index // each}"

    write_series(tmp_path / "p", body(), change=change)
    scan = read_scan(tmp_path / "p")
    assert_body(scan)
    (note,) = scan.warnings
    assert f"12 slices of one stack have {-(-12 // each)} different SeriesInstanceUIDs" in note


def test_series_of_other_places_stay_apart(tmp_path: Path) -> None:
    """Instance numbers begin again, or a gap lies between: as of chest and abdomen."""
    for number in (1, 2):
        uid = f"1.2.3.1.{number}"
        origin = (-100.0, -80.0, 200.0 * number)
        write_series(tmp_path / f"{number}", body(), SeriesInstanceUID=uid, origin=origin)
    assert read_scan(tmp_path).volume.shape == (32, 24, 12)


@pytest.mark.parametrize("length", [*range(370, 450, 9), 700, 1000])
def test_a_slice_cut_short_anywhere_is_no_other_study(tmp_path: Path, length: int) -> None:
    file = write_series(tmp_path / "p", body())[5]
    file.write_bytes(file.read_bytes()[:length])
    (source,) = find_scans([tmp_path / "p"])
    assert source.case_id == "p"


def test_a_series_for_each_slice_with_one_position(tmp_path: Path) -> None:
    def change(data: Dataset, index: int) -> None:
        own_series(data, index)
        same_position(data, index)

    write_series(tmp_path, body(), change=change)
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert len(scan.warnings) == 2


def test_two_series_with_an_uid_for_each_slice_stay_two(tmp_path: Path) -> None:
    write_series(tmp_path / "a", body(), change=own_series)
    write_series(
        tmp_path / "b",
        body(8),
        change=own_series,
        SeriesNumber=6,
        SeriesDescription="Lung",
        ConvolutionKernel="B70f",
    )
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert [(o.name, o.slice_count) for o in scan.source.others] == [("6", 8)]


@pytest.mark.parametrize("uid", ["SeriesInstanceUID", "StudyInstanceUID"])
def test_a_series_for_each_slice_that_is_no_stack_is_refused_for_the_reason(
    tmp_path: Path, uid: str
) -> None:
    def change(data: Dataset, index: int) -> None:
        own_series(data, index) if uid == "SeriesInstanceUID" else own_study(data, index)
        data.InstanceNumber = 1

    write_series(tmp_path, body(), change=change)
    message = refusal(tmp_path)
    assert f"each of 12 slices has a {uid} of its own" in message
    assert "do not make them one stack" in message
    assert "only one slice" not in message


def test_series_numbers_for_each_slice_are_named(tmp_path: Path) -> None:
    def change(data: Dataset, index: int) -> None:
        own_series(data, index)
        data.SeriesNumber = index + 1

    write_series(tmp_path, body(), change=change)
    assert re.search("only one slice, and so have 11 other series here", refusal(tmp_path))


def plain_multiframe(path: Path, hu: np.ndarray, **tags) -> Path:
    """A multi-frame CT without functional groups, as secondary-capture exporters write it."""
    data = pydicom.dcmread(write_series(path.parent / "one", hu[:1])[0])
    data.NumberOfFrames = len(hu)
    data.PixelData = (hu.astype(np.int32) + 1024).astype("<u2").tobytes()
    for tag, value in tags.items():
        setattr(data, tag, value)
    data.save_as(path)
    shutil.rmtree(path.parent / "one")
    return path


def test_a_multiframe_without_positions_is_named(tmp_path: Path) -> None:
    path = plain_multiframe(tmp_path / "m.dcm", body())
    message = refusal(path)
    assert "one file of 12 frames that have no positions of their own" in message
    assert "only one slice" not in message


def test_a_multiframe_with_slice_locations_is_read(tmp_path: Path) -> None:
    locations = [20.0 + 3 * k for k in range(12)]
    path = plain_multiframe(tmp_path / "m.dcm", body(), SliceLocationVector=locations)
    scan = read_scan(path)
    assert_body(scan)
    assert "SliceLocation" in scan.warnings[0]
    assert [s.frame for s in scan.source.slices] == list(range(12))


def test_a_multiframe_with_a_hostile_count_is_refused(tmp_path: Path) -> None:
    path = plain_multiframe(tmp_path / "m.dcm", body(), NumberOfFrames=2_000_000_000)
    assert "2000000000 frames" in refusal(path)


@pytest.mark.parametrize("uids", [True, False])
def test_a_copied_folder_is_no_second_phase(tmp_path: Path, uids: bool) -> None:
    """Twice the same SOPInstanceUIDs; also without a StudyInstanceUID, where folders count."""

    def change(data: Dataset, index: int) -> None:
        if not uids:
            del data.StudyInstanceUID

    write_series(tmp_path / "a", body(), change=change)
    shutil.copytree(tmp_path / "a", tmp_path / "copy of a")
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert scan.source.others == ()
    (note,) = scan.warnings
    assert "12 of its images lie there more than once; one copy of each was read" in note
    assert {s.file.split("/")[0] for s in scan.source.slices} == {"a"}


def test_of_two_copies_the_whole_one_is_read(tmp_path: Path) -> None:
    files = write_series(tmp_path / "a", body())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    files[3].write_bytes(files[3].read_bytes()[:-300])
    assert_body(read_scan(tmp_path))


def test_equal_instance_uids_at_different_places_are_no_copies(tmp_path: Path) -> None:
    write_series(tmp_path, body(), SOPInstanceUID="1.2.3.4")
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert scan.warnings == ()


@pytest.mark.parametrize("point", [b",", b"."])
def test_decimal_commas_are_read_and_named(tmp_path: Path, point: bytes) -> None:
    for file in write_series(tmp_path, body()):
        raw = file.read_bytes()
        raw = raw.replace(b"0.9\\0.7", b"0.9\\0.7".replace(b".", point))
        raw = re.sub(rb"(-?\d+)\.000000", rb"\1" + point + b"000000", raw)
        raw = raw.replace(b"-1024\0", b"-1024\0").replace(b"3.0 ", b"3" + point + b"0 ")
        file.write_bytes(raw)
    scan = read_scan(tmp_path)
    assert_body(scan)
    if point == b".":
        assert scan.warnings == ()
    else:
        (note,) = scan.warnings
        assert "decimal commas" in note
        assert "PixelSpacing" in note
        assert "ImagePositionPatient" in note


@pytest.mark.parametrize("spacing", [b"0,9,0,7", b"0.9mm  ", b"0.9    "])
def test_a_spacing_that_is_no_number_is_named(tmp_path: Path, spacing: bytes) -> None:
    for file in write_series(tmp_path, body()):
        file.write_bytes(file.read_bytes().replace(b"0.9\\0.7", spacing))
    assert "PixelSpacing holds no numbers that can be used" in refusal(tmp_path)


def test_an_intercept_that_is_no_number_is_not_taken_for_none(tmp_path: Path) -> None:
    for file in write_series(tmp_path, body()):
        file.write_bytes(file.read_bytes().replace(b"-1024 ", b"-1024x"))
    assert "RescaleIntercept holds no numbers" in refusal(tmp_path)


def test_slices_that_lost_their_position_are_named(tmp_path: Path) -> None:
    def change(data: Dataset, index: int) -> None:
        if index in (4, 5):
            del data.ImagePositionPatient

    write_series(tmp_path, body(), change=change)
    scan = read_scan(tmp_path)
    assert_body(scan)
    assert "2 of its slices left out (no position in the patient)" in " ".join(scan.warnings)


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("ImageOrientationPatient", "no orientation in the patient"),
        ("ImagePositionPatient", "no position in the patient"),
        ("PixelSpacing", "no pixel spacing"),
    ],
)
def test_the_missing_value_is_named(tmp_path: Path, tag: str, words: str) -> None:
    write_series(tmp_path, body(), change=lambda data, index: delattr(data, tag))
    assert f"({words})" in refusal(tmp_path)


def test_what_to_do_follows_from_the_reason(tmp_path: Path) -> None:
    write_series(tmp_path / "a", body(), change=lambda data, index: delattr(data, "PixelSpacing"))
    assert refusal(tmp_path / "a").endswith(
        "; export the series again, best from the archive that it came from"
    )
    write_series(tmp_path / "b", body(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert refusal(tmp_path / "b").endswith("; give the series with the axial slices")


def test_images_without_a_modality_are_not_called_unknown(tmp_path: Path) -> None:
    write_series(tmp_path, body(), Modality="", SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    assert "holds images that do not say their modality and no CT" in refusal(tmp_path)


def test_secondary_captures_are_named(tmp_path: Path) -> None:
    write_series(tmp_path, body(), SOPClassUID="1.2.840.10008.5.1.4.1.1.7.3")
    assert "secondary captures, not CT slices" in refusal(tmp_path)


def test_a_truncated_multiframe_is_not_to_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "e.dcm"
    write_enhanced(path, body(), [(-100, -80, 20 + 3 * k) for k in range(12)])
    path.write_bytes(path.read_bytes()[:-3000])
    assert refusal(path).endswith("15432 of 18432 bytes of its pixels are there; copy it again")


def test_a_truncated_slice_is_named_in_a_whole_sentence(tmp_path: Path) -> None:
    file = write_series(tmp_path, body())[3]
    file.write_bytes(file.read_bytes()[:-200])
    message = refusal(tmp_path)
    assert "is cut short: 1336 of 1536 bytes of its pixels are there; copy it again" in message
    assert "Error" not in message


def test_files_that_may_not_be_opened_are_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from renalis.io.archive import FolderFiles

    write_series(tmp_path / "d", body())
    opened = FolderFiles.open
    closed = ["0003.dcm"]

    def denied(self, name: str):
        if name in closed:
            raise PermissionError(13, os.strerror(13), name)
        return opened(self, name)

    monkeypatch.setattr(FolderFiles, "open", denied)
    scan = read_scan(tmp_path / "d")
    assert_body(scan)
    assert "1 file in the same place left out because they may not be opened" in scan.warnings[-1]
    closed += [f"{k:04d}.dcm" for k in range(12)]
    message = refusal(tmp_path / "d")
    assert "12 files that may not be opened" in message
    assert "damaged" not in message
