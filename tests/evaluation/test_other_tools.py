"""Label maps that other tools wrote, as reference or prediction: read right, or said to be not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.folders import AFFINE, anatomy, write
from helpers.segment_files import ct_series, truth, write_rtstruct, write_seg, write_seg_nrrd

from renalis.cli import main


def run(reference: Path, prediction: Path, out: Path, *more: str) -> int:
    given = ["-r", str(reference), "-p", str(prediction), "-o", str(out), "--jobs", "1"]
    return main(["evaluate", *given, *more])


def dice(out: Path) -> dict[str, float]:
    summary = json.loads((out / "metrics.json").read_text())["summary"]
    return {name: found["dice"]["mean"] for name, found in summary.items()}


def organ_folder(folder: Path, labels: np.ndarray, tumor: bool = False) -> Path:
    """One mask for each structure, as TotalSegmentator writes them; others beside them."""
    half = labels.shape[2] // 2
    left, right = np.zeros_like(labels), np.zeros_like(labels)
    left[..., :half], right[..., half:] = labels[..., :half], labels[..., half:]
    for name, side in (("left", left), ("right", right)):
        write(folder / f"kidney_{name}.nii.gz", (side == 1).astype(np.uint8))
        write(folder / f"kidney_cyst_{name}.nii.gz", (side == 3).astype(np.uint8))
    write(folder / "liver.nii.gz", np.ones_like(labels))
    write(folder / "adrenal_gland_left.nii.gz", np.ones_like(labels))
    if tumor:
        write(folder / "kidney_tumor.nii.gz", (labels == 2).astype(np.uint8))
    return folder


def total(labels: np.ndarray) -> np.ndarray:
    """The multi-label file: right 2, left 3, cysts 23 and 24, other organs all round."""
    half = labels.shape[2] // 2
    right = np.arange(labels.shape[2]) < half
    out = np.where(labels == 1, np.where(right, 2, 3), 0)
    out = np.where(labels == 3, np.where(right, 24, 23), out)
    out[0, :4] = 5
    return out.astype(np.uint8)


def test_a_folder_of_masks_for_each_case(tmp_path: Path, capsys) -> None:
    for number in (1, 2):
        write(tmp_path / "r" / f"case_{number}.nii.gz", anatomy(number))
        organ_folder(tmp_path / "p" / f"case_{number}", anatomy(number))
    assert run(tmp_path / "r", tmp_path / "p", tmp_path / "o") == 0
    found = dice(tmp_path / "o")
    assert found["cyst"] == 1
    assert 0.9 < found["kidney"] < 1  # there is no mask of tumors
    assert "tumor" not in found
    assert "masses" not in found
    assert "(segments of kidney and cyst) cannot both express it: masses, tumor" in (
        capsys.readouterr().err
    )


def test_a_folder_of_masks_below_each_case(tmp_path: Path) -> None:
    """As in TotalSegmentator's own data, with the scan beside it and without."""
    for number in (1, 2):
        write(tmp_path / "r" / f"case_{number}.nii.gz", anatomy(number))
        organ_folder(tmp_path / "p" / f"case_{number}" / "segmentations", anatomy(number))
    write(tmp_path / "p" / "case_1" / "ct.nii.gz", anatomy())
    assert run(tmp_path / "r", tmp_path / "p", tmp_path / "o") == 0
    assert dice(tmp_path / "o")["cyst"] == 1


@pytest.mark.parametrize("as_reference", [True, False])
def test_a_folder_of_masks_with_tumors_given_itself(as_reference: bool, tmp_path: Path) -> None:
    labels = write(tmp_path / "case_1.nii.gz", anatomy())
    folder = organ_folder(tmp_path / "masks", anatomy(), tumor=True)
    pair = (folder, labels) if as_reference else (labels, folder)
    assert run(*pair, tmp_path / "o") == 0
    assert set(dice(tmp_path / "o").values()) == {1.0}
    # A mask that changes is scored again.
    write(folder / "kidney_tumor.nii.gz", np.zeros_like(anatomy()))
    assert run(*pair, tmp_path / "o") == 0
    assert dice(tmp_path / "o")["tumor"] == 0


def test_masks_on_different_grids_are_refused(tmp_path: Path, capsys) -> None:
    labels = write(tmp_path / "case_1.nii.gz", anatomy())
    folder = organ_folder(tmp_path / "masks", anatomy())
    write(folder / "kidney_right.nii.gz", np.zeros_like(anatomy()), np.diag([1.0, 1, 1, 1]))
    assert run(labels, folder, tmp_path / "o") == 2
    assert "do not lie on the same grid" in capsys.readouterr().err


@pytest.mark.parametrize("who", ["reference", "prediction"])
def test_the_multi_label_file(who: str, tmp_path: Path, capsys) -> None:
    ours = write(tmp_path / "a" / "case_1.nii.gz", np.where(anatomy() == 2, 1, anatomy()))
    theirs = write(tmp_path / "b" / "case_1.nii.gz", total(np.where(anatomy() == 2, 1, anatomy())))
    pair = (theirs, ours) if who == "reference" else (ours, theirs)
    assert run(*pair, tmp_path / "o", f"--{who}-labels", "totalsegmentator") == 0
    expected = dict.fromkeys(("kidney", "cyst", "left_kidney", "right_kidney"), 1.0)
    assert dice(tmp_path / "o") == expected
    assert "touches" not in capsys.readouterr().err
    assert run(*pair, tmp_path / "k", f"--{who}-labels", "totalsegmentator", "--labels",
               "kits19") == 0  # fmt: skip
    assert dice(tmp_path / "k")["kidney"] == 1.0
    assert run(*pair, tmp_path / "w") == 2
    assert f"with --{who}-labels (TotalSegmentator's" in capsys.readouterr().err
    assert run(*pair, tmp_path / "x", "--labels", "totalsegmentator") == 2
    assert "--prediction-labels totalsegmentator" in capsys.readouterr().err


def test_a_map_without_the_kidney_of_its_convention_is_remarked(tmp_path: Path, capsys) -> None:
    ours = write(tmp_path / "a.nii.gz", anatomy())
    kidneys = total(np.minimum(anatomy(), 1))
    kidneys[0] = 0
    theirs = write(tmp_path / "b.nii.gz", kidneys)  # 2 and 3 alone: read as tumor and cyst
    assert run(ours, theirs, tmp_path / "o") == 0
    note = capsys.readouterr().err
    assert "the prediction holds no kidney of kits23 (label 1), but label 2 and 3" in note
    assert "--prediction-labels totalsegmentator" in note
    # The other way round: our labels read as TotalSegmentator's.
    spleen = write(tmp_path / "c.nii.gz", np.minimum(anatomy(), 1))
    assert run(ours, spleen, tmp_path / "p", "--prediction-labels", "totalsegmentator") == 0
    assert "holds no kidney of totalsegmentator (label 2 and 3)" in capsys.readouterr().err


def test_labels_that_do_not_lie_as_the_convention_has_them_are_remarked(
    tmp_path: Path, capsys
) -> None:
    large = np.diag([6.0, 1.6, 1.6, 1]) @ AFFINE  # kidneys of 60 ml
    kidneys = total(np.minimum(anatomy(), 1))
    kidneys[0] = 0
    kidneys[2:5, 40:46, 80:90] = 1  # the spleen, apart from both
    ours = write(tmp_path / "a.nii.gz", anatomy(), large)
    theirs = write(tmp_path / "b.nii.gz", kidneys, large)
    assert run(ours, theirs, tmp_path / "o") == 0
    note = capsys.readouterr().err
    assert "label 2 and 3 of the prediction nowhere touches label 1" in note
    # Ours has tumor and cyst in the kidney, and there is nothing to remark.
    assert run(ours, ours, tmp_path / "p") == 0
    assert "touches" not in capsys.readouterr().err


def test_vertebrae_of_version_1_are_no_cysts_without_a_word(tmp_path: Path, capsys) -> None:
    ours = write(tmp_path / "a.nii.gz", np.minimum(anatomy(), 1))
    old = total(np.minimum(anatomy(), 1))
    old[8:14, 36:44, 44:52] = 23
    theirs = write(tmp_path / "b.nii.gz", old)
    assert run(ours, theirs, tmp_path / "o", "--prediction-labels", "totalsegmentator") == 0
    assert "in version 1 these are vertebrae" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["seg", "nrrd", "rtstruct"])
def test_segments_as_reference_and_as_prediction(kind: str, tmp_path: Path, capsys) -> None:
    images, grid = ct_series()
    labels = truth()
    masks = {"Kidneys": labels == 1, "Tumor": labels == 2, "Cyst": labels == 3, "Aorta": labels > 9}
    masks["Aorta"] = np.roll(labels == 2, 12, axis=1)
    folder = tmp_path / "r" / "case_7"
    folder.mkdir(parents=True)
    if kind == "seg":
        (folder / "study" / "series").mkdir(parents=True)
        write_seg(folder / "study" / "series" / "1-1.dcm", images, masks)
    elif kind == "rtstruct":
        write_rtstruct(folder / "RTSS.dcm", grid, masks)
    else:
        names = [("kidneys", 0, 1), ("tumor", 0, 2), ("cyst", 0, 3), ("Aorta", 0, 4)]
        write_seg_nrrd(folder / "Segmentation.seg.nrrd", grid, [labels], names)
    predicted = np.roll(labels, 1, axis=1)
    write(tmp_path / "p" / "prediction_00007.nii.gz", predicted, grid.affine)
    write(tmp_path / "n" / "case_00007.nii.gz", labels, grid.affine)
    assert run(tmp_path / "n", tmp_path / "p", tmp_path / "expected") == 0
    capsys.readouterr()
    assert run(tmp_path / "r", tmp_path / "p", tmp_path / "o") == 0
    assert "'Aorta'" in capsys.readouterr().err
    assert dice(tmp_path / "o") == dice(tmp_path / "expected")
    assert run(tmp_path / "p", tmp_path / "r", tmp_path / "turned") == 0
    assert dice(tmp_path / "turned")["kidney"] == pytest.approx(
        dice(tmp_path / "expected")["kidney"]
    )
    # Without a prediction: contours have no grid to be filled on, others have one of their own.
    write(tmp_path / "q" / "case_8.nii.gz", labels, grid.affine)
    write(tmp_path / "r2" / "case_8.nii.gz", labels, grid.affine)
    folder.rename(tmp_path / "r2" / "case_7")
    assert run(tmp_path / "r2", tmp_path / "q", tmp_path / "z", "--missing", "zero") == (
        2 if kind == "rtstruct" else 0
    )
    if kind == "rtstruct":
        assert "has no grid of its own" in capsys.readouterr().err
    else:
        assert dice(tmp_path / "z")["kidney"] == 0.5


def test_the_scan_beside_slicers_segmentation_is_no_label_map(tmp_path: Path) -> None:
    _, grid = ct_series()
    (tmp_path / "r").mkdir()
    names = [("kidney", 0, 1)]
    write_seg_nrrd(tmp_path / "r" / "case_1.seg.nrrd", grid, [truth()], names)
    write_seg_nrrd(tmp_path / "r" / "case_1.nrrd", grid, [truth()], [])
    write(tmp_path / "p" / "case_1.nii.gz", (truth() == 1).astype(np.uint8), grid.affine)
    assert run(tmp_path / "r", tmp_path / "p", tmp_path / "o") == 0
    assert dice(tmp_path / "o")["kidney"] == 1.0


def test_two_structure_sets_have_no_grid(tmp_path: Path, capsys) -> None:
    _, grid = ct_series()
    path = write_rtstruct(tmp_path / "r.dcm", grid, {"kidney": truth() == 1})
    assert run(path, path, tmp_path / "o") == 2
    assert "has no grid of its own" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".mhd"])
def test_metaimage_and_plain_nrrd(ending: str, tmp_path: Path, capsys) -> None:
    sitk = pytest.importorskip("SimpleITK")
    (tmp_path / "p").mkdir()
    for number in (1, 2):
        file = write(tmp_path / "r" / f"case_{number}.nii.gz", anatomy(number))
        sitk.WriteImage(sitk.ReadImage(str(file)), str(tmp_path / "p" / f"case_{number}{ending}"))
    assert run(tmp_path / "r", tmp_path / "p", tmp_path / "o") == 0
    assert set(dice(tmp_path / "o").values()) == {1.0}
    assert run(tmp_path / "p", tmp_path / "r", tmp_path / "turned") == 0
    assert set(dice(tmp_path / "turned").values()) == {1.0}
    if ending == ".mha":
        path = tmp_path / "p" / "case_1.mha"
        path.write_bytes(path.read_bytes()[:2000])
        capsys.readouterr()
        assert run(tmp_path / "r", tmp_path / "p", tmp_path / "cut") == 2
        assert "case_1.mha" in capsys.readouterr().err


def test_what_cannot_be_read_is_called_by_its_name(tmp_path: Path, capsys) -> None:
    labels = write(tmp_path / "case_1.nii.gz", anatomy())
    (tmp_path / "m" / "case_1").mkdir(parents=True)
    (tmp_path / "m" / "case_1" / "labels.mgz").touch()
    assert run(tmp_path / "m", labels, tmp_path / "o") == 2
    assert "labels.mgz and its like cannot be read; convert them to .nii.gz" in (
        capsys.readouterr().err
    )
    images, _ = ct_series(2)
    images[0].save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    assert run(tmp_path / "ct.dcm", labels, tmp_path / "o") == 2
    assert "neither a Segmentation nor an RT Structure Set" in capsys.readouterr().err
