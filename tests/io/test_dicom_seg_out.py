"""DICOM Segmentations that are written: codes, references, and every voxel in its place."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import body, write_enhanced, write_series
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io import Scan, find_scans, read_scan
from renalis.io.segments.dicom_seg import read_dicom_seg
from renalis.io.segments.dicom_seg_out import SegKind, write_dicom_seg
from renalis.io.segments.facts import Maker, SegmentFacts
from renalis.io.segments.segmented_study import SegmentedStudy
from renalis.io.segments.stored import placed
from renalis.volume import Kind, Volume

FACTS = (
    SegmentFacts("left", "Left kidney", Label.KIDNEY, "left"),
    SegmentFacts("tumor-1", "Tumor 1 (left side)", Label.TUMOR, "left"),
    SegmentFacts("cyst-1", "Cyst 1", Label.CYST, "other"),
)
MAKER = Maker("0.1.0", "renalis-kidney 11")
TURN = (0.96, 0.28, 0.0, -0.28, 0.96, 0.0)
SLANTED = (1.0, 0.0, 0.0, 0.0, 0.8, 0.6)
GEOMETRIES: dict[str, dict[str, Any]] = {
    "axial": {},
    "reversed": {"step": (0.0, 0.0, -3.0)},
    "mirrored rows": {"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]},
    "turned": {"ImageOrientationPatient": list(TURN)},
    "oblique": {"ImageOrientationPatient": list(SLANTED), "step": (0.0, -1.8, 2.4)},
    "tilted gantry": {"ImageOrientationPatient": list(SLANTED), "step": (0.0, 0.0, 3.0)},
    "thick": {"step": (0.0, 0.0, 10.0), "SliceThickness": "10"},
    "positions of one decimal": {"step": (0.0, 0.0, 1.25), "origin": (-100.1, -80.3, 20.2)},
}


def numbers_on(scan: Scan) -> Volume:
    """Three structures of odd shapes, so that no mirror image passes; none in the end slices."""
    array = np.zeros(scan.volume.shape, np.uint16)
    array[4:13, 3:9, 2:8] = 1
    array[4:6, 3:5, 2:9] = 0
    array[10:13, 7:11, 6:9] = 2
    array[20:23, 12:20, 3:6] = 3
    array[22, 12, 3] = 0
    return Volume(array, scan.volume.affine, Kind.LABELS)


def written(folder: Path, scan: Scan, name: str = "segmentation.dcm") -> Path:
    write_dicom_seg(folder / name, SegmentedStudy.of(numbers_on(scan), FACTS, scan, MAKER))
    return folder / name


def series(folder: Path, **how: Any) -> Scan:
    write_series(folder / "series", body(), **how)
    return read_scan(folder / "series")


def world_voxels(path: Path, number: int) -> set[tuple[float, ...]]:
    """Centers of a segment's voxels (RAS+, mm), by each frame's own place, with pydicom alone."""
    data = pydicom.dcmread(path)
    shared = data.SharedFunctionalGroupsSequence[0]
    turn = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    rows, columns = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    found = set()
    for item, frame in zip(data.PerFrameFunctionalGroupsSequence, data.pixel_array, strict=True):
        assert frame.any()  # empty frames are left out
        if item.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        start = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(frame):
            place = start + turn[:3] * columns * column + turn[3:] * rows * row
            found.add(tuple(np.round(place * (-1, -1, 1), 2) + 0.0))
    return found


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_voxel_lies_where_the_scan_has_it(tmp_path: Path, name: str) -> None:
    scan = series(tmp_path, **GEOMETRIES[name])
    numbers = numbers_on(scan)
    path = written(tmp_path, scan)
    for number in (1, 2, 3):
        places = scan.volume.world(np.argwhere(numbers.array == number))
        assert world_voxels(path, number) == {tuple(p) for p in np.round(places, 2) + 0.0}
    kinds = np.array([0, *(facts.label for facts in FACTS)])
    read = placed(read_dicom_seg(path), scan.volume, "it")
    np.testing.assert_array_equal(read.volume.array, kinds[numbers.array])


@pytest.mark.parametrize("name", [name for name in GEOMETRIES if name != "tilted gantry"])
def test_highdicom_reads_the_same_volume(tmp_path: Path, name: str) -> None:
    scan = series(tmp_path, **GEOMETRIES[name])
    seg = highdicom.seg.segread(written(tmp_path, scan))
    volume = seg.get_volume(combine_segments=True)
    where = np.argwhere(volume.array)
    places = np.c_[where, np.ones(len(where))] @ volume.affine.T
    own = scan.volume.index(places[:, :3] * (-1, -1, 1))
    np.testing.assert_allclose(own, np.rint(own), atol=0.02)
    found = np.zeros(scan.volume.shape, int)
    found[tuple(np.rint(own).astype(int).T)] = volume.array[tuple(where.T)]
    np.testing.assert_array_equal(found, numbers_on(scan).array)


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.floats(0.6, 6.0), st.integers(12, 40))
def test_jittery_positions_are_read_back_as_they_were_written(
    seed: int, step: float, slices: int
) -> None:
    """Whatever jitter a series may have that is read as even, its segmentation is read as well."""
    rng = np.random.default_rng(seed)
    most = 0.95 * min(0.2 * step, max(0.1, 0.1 * step), 0.3) / step

    def jittery(data: pydicom.Dataset, index: int) -> None:
        x, y, z = (float(v) for v in data.ImagePositionPatient)
        aside = rng.uniform(-0.1, 0.1, 2) if 0 < index < slices - 1 else (0, 0)
        data.ImagePositionPatient = [f"{v:.3f}" for v in (x + aside[0], y + aside[1], z)]

    shift = np.r_[0, rng.uniform(-most, most, slices - 2), 0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        places = np.arange(slices) + shift
        write_series(path / "series", body(slices), step=(0, 0, step), places=places,
                     change=jittery)  # fmt: skip
        scan = read_scan(path / "series")
        assert not any("unevenly" in note for note in scan.warnings)
        array = np.zeros(scan.volume.shape, np.uint16)
        for number in (1, 2, 3):
            array[5 * number : 5 * number + 4, 4:9, rng.random(slices) < 0.3] = number
            array[5 * number, 4, rng.integers(slices)] = number
        numbers = Volume(array, scan.volume.affine, Kind.LABELS)
        write_dicom_seg(path / "s.dcm", SegmentedStudy.of(numbers, FACTS, scan, MAKER))
        read = placed(read_dicom_seg(path / "s.dcm"), scan.volume, "it")
    kinds = np.array([0, *(facts.label for facts in FACTS)])
    np.testing.assert_array_equal(read.volume.array, kinds[array])


def test_two_slices_far_apart_do_not_become_thick_ones(tmp_path: Path) -> None:
    scan = series(tmp_path)
    array = np.zeros(scan.volume.shape, np.uint16)
    array[4:13, 3:9, [1, 10]] = 1
    numbers = Volume(array, scan.volume.affine, Kind.LABELS)
    write_dicom_seg(tmp_path / "s.dcm", SegmentedStudy.of(numbers, FACTS[:1], scan, MAKER))
    read = placed(read_dicom_seg(tmp_path / "s.dcm"), scan.volume, "it")
    np.testing.assert_array_equal(read.volume.array, array)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_our_reader_reads_label_maps_voxel_for_voxel(tmp_path: Path, name: str) -> None:
    scan = series(tmp_path, **GEOMETRIES[name])
    study = SegmentedStudy.of(numbers_on(scan), FACTS, scan, MAKER)
    write_dicom_seg(tmp_path / "s.dcm", study, SegKind.LABELMAP)
    read = placed(read_dicom_seg(tmp_path / "s.dcm"), scan.volume, "it")
    kinds = np.array([0, *(facts.label for facts in FACTS)])
    np.testing.assert_array_equal(read.volume.array, kinds[numbers_on(scan).array])
    assert read.notes == ()


def test_patient_study_place_codes_and_maker(tmp_path: Path) -> None:
    scan = series(tmp_path, PatientSex="F", PatientBirthDate="19700102", StudyID="9")
    data = pydicom.dcmread(written(tmp_path, scan))
    assert (data.PatientName, data.PatientID, data.PatientSex) == ("Muster^Erika", "4711", "F")
    assert (data.StudyInstanceUID, data.FrameOfReferenceUID) == ("1.2.3.1", "1.2.3.9")
    assert data.SeriesInstanceUID != "1.2.3.1.5"
    assert (data.Modality, data.SegmentationType) == ("SEG", "BINARY")
    assert data.SegmentsOverlap == "NO"
    kidney, tumor, cyst = data.SegmentSequence
    assert [s.TrackingID for s in data.SegmentSequence] == ["left", "tumor-1", "cyst-1"]
    assert len({s.TrackingUID for s in data.SegmentSequence}) == 3
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeValue == "64033007"
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    assert tumor.SegmentedPropertyTypeCodeSequence[0].CodeValue == "108369006"
    region = tumor.AnatomicRegionSequence[0]
    assert region.CodeValue == "64033007"
    assert region.AnatomicRegionModifierSequence[0].CodeValue == "7771000"
    assert cyst.SegmentedPropertyTypeCodeSequence[0].CodeValue == "367643001"
    assert "AnatomicRegionModifierSequence" not in cyst.AnatomicRegionSequence[0]
    algorithm = tumor.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("renalis", "0.1.0")
    assert "renalis-kidney 11" in algorithm.AlgorithmParameters


def derived(path: Path) -> list[tuple[str, float]]:
    """SOPInstanceUID of each frame's image (empty: none), and the frame's z."""
    found = []
    for item in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        steps = item.DerivationImageSequence
        uid = steps[0].SourceImageSequence[0].ReferencedSOPInstanceUID if steps else ""
        found.append((uid, float(item.PlanePositionSequence[0].ImagePositionPatient[2])))
    return found


def test_each_frame_names_the_image_that_it_lies_on(tmp_path: Path) -> None:
    scan = series(tmp_path)
    path = written(tmp_path, scan)
    at = {one.sop_instance_uid: one.position[2] for one in scan.source.slices}
    assert derived(path)
    assert all(at[uid] == z for uid, z in derived(path))
    (entry,) = pydicom.dcmread(path).ReferencedSeriesSequence
    assert entry.SeriesInstanceUID == "1.2.3.1.5"
    named = {one.ReferencedSOPInstanceUID for one in entry.ReferencedInstanceSequence}
    assert named == set(at)


def test_images_left_out_while_reading_are_not_named(tmp_path: Path) -> None:
    places = [0, 1, 2, 3, 4, 4, 6, 7, 8, 9, 10, 11]  # one twice, one missing
    files = write_series(tmp_path / "series", body(), places=places)
    scan = read_scan(tmp_path / "series")
    path = written(tmp_path, scan)
    uids = [pydicom.dcmread(file).SOPInstanceUID for file in files]
    (entry,) = pydicom.dcmread(path).ReferencedSeriesSequence
    named = {one.ReferencedSOPInstanceUID for one in entry.ReferencedInstanceSequence}
    assert named == {uid for number, uid in enumerate(uids) if number != 5}
    without = {z for uid, z in derived(path) if not uid}
    assert without == {35.0}  # interpolated, in the place of the missing one


def test_unevenly_spaced_images_are_named_for_the_whole_alone(tmp_path: Path) -> None:
    places = np.cumsum([0, 1, 1, 1.4, 1, 1, 0.7, 1, 1, 1.3, 1, 1])
    scan = series(tmp_path, places=places)
    path = written(tmp_path, scan)
    assert {uid for uid, _ in derived(path)} == {""}
    assert len(pydicom.dcmread(path).SourceImageSequence) == 12
    assert world_voxels(path, 3) == {
        tuple(p)
        for p in np.round(scan.volume.world(np.argwhere(numbers_on(scan).array == 3)), 2) + 0.0
    }


def test_series_that_were_torn_apart_are_named_as_they_are_stored(tmp_path: Path) -> None:
    def torn(data: pydicom.Dataset, index: int) -> None:
        data.SeriesInstanceUID = f"1.2.3.1.5.{index + 1}"

    scan = series(tmp_path, change=torn)
    data = pydicom.dcmread(written(tmp_path, scan))
    named = [entry.SeriesInstanceUID for entry in data.ReferencedSeriesSequence]
    assert named == [f"1.2.3.1.5.{n}" for n in range(1, 13)]


def test_enhanced_images_are_named_by_frame(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    positions = [(-100, -80, 20 + 3 * k) for k in range(12)]
    write_enhanced(tmp_path / "one" / "a.dcm", body(), positions)
    scan = read_scan(tmp_path / "one")
    data = pydicom.dcmread(written(tmp_path, scan))
    assert len(data.SourceImageSequence) == 1
    for item in data.PerFrameFunctionalGroupsSequence:
        image = item.DerivationImageSequence[0].SourceImageSequence[0]
        z = item.PlanePositionSequence[0].ImagePositionPatient[2]
        assert z == 20 + 3 * (image.ReferencedFrameNumber - 1)


def test_the_same_input_gives_the_same_bytes_and_another_model_other_uids(tmp_path: Path) -> None:
    scan = series(tmp_path)
    one, two = written(tmp_path, scan, "one.dcm"), written(tmp_path, scan, "two.dcm")
    assert one.read_bytes() == two.read_bytes()
    other = tmp_path / "other.dcm"
    maker = Maker("0.1.0", "mine 1")
    write_dicom_seg(other, SegmentedStudy.of(numbers_on(scan), FACTS, scan, maker))
    first, second = (pydicom.dcmread(path) for path in (one, other))
    for tag in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert first[tag].value != second[tag].value


def without(tag: str) -> Callable[[pydicom.Dataset, int], None]:
    def change(data: pydicom.Dataset, _: int) -> None:
        delattr(data, tag)

    return change


def test_headers_that_lack_or_break_values_are_no_hindrance(tmp_path: Path) -> None:
    def broken(data: pydicom.Dataset, _: int) -> None:
        for tag in ("PatientID", "StudyTime", "PatientName"):
            delattr(data, tag)
        data.PatientSex = "W"
        data.add_new("StudyDate", "DA", "2020")
        data.PatientComments = "ä"

    data = pydicom.dcmread(written(tmp_path, series(tmp_path, change=broken)))
    assert (data.PatientID, data.PatientSex, data.StudyDate) == ("", "", "")


@pytest.mark.filterwarnings("error:The string")
def test_no_remark_on_a_header_quotes_the_patient(tmp_path: Path) -> None:
    written(tmp_path, series(tmp_path, PatientName="MUSTER"))


@pytest.mark.parametrize("tag", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_images_without_study_or_frame_of_reference_are_refused(tmp_path: Path, tag: str) -> None:
    scan = series(tmp_path, change=without(tag))
    with pytest.raises(InputError, match=f"name none .{tag}.; export the series again"):
        written(tmp_path, scan)
    assert not (tmp_path / "segmentation.dcm").exists()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
@pytest.mark.parametrize("name", ["axial", "tilted gantry"])
def test_dciodvfy_finds_no_error(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, series(tmp_path, **GEOMETRIES[name]))
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert not errors


def test_a_segmentation_in_the_study_folder_does_not_make_the_scan_another(tmp_path: Path) -> None:
    scan = series(tmp_path / "scan")
    (before,) = find_scans([tmp_path / "scan"])
    written(tmp_path / "scan", scan, "out.dcm")
    (after,) = find_scans([tmp_path / "scan"])
    assert after.state == before.state != ""
    assert (after.case_id, after.slice_count) == (before.case_id, before.slice_count)
