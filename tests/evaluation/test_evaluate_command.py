"""``renalis evaluate`` from files to tables."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.folders import AFFINE, anatomy, cohort, write
from helpers.oracle import official
from helpers.vanishing import bring_back, take_away

from renalis.cli import main
from renalis.errors import InputError
from renalis.evaluation.cases import Outcome
from renalis.evaluation.label_files import find_label_maps
from renalis.evaluation.pairing import pair_cases
from renalis.evaluation.progress import Progress
from renalis.io.read_labels import read_label_map


def evaluate(references: Path, predictions: Path, out: Path, *more: str) -> int:
    given = ["evaluate", "--reference", str(references), "--prediction", str(predictions)]
    return main([*given, "-o", str(out), "--jobs", "1", *more])


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_published_predictions(data_folder: Path, tmp_path: Path, capsys) -> None:
    folder = data_folder / "unet3d-predictions"
    names = folder / "references", folder / "predictions"
    assert evaluate(*names, tmp_path / "o", "--labels", "kits19", "--grid", "voxel") == 0
    average = rows(tmp_path / "o" / "metrics.csv")[-1]
    assert average["caseID"] == "average"
    assert float(average["Dice_kidney"]) == pytest.approx(0.92763, abs=1e-5)
    assert float(average["Dice_tumor"]) == pytest.approx(0.55113, abs=1e-5)
    capsys.readouterr()
    one = [folder / "references" / "case_00210.nii.gz"]
    one.append(folder / "predictions" / "prediction_00210.nii.gz")
    assert evaluate(*one, tmp_path / "p", "--labels", "kits19") == 2
    message = capsys.readouterr().err
    assert "[[0, 0, -0.867188, 0], [0, -0.867188, 0, 0], [-5, 0, 0, 0]]" in message
    assert "[[0, 0, -0.867188, 0], [0, -0.867188, 0, 0], [5, 0, 0, -206.08]]" in message
    assert "--grid voxel" in message
    assert not (tmp_path / "p" / "metrics.csv").exists()


def test_tables(tmp_path: Path) -> None:
    references, predictions = cohort(tmp_path)
    assert evaluate(references, predictions, tmp_path / "o") == 0
    table = (tmp_path / "o" / "metrics.csv").read_text().splitlines()
    assert table[0] == "caseID,Dice_kidney,Dice_masses,Dice_tumor,SD_kidney,SD_masses,SD_tumor"
    found = rows(tmp_path / "o" / "metrics.csv")
    assert [r["caseID"] for r in found] == [f"case_{k:05d}" for k in range(4)] + ["average"]
    for k, row in enumerate(found[:-1]):
        expected = official(anatomy(k), anatomy(k, 1 + k), (3.0, 0.8, 0.8))
        for name, (dice, surface) in expected.items():
            assert float(row[f"Dice_{name}"]) == pytest.approx(dice, abs=5.1e-9)
            assert float(row[f"SD_{name}"]) == pytest.approx(surface, abs=5.1e-9)
    for column in table[0].split(",")[1:]:
        mean = np.mean([float(r[column]) for r in found[:-1]])
        assert float(found[-1][column]) == pytest.approx(mean, abs=2e-8)
    data = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert data["summary"]["kidney"]["dice"]["n"] == 4
    assert data["labels"]["prediction"]["value_to_value"] == {"0": 0, "1": 1, "2": 2, "3": 3}
    assert [c["case_id"] for c in data["cases"]] == [r["caseID"] for r in found[:-1]]
    assert data["detection"]["tumor"][0]["reference"] == 4
    details = rows(tmp_path / "o" / "details.csv")
    assert {r["region"] for r in details} >= {"kidney", "cyst", "left_kidney", "right_kidney"}
    page = (tmp_path / "o" / "metrics.html").read_text()
    assert page.count("<svg") >= 8
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("http://www.w3.org", "")  # self-contained


def test_parallel_and_again_give_the_same_bytes(tmp_path: Path, capsys) -> None:
    references, predictions = cohort(tmp_path, 3)
    assert evaluate(references, predictions, tmp_path / "one") == 0
    assert evaluate(references, predictions, tmp_path / "two", "--jobs", "2") == 0
    names = ("metrics.csv", "metrics.json", "metrics.html", "details.csv")
    first = [(tmp_path / "one" / n).read_bytes() for n in names]
    assert [(tmp_path / "two" / n).read_bytes() for n in names] == first
    capsys.readouterr()
    assert evaluate(references, predictions, tmp_path / "one") == 0
    assert "3 from an earlier run" in capsys.readouterr().err
    assert [(tmp_path / "one" / n).read_bytes() for n in names] == first
    # Another file under the same name, a damaged kept result, other options: scored again.
    write(predictions / "prediction_00001.nii.gz", anatomy(1))
    next((tmp_path / "one" / ".cases").glob("case_00000*")).write_text("{")
    assert evaluate(references, predictions, tmp_path / "one") == 0
    assert "1 from an earlier run" in capsys.readouterr().err
    assert rows(tmp_path / "one" / "metrics.csv")[1]["Dice_kidney"] == "1.00000000"
    assert evaluate(references, predictions, tmp_path / "one", "--labels", "kits19") == 0
    assert "earlier run" not in capsys.readouterr().err


def test_missing_and_unreadable_predictions(tmp_path: Path, capsys) -> None:
    references, predictions = cohort(tmp_path)
    (predictions / "prediction_00002.nii.gz").unlink()
    assert evaluate(references, predictions, tmp_path / "o") == 2
    assert "case_00002" in capsys.readouterr().err
    assert not (tmp_path / "o" / "metrics.csv").exists()
    whole = (predictions / "prediction_00003.nii.gz").read_bytes()
    (predictions / "prediction_00003.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert evaluate(references, predictions, tmp_path / "o", "--missing", "skip") == 0
    assert "case_00002 was left out" in capsys.readouterr().err
    found = rows(tmp_path / "o" / "metrics.csv")
    assert [r["caseID"] for r in found] == ["case_00000", "case_00001", "average"]
    assert set(json.loads((tmp_path / "o" / "metrics.json").read_text())["skipped"]) == {
        "case_00002",
        "case_00003",
    }
    assert evaluate(references, predictions, tmp_path / "z", "--missing", "zero") == 0
    found = rows(tmp_path / "z" / "metrics.csv")
    assert [float(r["Dice_kidney"]) > 0 for r in found[:-1]] == [True, True, False, False]
    mean = np.mean([float(r["SD_masses"]) for r in found[:-1]])
    assert float(found[-1]["SD_masses"]) == pytest.approx(mean, abs=2e-8)
    # The damaged file stays an error when nothing else was asked for.
    write(predictions / "prediction_00002.nii.gz", anatomy(2))
    capsys.readouterr()
    assert evaluate(references, predictions, tmp_path / "e") == 2
    assert "case_00003" in capsys.readouterr().err


def taking_away(folder: Path, when: int) -> type:
    """Progress after whose n-th case a folder's drive goes away."""

    class Taking(Progress):
        done = 0

        def __call__(self, outcome: Outcome, total: int) -> None:
            Taking.done += 1
            if Taking.done == when:
                take_away(folder)

    return Taking


@pytest.mark.parametrize("when", [1, 4])
def test_nothing_is_written_where_the_drive_of_the_scores_was(
    when: int, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    references, predictions = cohort(tmp_path)
    out = tmp_path / "o"
    with monkeypatch.context() as patch:
        patch.setattr("renalis.evaluation.progress.Progress", taking_away(out, when))
        assert evaluate(references, predictions, out) == 2
    assert "is gone: its drive was unmounted" in capsys.readouterr().err
    bring_back(out)
    assert evaluate(references, predictions, out) == 0


@pytest.mark.parametrize("missing", ["zero", "skip"])
def test_predictions_whose_drive_went_away_are_not_taken_for_missing(
    missing: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    references, predictions = cohort(tmp_path)
    taking = taking_away(predictions, 2)
    monkeypatch.setattr("renalis.evaluation.progress.Progress", taking)
    assert evaluate(references, predictions, tmp_path / "o", "--missing", missing) == 2
    assert "2 of 4 cases cannot be scored" in capsys.readouterr().err
    assert not (tmp_path / "o" / "metrics.csv").exists()


def test_zero_counts_zero_where_the_reference_is_empty(tmp_path: Path) -> None:
    labels = np.minimum(anatomy(), 1)
    write(tmp_path / "r" / "case_1.nii.gz", labels)
    write(tmp_path / "r" / "case_2.nii.gz", labels)
    write(tmp_path / "p" / "case_2.nii.gz", labels)
    assert evaluate(tmp_path / "r", tmp_path / "p", tmp_path / "o", "--missing", "zero") == 0
    assert [r["Dice_tumor"][:3] for r in rows(tmp_path / "o" / "metrics.csv")] == [
        "0.0",
        "1.0",
        "0.5",
    ]


def test_a_wrong_grid_is_never_taken_for_missing(tmp_path: Path, capsys) -> None:
    references, predictions = cohort(tmp_path, 2)
    write(predictions / "prediction_00001.nii.gz", anatomy(1), np.diag([3, 0.8, 0.8, 1]))
    for rule in ("error", "zero", "skip"):
        assert evaluate(references, predictions, tmp_path / "o", "--missing", rule) == 2
        assert "do not lie on the same grid" in capsys.readouterr().err


def test_extra_predictions_are_named(tmp_path: Path, capsys) -> None:
    references, predictions = cohort(tmp_path, 2)
    write(predictions / "prediction_00077.nii.gz", anatomy())
    assert evaluate(references, predictions, tmp_path / "o") == 0
    assert "prediction_00077.nii.gz" in capsys.readouterr().err


def test_several_observers(tmp_path: Path) -> None:
    references, predictions = cohort(tmp_path, 3)
    other = tmp_path / "second"
    for k in range(3):
        write(other / f"KiTS-{k:03d}.nii.gz", anatomy(k, 0))
    given = ["--reference", str(references), str(other), "--prediction", str(predictions)]
    assert main(["evaluate", *given, "-o", str(tmp_path / "o"), "--jobs", "1"]) == 0
    table = json.loads((tmp_path / "o" / "metrics.json").read_text())["observers"]
    assert [(a["first"], a["second"]) for a in table] == [
        ("references", "second"),
        ("references", "predictions"),
        ("second", "predictions"),
    ]
    means = [a["summaries"]["kidney"]["dice"]["mean"] for a in table]
    assert means[0] == 1
    assert means[1] == means[2] < 1
    assert "Observers" in (tmp_path / "o" / "metrics.html").read_text()


def test_observers_are_compared_in_the_convention_and_grid_of_references(tmp_path: Path) -> None:
    references, second, predictions = (tmp_path / n for n in ("one", "two", "predictions"))
    labels = anatomy()
    known_wrong = AFFINE.copy()
    known_wrong[:3, 3] += 50
    for folder in (references, second):
        write(folder / "case_00001.nii.gz", labels)
    write(predictions / "case_00001.nii.gz", np.where(labels == 3, 1, labels), known_wrong)
    given = ["--reference", str(references), str(second), "--prediction", str(predictions)]
    how = ["--labels", "kits19", "--reference-labels", "kits23", "--prediction-labels", "kits19"]
    more = ["--grid", "voxel", "--jobs", "1", "-o", str(tmp_path / "o")]
    assert main(["evaluate", *given, *how, *more]) == 0
    table = json.loads((tmp_path / "o" / "metrics.json").read_text())["observers"]
    assert [a["summaries"]["kidney"]["dice"]["mean"] for a in table] == [1, 1, 1]


def test_references_on_two_grids_are_not_compared_index_by_index(tmp_path: Path, capsys) -> None:
    references, predictions = cohort(tmp_path, 1)
    elsewhere = AFFINE.copy()
    elsewhere[:3, 3] += 50
    write(tmp_path / "second" / "case_00000.nii.gz", anatomy(), elsewhere)
    given = ["--reference", str(references), str(tmp_path / "second")]
    more = ["--prediction", str(predictions), "--grid", "voxel", "--jobs", "1"]
    assert main(["evaluate", *given, *more, "-o", str(tmp_path / "o")]) == 2
    assert "do not lie on the same grid" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("prediction_00210.nii.gz", "210"),
        ("case_00210.nii.gz", "210"),
        ("case_00210/segmentation.nii.gz", "210"),
        ("case_00210/aggregated_MAJ_seg.nii.gz", "210"),
        ("KiTS-00210.nii", "210"),
        ("KiTS-19.nii", "19"),
        ("kits_023_seg.nii.gz", "23"),
        ("kits_23_seg.nii.gz", "23"),
        ("kits19_smith.nii", "smith"),
        ("kits21_case_00210.nii.gz", "210"),
        ("Dataset220_KiTS2023_00210.nii.gz", "210"),
        ("case_00210_0000.nii.gz", "210"),
        ("img0210_0000.nii.gz", "210"),
        ("case_00210_seg.NII.GZ", "210"),
        ("0.nii.gz", "0"),
        ("smith_label.nii.gz", "smith"),
    ],
)
def test_names_of_the_same_case(name: str, key: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    (found,) = find_label_maps(tmp_path)
    assert found.name.key == key


def test_pairing_refuses_doubt(tmp_path: Path) -> None:
    references, predictions = cohort(tmp_path, 2)
    write(predictions / "case_1.nii.gz", anatomy())
    with pytest.raises(InputError, match="both case 1"):
        pair_cases(references, predictions)
    write(references / "case_00000" / "other.nii.gz", anatomy())
    (references / "case_00000" / "segmentation.nii.gz").rename(
        references / "case_00000" / "another.nii.gz"
    )
    with pytest.raises(InputError, match="several label maps"):
        find_label_maps(references)
    with pytest.raises(InputError, match="does not exist"):
        find_label_maps(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no label maps"):
        find_label_maps(tmp_path / "empty")
    shutil.rmtree(predictions)
    write(predictions / "case_00009.nii.gz", anatomy())
    with pytest.raises(InputError, match=r"case_00009\.nii\.gz is case 9"):
        pair_cases(tmp_path / "references" / "case_00001", predictions)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", ">i2", ">f4"])
def test_label_maps_of_every_type(dtype: str, tmp_path: Path) -> None:
    labels = anatomy()
    path = write(tmp_path / "l.nii.gz", labels.astype(dtype))
    found = read_label_map(path)
    np.testing.assert_array_equal(found.array, labels)
    np.testing.assert_array_equal(found.affine, nib.load(path).affine)


def test_slope_and_intercept_are_applied(tmp_path: Path) -> None:
    labels = anatomy()
    image = nib.Nifti1Image(labels.astype(np.int16) * 2 + 6, AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nib.save(image, tmp_path / "s.nii")
    np.testing.assert_array_equal(nib.load(tmp_path / "s.nii").get_fdata(), labels)
    np.testing.assert_array_equal(read_label_map(tmp_path / "s.nii").array, labels)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--jobs", "0"], "--jobs"),
        (["--lesion-overlap", "0"], "--lesion-overlap"),
        (["--lesion-mm", "nan"], "--lesion-mm"),
    ],
)
def test_bad_options(arguments: list[str], sentence: str, tmp_path: Path, capsys) -> None:
    references, predictions = cohort(tmp_path, 1)
    assert evaluate(references, predictions, tmp_path / "o", *arguments) == 2
    assert sentence in capsys.readouterr().err
