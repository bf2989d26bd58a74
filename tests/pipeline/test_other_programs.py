"""What other programs read of a case: outlines, Slicer's segmentations, surfaces."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pydicom
import pytest
from helpers.dicom_writer import write_enhanced
from helpers.finished_case import GEOMETRIES, SHAPE, finished, hu_of, labels_of, study_in
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from renalis.conventions import Label
from renalis.io import read_scan
from renalis.io.segments.facts import COLORS, SegmentFacts
from renalis.io.segments.nrrd import read_seg_nrrd
from renalis.io.segments.rtstruct import read_rtstruct
from renalis.io.segments.stored import placed
from renalis.measurement.numbering import NumberedStructures, Structure
from renalis.measurement.results import Side
from renalis.pipeline.formats import RTSTRUCT, SEG, SEG_NRRD, SURFACES
from renalis.pipeline.outputs import FinishedCase, write_output
from renalis.pipeline.surfaces import enclosed_ml, surfaces_of
from renalis.volume import Kind, Volume

LPS = np.array([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module", params=list(GEOMETRIES))
def case(request: Any, tmp_path_factory: pytest.TempPathFactory) -> FinishedCase:
    return finished(study_in(tmp_path_factory.mktemp("study"), **GEOMETRIES[request.param]))


@pytest.fixture(scope="module")
def axial(tmp_path_factory: pytest.TempPathFactory) -> FinishedCase:
    return finished(study_in(tmp_path_factory.mktemp("axial")))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def rasterized(path: Path, case: FinishedCase) -> dict[str, np.ndarray]:
    """Regions filled by scikit-image, each contour on the image that it names."""
    data = pydicom.dcmread(path)
    images = {one.sop_instance_uid: one for one in case.scan.source.slices}
    names = {roi.ROINumber: roi.ROIName for roi in data.StructureSetROISequence}
    masks = {}
    for item in data.ROIContourSequence:
        mask = np.zeros(case.scan.volume.shape, bool)
        for contour in item.ContourSequence:
            (image,) = contour.ContourImageSequence
            index = round(images[image.ReferencedSOPInstanceUID].place)
            points = np.array(contour.ContourData, float).reshape(-1, 3) * LPS
            at = case.scan.volume.index(points)
            assert np.abs(at[:, 2] - index).max() < 0.01
            mask[:, :, index] |= polygon2mask(mask.shape[:2], at[:, :2])
        masks[names[item.ReferencedROINumber]] = mask
    return masks


def test_outlines_filled_by_another_library_are_the_structures(
    case: FinishedCase, tmp_path: Path
) -> None:
    assert write_output(tmp_path, case, RTSTRUCT) == [RTSTRUCT]
    found = rasterized(tmp_path / RTSTRUCT, case)
    assert list(found) == [one.name for one in case.facts]
    for number, one in enumerate(case.facts, 1):
        mask = case.structures.volume.array == number
        assert dice(found[one.name], mask) >= 0.97, one.id


def test_our_reader_reads_outlines_voxel_for_voxel(case: FinishedCase, tmp_path: Path) -> None:
    write_output(tmp_path, case, RTSTRUCT)
    read = read_rtstruct(tmp_path / RTSTRUCT, case.scan.volume)
    np.testing.assert_array_equal(read.volume.array, case.labels.array)
    assert read.notes == ()


def test_a_structure_set_names_frame_of_reference_images_colors_and_codes(
    axial: FinishedCase, tmp_path: Path
) -> None:
    write_output(tmp_path, axial, RTSTRUCT)
    data = pydicom.dcmread(tmp_path / RTSTRUCT)
    (frame,) = data.ReferencedFrameOfReferenceSequence
    assert frame.FrameOfReferenceUID == "1.2.3.9"
    (study,) = frame.RTReferencedStudySequence
    assert study.ReferencedSOPInstanceUID == "1.2.3.1"
    (series,) = study.RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.1.5"
    named = {one.ReferencedSOPInstanceUID for one in series.ContourImageSequence}
    assert named == {one.sop_instance_uid for one in axial.scan.source.slices}
    for number, one in enumerate(axial.facts):
        drawn, seen = data.ROIContourSequence[number], data.RTROIObservationsSequence[number]
        assert tuple(drawn.ROIDisplayColor) == COLORS[one.label]
        assert seen.ROIObservationLabel == one.id
        kidney = one.label == Label.KIDNEY
        assert seen.RTROIInterpretedType == ("ORGAN" if kidney else "")


def test_outlines_on_frames_of_one_file_name_the_frame(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    positions = [(-100, -80, 20 + 3 * k) for k in range(SHAPE[2])]
    write_enhanced(tmp_path / "one" / "a.dcm", hu_of(labels_of()).transpose(2, 1, 0), positions)
    case = finished(read_scan(tmp_path / "one"))
    write_output(tmp_path, case, RTSTRUCT)
    for item in pydicom.dcmread(tmp_path / RTSTRUCT).ROIContourSequence:
        for contour in item.ContourSequence:
            (image,) = contour.ContourImageSequence
            assert float(contour.ContourData[2]) == 20 + 3 * (image.ReferencedFrameNumber - 1)


def test_outlines_of_unevenly_spaced_images_lie_on_images(tmp_path: Path) -> None:
    places = np.cumsum([0, *np.tile([1.0, 1.0, 1.4, 0.7], 6)])[: SHAPE[2]]
    scan = study_in(tmp_path / "study", places=places)
    labels = np.zeros(scan.volume.shape, np.uint8)
    labels[10:20, 10:20, 3:20] = Label.KIDNEY
    write_output(tmp_path, case := finished(scan, labels), RTSTRUCT)
    at = {one.sop_instance_uid: one.position[2] for one in case.scan.source.slices}
    for item in pydicom.dcmread(tmp_path / RTSTRUCT).ROIContourSequence:
        for contour in item.ContourSequence:
            z = at[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            assert set(contour.ContourData[2::3]) == {z}


def test_slicers_segmentation_by_pynrrd_and_by_our_reader(
    case: FinishedCase, tmp_path: Path
) -> None:
    write_output(tmp_path, case, SEG_NRRD)
    data, header = nrrd.read(str(tmp_path / SEG_NRRD))
    for number, one in enumerate(case.facts):
        start = f"Segment{number}_"
        assert (header[f"{start}ID"], header[f"{start}Name"]) == (one.id, one.name)
        assert int(header[f"{start}LabelValue"]) == number + 1
        color = [float(channel) * 255 for channel in header[f"{start}Color"].split()]
        np.testing.assert_allclose(color, COLORS[one.label], atol=0.01)
        edges = np.array(header[f"{start}Extent"].split(), int).reshape(3, 2)
        where = np.argwhere(data == number + 1)
        np.testing.assert_array_equal(edges, np.c_[where.min(axis=0), where.max(axis=0)])
    read = read_seg_nrrd(tmp_path / SEG_NRRD)
    tilted = data.shape != case.labels.shape
    if tilted:  # on a straight grid, where ITK reads it
        for label in Label:
            before = float((case.labels.array == label).sum())
            assert label == 0 or abs((read.volume.array == label).sum() - before) <= 0.02 * before
        return
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
    np.testing.assert_allclose(affine[:3] * LPS[:, None], case.scan.volume.affine[:3], atol=1e-9)
    np.testing.assert_array_equal(data, case.structures.volume.array)
    on_grid = placed(read, case.scan.volume, "it").volume.array
    np.testing.assert_array_equal(on_grid, case.labels.array)


def closed(faces: np.ndarray) -> bool:
    """Whether each edge has one face on either side, which run along it in opposite ways."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ways = {(int(a), int(b)) for a, b in edges}
    return len(ways) == len(edges) and ways == {(b, a) for a, b in ways}


def stl_of(path: Path) -> np.ndarray:
    """Corners of all triangles, (N, 3, 3)."""
    content = path.read_bytes()
    (count,) = struct.unpack("<I", content[80:84])
    kind = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")])
    return np.frombuffer(content[84:], kind, count)["corners"]


def test_surfaces_enclose_the_volume_of_the_voxels(case: FinishedCase, tmp_path: Path) -> None:
    names = [f"surface-{one.id}.stl" for one in case.facts]
    assert write_output(tmp_path, case, SURFACES) == [SURFACES, *names]
    for number, (one, name) in enumerate(zip(case.facts, names, strict=True), 1):
        corners = stl_of(tmp_path / name).astype(float) * LPS
        mask = case.structures.volume.array == number
        ml = mask.sum() * case.labels.voxel_ml
        faces = np.arange(3 * len(corners)).reshape(-1, 3)
        assert enclosed_ml(corners.reshape(-1, 3), faces) == pytest.approx(ml, rel=0.02), one.id
        center = case.labels.world(np.argwhere(mask)).mean(axis=0)
        assert np.abs(corners.mean(axis=(0, 1)) - center).max() < 4


def test_a_glb_holds_the_same_surfaces_with_names_in_meters(
    axial: FinishedCase, tmp_path: Path
) -> None:
    write_output(tmp_path, axial, SURFACES)
    content = (tmp_path / SURFACES).read_bytes()
    magic, version, length = struct.unpack("<4sII", content[:12])
    assert (magic, version, length) == (b"glTF", 2, len(content))
    (size,) = struct.unpack("<I", content[12:16])
    scene = json.loads(content[20 : 20 + size])
    binary = content[20 + size + 8 :]
    root = scene["nodes"][scene["scenes"][0]["nodes"][0]]
    matrix = np.array(root["matrix"]).reshape(4, 4).T
    head_front = matrix[:3, :3] @ np.array([[0, 0, 1.0], [0, -1.0, 0]]).T
    np.testing.assert_allclose(head_front.T, [[0, 0.001, 0], [0, 0, 0.001]])  # up, to the viewer
    assert [scene["nodes"][n]["name"] for n in root["children"]] == [f.name for f in axial.facts]
    for mesh in scene["meshes"]:
        (part,) = mesh["primitives"]
        views = [scene["accessors"][n] for n in (part["attributes"]["POSITION"], part["indices"])]
        arrays = []
        for accessor, kind in zip(views, ("<f4", "<u4"), strict=True):
            view = scene["bufferViews"][accessor["bufferView"]]
            chunk = binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
            arrays.append(np.frombuffer(chunk, kind).reshape(-1, 3))
        vertices, faces = arrays
        stl = stl_of(tmp_path / f"surface-{mesh['name']}.stl")
        np.testing.assert_array_equal(vertices[faces], stl)
        assert closed(faces)


MODULES = Path(__file__).resolve().parents[2] / "build" / "node" / "node_modules"
SCRIPT = Path(__file__).resolve().parents[1] / "javascript" / "read_segmentation.cjs"


@pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "dcmjs").is_dir(),
    reason="node or dcmjs is not here (make javascript)",
)
def test_dcmjs_reads_the_same_segments(case: FinishedCase, tmp_path: Path) -> None:
    write_output(tmp_path, case, SEG)
    words = ["node", SCRIPT, MODULES, tmp_path / SEG]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)
    assert read["segments"] == [one.name for one in case.facts]
    found = np.zeros(case.scan.volume.shape, int)
    for frame in read["frames"]:
        plane = np.zeros(read["rows"] * read["columns"], bool)
        for start, length in frame["runs"]:
            plane[start : start + length] = True
        at = case.scan.volume.index(np.array(frame["position"]) * LPS)
        np.testing.assert_allclose(at, (0, 0, np.rint(at[2])), atol=0.01)
        index = int(np.rint(at[2]))
        found[:, :, index][plane.reshape(read["rows"], read["columns"]).T] = frame["segment"]
    np.testing.assert_array_equal(found, case.structures.volume.array)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.floats(0.4, 6.0)] * 3),
    st.sampled_from(["RAS", "LPS", "SPL", "LAS"]),
)
def test_any_structure_gets_a_closed_surface_that_looks_outwards(
    seed: int, spacing: tuple[float, float, float], order: str
) -> None:
    rng = np.random.default_rng(seed)
    array = np.zeros((9, 8, 7), np.uint16)
    size = rng.integers(1, 6, 3)
    block = rng.random(size) < 0.8
    block.flat[0] = True
    array[1 : 1 + size[0], 1 : 1 + size[1], 1 : 1 + size[2]] = block
    volume = Volume(array, np.diag([*spacing, 1.0]), Kind.LABELS).reoriented(order)
    structures = NumberedStructures(volume, (Structure("cyst-1", Label.CYST, Side.LEFT),))
    (found,) = surfaces_of(structures, [SegmentFacts("cyst-1", "Cyst 1", Label.CYST)])
    assert closed(found.faces)
    ml = float(block.sum()) * volume.voxel_ml
    assert enclosed_ml(found.vertices, found.faces) == pytest.approx(ml, rel=0.02)


def test_labels_without_lesions_have_no_surface_of_them(tmp_path: Path) -> None:
    case = finished(study_in(tmp_path / "study", labels_of(False)), labels_of(False))
    write_output(tmp_path, case, SURFACES)
    assert {p.name for p in tmp_path.glob("*.stl")} == {"surface-left.stl", "surface-right.stl"}
