"""Segments of other tools: every label where it was drawn, and what is left out is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.segment_files import (
    TILTED,
    ct_series,
    truth,
    write_rtstruct,
    write_seg,
    write_seg_nrrd,
)

from renalis.conventions import Label
from renalis.errors import InputError
from renalis.io.segments.contours import filled
from renalis.io.segments.dicom_seg import read_dicom_seg
from renalis.io.segments.nrrd import read_seg_nrrd
from renalis.io.segments.rtstruct import read_rtstruct
from renalis.io.segments.segment_labels import Segment, label_of, label_of_name
from renalis.io.segments.stored import placed
from renalis.volume import Kind, Volume

ALL = {Label.KIDNEY, Label.TUMOR, Label.CYST}


def masks() -> dict[str, np.ndarray]:
    """One mask each; the tumor lies in the kidney's mask, as many draw it."""
    labels = truth()
    return {"Kidneys": (labels == 1) | (labels == 2), "Tumor": labels == 2, "Cyst": labels == 3}


def masks_apart() -> dict[str, np.ndarray]:
    """One mask each, none over another."""
    return {name: truth() == value for value, name in enumerate(("Kidneys", "Tumor", "Cyst"), 1)}


@pytest.mark.parametrize("orientation", [None, TILTED])
def test_dicom_seg(orientation, tmp_path: Path) -> None:
    images, grid = ct_series(orientation=orientation)
    given = masks() | {"Renal pelvis": np.roll(truth() == 2, 3, axis=1)}
    path = write_seg(tmp_path / "s.dcm", images, given)
    found = read_dicom_seg(path)
    assert found.volume.shape[2] < grid.shape[2]  # empty frames are not stored
    assert found.known == ALL
    assert found.notes == (
        "segments that stand for no kidney, tumor or cyst were left out: 'Renal pelvis'",
    )
    on_grid = placed(found, grid, "s.dcm")
    np.testing.assert_array_equal(on_grid.volume.array, truth())
    assert on_grid.notes == found.notes


def test_codes_count_before_names_and_slices_may_be_missing(tmp_path: Path) -> None:
    images, grid = ct_series()
    labels = truth()
    labels[:, :, 5:7] = 0  # no frame for these slices
    given = {
        "Segment 1|SCT:64033007": labels == 1,
        "Segment 2|SRT:M-8FFFF": labels == 2,
        "Segment 3|SCT:367643001": labels == 3,
    }
    found = read_dicom_seg(write_seg(tmp_path / "s.dcm", images, given))
    np.testing.assert_array_equal(placed(found, grid, "s").volume.array, labels)


def test_label_map_segmentations(tmp_path: Path) -> None:
    images, grid = ct_series()
    path = write_seg(tmp_path / "s.dcm", images, masks_apart(), segmentation_type="LABELMAP")
    found = read_dicom_seg(path)
    np.testing.assert_array_equal(placed(found, grid, "s").volume.array, truth())
    assert found.known == ALL


def test_fractional_segments_count_from_half_on(tmp_path: Path) -> None:
    images, grid = ct_series()
    share = np.where(truth() > 0, 0.75, 0.25)
    path = write_seg(tmp_path / "s.dcm", images, {"kidney": share}, segmentation_type="FRACTIONAL")
    found = read_dicom_seg(path)
    np.testing.assert_array_equal(placed(found, grid, "s").volume.array, truth() > 0)
    assert any("from half on" in note for note in found.notes)


def test_seg_nrrd_of_one_and_of_several_layers(tmp_path: Path) -> None:
    _, grid = ct_series(orientation=TILTED)
    labels = truth()
    names = [("kidney left", 0, 1), ("Tumor", 0, 2), ("renal cyst", 0, 3)]
    found = read_seg_nrrd(write_seg_nrrd(tmp_path / "a.seg.nrrd", grid, [labels], names))
    np.testing.assert_array_equal(placed(found, grid, "a").volume.array, labels)
    layers = [(labels == 1) | (labels == 2), (labels == 2) * 5 + (labels == 3) * 7]
    names = [("kidneys", 0, 1), ("tumor", 1, 5), ("cyst", 1, 7), ("liver", 1, 9)]
    path = write_seg_nrrd(
        tmp_path / "b.seg.nrrd", grid, [x.astype(np.uint8) for x in layers], names
    )
    found = read_seg_nrrd(path)
    np.testing.assert_array_equal(placed(found, grid, "b").volume.array, labels)
    assert found.known == ALL
    assert "'liver'" in found.notes[0]


def test_slicer_crops_and_the_labels_stay_in_place(tmp_path: Path) -> None:
    _, grid = ct_series()
    part = Volume(truth(), grid.affine, Kind.LABELS).cropped(
        (slice(3, 38), slice(5, 27), slice(2, 12))
    )
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", part, [part.array], [("kidney", 0, 1)])
    found = placed(read_seg_nrrd(path), grid, "a")
    np.testing.assert_array_equal(found.volume.array, truth() == 1)
    assert found.known == {Label.KIDNEY}


def test_codes_of_slicer(tmp_path: Path) -> None:
    _, grid = ct_series()
    tags = (
        "Segmentation.Status:inprogress|TerminologyEntry:Segmentation category - 3D Slicer "
        "General Anatomy list~SCT^49755003^Morphologically Altered Structure~SCT^367643001^Cyst~^^~"
        "Anatomic codes - DICOM master list~SCT^64033007^Kidney~SCT^7771000^Left|"
    )
    path = write_seg_nrrd(
        tmp_path / "a.seg.nrrd", grid, [truth()], [("Segment_1", 0, 3)], tags=tags
    )
    found = placed(read_seg_nrrd(path), grid, "a")
    np.testing.assert_array_equal(found.volume.array, (truth() == 3) * 3)


@pytest.mark.parametrize("orientation", [None, TILTED])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_rtstruct_on_the_grid_of_the_scan(orientation, order, tmp_path: Path) -> None:
    _, grid = ct_series(orientation=orientation)
    path = write_rtstruct(tmp_path / "r.dcm", grid, masks() | {"Liver": truth() == 3})
    turned = Volume(
        grid.array.transpose(order)[::-1], grid.affine[:, [*order, 3]].copy(), Kind.LABELS
    )
    affine = turned.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (turned.shape[0] - 1)
    affine[:3, 0] *= -1
    turned = Volume(turned.array, affine, Kind.LABELS)
    found = read_rtstruct(path, turned)
    np.testing.assert_array_equal(found.volume.array, truth().transpose(order)[::-1])
    assert found.known == ALL
    assert "'Liver'" in found.notes[0]


def test_contours_of_every_second_slice_fill_those_between(tmp_path: Path) -> None:
    _, grid = ct_series()
    mask = np.zeros(grid.shape, bool)
    mask[10:20, 8:20, 2:11:2] = True
    path = write_rtstruct(tmp_path / "r.dcm", grid, {"kidney": mask})
    found = read_rtstruct(path, grid).volume.array
    # Five planes, 6 mm each: as many ml as were drawn, and never beyond the outermost by more
    # than half of that.
    assert found[10:20, 8:20].any(axis=(0, 1)).sum() == 10
    assert not found[:, :, [0, 12, 13]].any()


def test_contours_that_lie_in_no_slice_are_refused(tmp_path: Path) -> None:
    _, tilted = ct_series(orientation=TILTED)
    _, grid = ct_series()
    path = write_rtstruct(tmp_path / "r.dcm", tilted, {"kidney": truth() == 1})
    with pytest.raises(InputError, match="do not lie in slices"):
        read_rtstruct(path, grid)


def test_even_odd_fill_of_holes_and_keyholes() -> None:
    outer = np.array([[0.5, 0.5], [9.5, 0.5], [9.5, 9.5], [0.5, 9.5]])
    hole = np.array([[3.5, 3.5], [6.5, 3.5], [6.5, 6.5], [3.5, 6.5]])
    expected = np.zeros((11, 11), bool)
    expected[1:10, 1:10] = True
    expected[4:7, 4:7] = False
    np.testing.assert_array_equal(filled([outer, hole], (11, 11)), expected)
    keyhole = np.vstack([outer, outer[:1], hole, hole[:1]])
    np.testing.assert_array_equal(filled([keyhole], (11, 11)), expected)


def test_another_place_is_refused_and_never_scored_as_empty(tmp_path: Path) -> None:
    images, grid = ct_series()
    found = read_dicom_seg(write_seg(tmp_path / "s.dcm", images, masks()))
    affine = grid.affine.copy()
    affine[:3, 3] += 500
    with pytest.raises(InputError, match=r"s\.dcm lie outside"):
        placed(found, Volume(grid.array, affine, Kind.LABELS), "s.dcm")


@pytest.mark.parametrize("reader", [read_dicom_seg, read_seg_nrrd])
def test_damaged_files_are_refused_with_a_sentence(reader, tmp_path: Path) -> None:
    path = tmp_path / "x.seg.nrrd"
    path.write_bytes(b"NRRD0004\nnonsense")
    with pytest.raises(InputError, match="damaged"):
        reader(path)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("kidney_left", Label.KIDNEY),
        ("Kidney_R", Label.KIDNEY),
        ("LeftKidney", Label.KIDNEY),
        ("kidney_cyst_right", Label.CYST),
        ("Renal tumour 2", Label.TUMOR),
        ("GTV", Label.TUMOR),
        ("cyst", Label.CYST),
        ("renal pelvis", None),
        ("kidney vessel", None),
        ("adrenal_gland_left", None),
        ("liver tumor", None),
        ("renal mass", None),
        ("right", None),
    ],
)
def test_names(name: str, label: Label | None) -> None:
    assert label_of_name(name) == label


def test_a_lesion_of_another_organ_is_none_of_ours() -> None:
    neoplasm, liver, kidney = ("SCT", "108369006"), ("SCT", "10200004"), ("SCT", "64033007")
    assert label_of(Segment("Tumor", (neoplasm,), (liver,))) is None
    assert label_of(Segment("Liver tumor", (neoplasm,))) is None
    assert label_of(Segment("Segment_1", (neoplasm,), (kidney,))) is Label.TUMOR
