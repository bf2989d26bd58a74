"""Every layout is recognized by its names, and what is not one is refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.small_datasets import kits_case, labels_with, plain_case, save, scan_of

from renalis.choices import DATASET_KINDS
from renalis.conventions import Convention
from renalis.dataset import open_dataset
from renalis.dataset.adapters import ADAPTERS
from renalis.errors import InputError, UsageError


def test_every_kind_that_can_be_chosen_can_be_opened() -> None:
    assert sorted(DATASET_KINDS) == sorted(ADAPTERS)


@pytest.mark.parametrize("below", ["", "data"])
def test_kits19_with_unlabelled_cases(tmp_path: Path, below: str) -> None:
    parent = tmp_path / below
    kits_case(parent, 9)
    kits_case(parent, 10)
    kits_case(parent, 210, label=None)
    (parent / "kits.json").write_text(
        json.dumps([{"case_id": "case_00009", "tumor_histologic_subtype": "clear_cell_rcc"}])
    )
    dataset = open_dataset(tmp_path)
    assert (dataset.name, dataset.convention) == ("kits19", Convention.KITS19)
    assert [c.id for c in dataset.cases] == ["case_00009", "case_00010", "case_00210"]
    assert [c.id for c in dataset.labelled] == ["case_00009", "case_00010"]
    assert dataset.cases[0].meta == {"tumor_histologic_subtype": "clear_cell_rcc"}
    assert dataset.cases[0].patient != dataset.cases[1].patient


@pytest.mark.parametrize(("kind", "annotation"), [
    ("auto", "MAJ"), ("kits21", "MAJ"), ("kits21-maj", "MAJ"), ("kits21-and", "AND"),
    ("kits21-or", "OR"),
])  # fmt: skip
def test_kits21_has_three_annotations(tmp_path: Path, kind: str, annotation: str) -> None:
    folder = kits_case(tmp_path / "data", 0, label=None)
    for name in ("MAJ", "AND", "OR"):
        save(folder / f"aggregated_{name}_seg.nii.gz", labels_with())
    dataset = open_dataset(tmp_path, kind)
    assert dataset.name == f"kits21-{annotation.lower()}"
    assert dataset.convention is Convention.KITS23
    label = dataset.cases[0].label
    assert label is not None
    assert label.name == f"aggregated_{annotation}_seg.nii.gz"


@pytest.mark.parametrize("sign", ["kits23.json", "instances", "number", "name"])
def test_kits23_by_what_only_it_has(tmp_path: Path, sign: str) -> None:
    root = tmp_path / ("my_kits23" if sign == "name" else "repository")
    folder = kits_case(root / "dataset", 588 if sign == "number" else 12)
    if sign == "kits23.json":
        (root / "dataset" / "kits23.json").write_text("[]")
    if sign == "instances":
        (folder / "instances").mkdir()
    dataset = open_dataset(root)
    assert (dataset.name, dataset.convention) == ("kits23", Convention.KITS23)


def test_year_of_kits_is_not_guessed(tmp_path: Path) -> None:
    kits_case(tmp_path / "repository" / "data", 0)
    with pytest.raises(InputError, match=r"KiTS19 .* or KiTS23 .*--kind"):
        open_dataset(tmp_path / "repository")
    assert open_dataset(tmp_path / "repository", "kits23").convention is Convention.KITS23


def test_kits_before_the_scans_are_downloaded(tmp_path: Path) -> None:
    kits_case(tmp_path, 400, image=False)
    with pytest.raises(InputError, match=r"none of the 1 cases .* download"):
        open_dataset(tmp_path)
    kits_case(tmp_path, 401)
    dataset = open_dataset(tmp_path)
    assert [c.id for c in dataset.cases] == ["case_00401"]
    assert "case_00400" in dataset.notes[0]


def _nnunet(root: Path, labels: dict[str, object], **more: object) -> Path:
    for name in ("kits_10", "kits_2"):
        save(root / "imagesTr" / f"{name}_0000.nii.gz", scan_of(labels_with(), 1))
        save(root / "labelsTr" / f"{name}.nii.gz", labels_with())
    about = {"labels": labels, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz", **more}
    (root / "dataset.json").write_text(json.dumps(about))
    return root


@pytest.mark.parametrize(("labels", "convention"), [
    ({"background": 0, "kidney": 1, "tumor": 2}, "kits19"),
    ({"0": "background", "1": "Kidney", "2": "Tumour"}, "kits19"),
    ({"background": 0, "kidney": 1, "tumor": 2, "cyst": 3}, "kits23"),
    ({"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}, "kits23"),
    ({"background": 0, "parenchyma": 1, "abnormality": 2}, "radboud"),
    ({"background": 0, "kidney": 1, "renal mass": 2}, "radboud"),
])  # fmt: skip
def test_nnunet_raw(tmp_path: Path, labels: dict[str, object], convention: str) -> None:
    root = _nnunet(tmp_path / "Dataset001_X", labels)
    save(root / "imagesTs" / "kits_99_0000.nii.gz", scan_of(labels_with(), 1))
    dataset = open_dataset(root)
    assert dataset.convention == convention
    assert [c.id for c in dataset.cases] == ["kits_2", "kits_10"]
    assert all(c.label and c.label.name == f"{c.id}.nii.gz" for c in dataset.cases)
    assert "imagesTs" in dataset.notes[0]


@pytest.mark.parametrize("channels", [["CT"], "CT", None, {"0": "CT"}])
def test_channels_of_nnunet_however_they_are_written(tmp_path: Path, channels: object) -> None:
    root = _nnunet(tmp_path, {"kidney": 1, "tumor": 2}, channel_names=channels)
    assert open_dataset(root).notes == ()


def test_nnunet_that_cannot_be_used(tmp_path: Path) -> None:
    strange = _nnunet(tmp_path / "a", {"background": 0, "liver": 1})
    with pytest.raises(InputError, match=r"no convention that renalis knows.*--labels"):
        open_dataset(strange)
    assert open_dataset(strange, convention="kits19").convention is Convention.KITS19
    swapped = _nnunet(tmp_path / "s", {"background": 0, "tumor": 1, "kidney": 2})
    with pytest.raises(InputError, match="no convention"):
        open_dataset(swapped)
    two = _nnunet(tmp_path / "b", {"kidney": 1, "tumor": 2}, channel_names={"0": "CT", "1": "MR"})
    with pytest.raises(InputError, match="2 channels"):
        open_dataset(two)
    number = _nnunet(tmp_path / "n", {"kidney": 1, "tumor": 2}, channel_names=1)
    with pytest.raises(InputError, match=r"channel_names in .* are 1"):
        open_dataset(number)
    lonely = _nnunet(tmp_path / "c", {"kidney": 1, "tumor": 2})
    (lonely / "imagesTr" / "kits_2_0000.nii.gz").unlink()
    with pytest.raises(InputError, match=r"labels without image .kits_2"):
        open_dataset(lonely)
    (lonely / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"no dataset\.json"):
        open_dataset(lonely)


def test_plain_folder_needs_a_convention(tmp_path: Path) -> None:
    plain_case(tmp_path, "b_2")
    plain_case(tmp_path, "b_10")
    save(tmp_path / "images" / "c_0000.nii.gz", scan_of(labels_with(), 3))
    with pytest.raises(InputError, match="--labels kits19"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, convention="kits19")
    assert [c.id for c in dataset.cases] == ["b_2", "b_10", "c"]
    assert [c.id for c in dataset.labelled] == ["b_2", "b_10"]
    assert "without label map (1): c" in dataset.notes[0]


def test_synthetic_scans_of_one_label_map_are_one_patient(tmp_path: Path) -> None:
    for name in ("case_00000", "case_00001", "case_00002", "case_00003"):
        plain_case(tmp_path, name)
    (tmp_path / "cases.csv").write_text(
        "case,source,phase,noise_hu\n"
        "case_00000,case_00441,nephrographic,12\ncase_00001,case_00441,excretory,9\n"
        "case_00002,invented,excretory,9\ncase_00003,invented,excretory,9\n"
    )
    dataset = open_dataset(tmp_path)
    assert (dataset.name, dataset.convention) == ("synthetic", Convention.KITS23)
    assert open_dataset(tmp_path, "kits23") == dataset
    one, two, three, four = (c.patient for c in dataset.cases)
    assert one == two
    assert len({one, three, four}) == 3
    assert dataset.cases[0].meta["phase"] == "nephrographic"


@pytest.mark.parametrize("names", [
    ("a/image.nii.gz", "a/label.nii.gz"), ("a.nii.gz", "a_seg.nii.gz"),
    ("a_ct.nii.gz", "a-mask.nii"), ("a/imaging.nii", "a/segmentation.nii.gz"),
    ("images/a.nii.gz", "labels/a_seg.nii.gz"), ("imaging/a.nii.gz", "masks/a.nii.gz"),
])  # fmt: skip
def test_pairs(tmp_path: Path, names: tuple[str, str]) -> None:
    save(tmp_path / names[0], scan_of(labels_with(), 1))
    save(tmp_path / names[1], labels_with())
    dataset = open_dataset(tmp_path, convention="kits23")
    (case,) = dataset.cases
    assert case.id == "a"
    assert (case.image, case.label) == (tmp_path / names[0], tmp_path / names[1])


def test_label_without_scan_is_an_error(tmp_path: Path) -> None:
    plain_case(tmp_path, "a")
    save(tmp_path / "labels" / "b.nii.gz", labels_with())
    with pytest.raises(InputError, match="without a scan of the same name: b"):
        open_dataset(tmp_path, convention="kits23")


def test_two_files_of_one_name(tmp_path: Path) -> None:
    plain_case(tmp_path, "a")
    save(tmp_path / "images" / "a.nii", scan_of(labels_with(), 1))
    with pytest.raises(InputError, match="would both be a"):
        open_dataset(tmp_path, convention="kits23")


def test_radboud(tmp_path: Path) -> None:
    root = tmp_path / "zenodo_8014290"
    plain_case(root, "1.2.3")
    dataset = open_dataset(root)
    assert (dataset.name, dataset.convention) == ("radboud", Convention.RADBOUD)
    other = tmp_path / "radboud"
    (other / "images").mkdir(parents=True)
    (other / "labels").mkdir()
    (other / "images" / "a.mha").write_bytes(b"ObjectType = Image")
    with pytest.raises(InputError, match="MetaImage"):
        open_dataset(other)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv(tmp_path: Path, delimiter: str) -> None:
    plain_case(tmp_path, "x")
    plain_case(tmp_path, "y")
    rows = (
        ["Case_ID", "image", "label", "patient", "site"],
        ["n10", "images/x.nii.gz", "labels/x.nii.gz", "p1", "A"],
        ["n9", str(tmp_path / "images/y.nii.gz"), "", "p1", ""],
    )
    table = tmp_path / "list.csv"
    table.write_text("\ufeff" + "\n".join(delimiter.join(row) for row in rows), encoding="utf-8")
    dataset = open_dataset(table, convention="radboud")
    assert [c.id for c in dataset.cases] == ["n9", "n10"]
    assert [c.patient for c in dataset.cases] == ["p1", "p1"]
    assert dataset.cases[1].label == tmp_path / "labels/x.nii.gz"
    assert dict(dataset.cases[1].meta) == {"site": "A"}
    with pytest.raises(InputError, match="--labels"):
        open_dataset(table)


@pytest.mark.parametrize("header", [("Case_ID", ";"), ("id", "\t"), ("CASE", ",")])
@pytest.mark.parametrize("ending", ["", ".nii.gz"])
def test_patients_of_a_folder_are_read_from_tables_of_every_kind(
    header: tuple[str, str], ending: str, tmp_path: Path
) -> None:
    for name in ("a", "b", "c"):
        plain_case(tmp_path, name)
    column, between = header
    rows = [(column, "Patient"), (f"a{ending}", "p1"), (f"b{ending}", "p1")]
    lines = [between.join(row) for row in rows]
    (tmp_path / "cases.csv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    dataset = open_dataset(tmp_path, convention="kits19")
    assert [case.patient for case in dataset.cases] == ["p1", "p1", "c"]
    assert "patient cases.csv does not tell (1): c" in dataset.notes[0]


@pytest.mark.parametrize(("text", "sentence"), [
    ("name,patient\na,p1\n", "no column that names the case .it has: name, patient."),
    ("", "no column that names the case .it has: nothing."),
    ("case,patient\nscan_a,p1\n", "tells the patients of scan_a, but the scans are named a, b"),
    ("case,patient\na,p1\na.nii,p2\n", r"line 3: a\.nii was listed before"),
])  # fmt: skip
def test_a_table_that_would_be_silent_about_patients_is_refused(
    text: str, sentence: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        plain_case(tmp_path, name)
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=rf"cases\.csv.*{sentence}"):
        open_dataset(tmp_path, convention="kits19")


def test_csv_names_the_line(tmp_path: Path) -> None:
    plain_case(tmp_path, "x")
    table = tmp_path / "list.csv"
    table.write_text("image,label\nimages/x.nii.gz,\nimages/z.nii.gz,\n")
    with pytest.raises(InputError, match=r"line 3: images/z\.nii\.gz does not exist"):
        open_dataset(table, convention="kits19")
    table.write_text("scan,label\nimages/x.nii.gz,\n")
    with pytest.raises(InputError, match="no column named image"):
        open_dataset(table, convention="kits19")
    table.write_text("case,image\nn,images/x.nii.gz\nn,images/x.nii.gz\n")
    with pytest.raises(InputError, match="two cases named n"):
        open_dataset(table, convention="kits19")


def test_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "none")
    with pytest.raises(InputError, match="no dataset that renalis knows: looked for KiTS"):
        open_dataset(tmp_path)
    save(tmp_path / "a.nii.gz", np.zeros((3, 3, 3), np.int16))
    with pytest.raises(InputError, match="no dataset"):
        open_dataset(tmp_path / "a.nii.gz")
    with pytest.raises(UsageError, match="no kind 'kits20'"):
        open_dataset(tmp_path, "kits20")
    with pytest.raises(UsageError, match="no label convention"):
        open_dataset(tmp_path, convention="kits20")
