"""From a dataset to a trained run, to label maps, to metrics.html; and ensembles of runs."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from helpers.coarse_grids import COARSE
from numpy.typing import NDArray

import renalis
from renalis.cli import main
from renalis.conventions import Convention
from renalis.errors import InputError
from renalis.networks import build
from renalis.pipeline import Status
from renalis.recipes import load_system
from renalis.systems.ensemble_members import open_ensemble_member
from renalis.systems.label_classes import of_count, regrouping, system_classes
from renalis.systems.pack import pack_run
from renalis.systems.runs import open_run
from renalis.training.checkpoint import save_weights

CASES = ("case_00001", "case_00002")


def train(kits: Path, run: Path, *changes: str) -> Path:
    plain = (
        *COARSE["unet3d-plain"],
        "augmentation.copies=0",
        "augmentation.transforms=[]",
        *changes,
    )
    sets = [part for change in plain for part in ("--set", change)]
    common = ["train", "unet3d-plain", "--tiny", "--data", str(kits), "--kind", "kits19"]
    assert main([*common, "--device", "cpu", "-o", str(run), *sets]) == 0
    return run


@pytest.fixture(scope="module")
def run(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained long enough to find the kidneys of these easy scans."""
    changes = (
        "optimisation.stop.epochs=16",
        "optimisation.learning_rate=1e-2",
        "dataset.exclude=[case_00005, case_00006, case_00007, case_00008, case_00009]",
        "postprocessing=[{rule: keep_if_ml, region: renal, ml: 1}]",
    )
    return train(kits, tmp_path_factory.mktemp("runs") / "one", *changes)


def untrained(
    name: str, run: Path, statistics: dict[str, tuple[float, float]], *changes: str
) -> Path:
    """A run whose networks have learned nothing."""
    system = load_system(name, (*COARSE.get(name, ()), *changes), tiny=True)
    fold = run / "fold_0"
    fold.mkdir(parents=True)
    (run / "recipe.json").write_text(system.model_dump_json())
    torch.manual_seed(5)
    for stage in system.all_stages():
        weights = build(stage.network.config()).state_dict()
        save_weights(fold / f"{stage.name}.safetensors", weights, {})
        plan = json.dumps({"stage": stage.name, "statistics": statistics})
        (fold / f"{stage.name}.plan.json").write_text(plan)
    return run


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another run of the same system."""
    return untrained("unet3d-plain", tmp_path_factory.mktemp("runs") / "other", {})


@pytest.fixture(scope="module")
def scans(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two scans and their references, in folders of their own."""
    folder = tmp_path_factory.mktemp("two")
    for case in CASES:
        for kind, name in (("scans", "imaging"), ("references", "segmentation")):
            target = folder / kind / case
            target.mkdir(parents=True)
            (target / f"{name}.nii.gz").symlink_to(kits / case / f"{name}.nii.gz")
    return folder / "scans", folder / "references"


def segment(scans: Path, out: Path, run: Path, *more: str) -> int:
    words = ["segment", str(scans), "-o", str(out), "--model", str(run), "--device", "cpu"]
    return main([*words, *more])


def labels(out: Path, case: str) -> NDArray[np.uint8]:
    return np.asarray(nibabel.load(out / case / "segmentation.nii.gz").dataobj)


@pytest.fixture(scope="module")
def segmented(
    run: Path, scans: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("out")
    # In this process: the command gives several scans to others.
    results = renalis.segment(scans[0], out, model=run)
    assert [result.status for result in results] == [Status.DONE] * len(CASES)
    return out


def test_from_a_dataset_to_metrics_html(
    segmented: Path, scans: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ["evaluate", "-r", str(scans[1]), "-p", str(segmented), "-o", str(tmp_path)]
    assert main([*words, "--labels", "kits19", "--jobs", "1"]) == 0
    assert "<html" in (tmp_path / "metrics.html").read_text(encoding="utf-8")
    summary = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert len(summary["cases"]) == len(CASES)
    dice = {region: found["dice"]["mean"] for region, found in summary["summary"].items()}
    assert np.isfinite([dice["kidney"], dice["tumor"]]).all()
    assert dice["kidney"] > 0.8


def test_a_case_has_all_its_files_on_its_own_grid(segmented: Path, kits: Path) -> None:
    for case in CASES:
        names = {path.name for path in (segmented / case).iterdir()}
        assert names == {
            "segmentation.nii.gz",
            "measurements.json",
            "preview.png",
            "report.html",
            "provenance.json",
        }
        scan = nibabel.load(kits / case / "imaging.nii.gz")
        found = nibabel.load(segmented / case / "segmentation.nii.gz")
        assert found.shape == scan.shape
        assert np.array_equal(found.affine, scan.affine)
        provenance = json.loads((segmented / case / "provenance.json").read_text(encoding="utf-8"))
        assert provenance["system"]["name"] == "unet3d-plain"
        assert any("kidney and cyst together" in note for note in provenance["notes"])
        page = (segmented / case / "report.html").read_text(encoding="utf-8")
        assert "unet3d-plain" in page
    with (segmented / "measurements.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == list(CASES)


def test_finished_cases_are_skipped_until_something_changes(
    run: Path, other: Path, scans: tuple[Path, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    scan = scans[0] / CASES[0]
    assert segment(scan, tmp_path, run, "--no-report") == 0
    before = (tmp_path / CASES[0] / "provenance.json").read_bytes()
    capsys.readouterr()
    assert segment(scan, tmp_path, run, "--no-report") == 0
    assert "skipped" in capsys.readouterr().err
    assert (tmp_path / CASES[0] / "provenance.json").read_bytes() == before
    # Another run's results are not replaced unasked.
    assert segment(scan, tmp_path, other, "--no-report") == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_page_that_fails_costs_no_second_prediction(
    run: Path, segmented: Path, scans: tuple[Path, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def failing(*_: object, **__: object) -> None:
        raise ValueError("cannot draw")

    scan, names = scans[0] / CASES[0], ("measurements.json", "report.html")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("renalis.report.write_report", failing)
        assert segment(scan, tmp_path, run) == 1
    assert "report.html could not be made" in capsys.readouterr().err
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("renalis.systems.system_segmenter.predict_scan", failing)
        assert segment(scan, tmp_path, run) == 0
    for name in names:
        made, first = ((folder / CASES[0] / name).read_bytes() for folder in (tmp_path, segmented))
        # A report says how long the prediction took, in seconds.
        assert re.sub(rb">\d+ s\b", b">", made) == re.sub(rb">\d+ s\b", b">", first)
    assert not (tmp_path / CASES[0] / "unfinished.safetensors").exists()


@pytest.fixture(scope="module")
def untidied(run: Path, scans: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scan without the system's clean-up."""
    out = tmp_path_factory.mktemp("untidied")
    more = ["--no-report", "--without-rule", "keep-if-ml"]
    assert segment(scans[0] / CASES[1], out, run, *more) == 0
    return out


def test_the_clean_up_is_the_systems_own(segmented: Path, untidied: Path) -> None:
    stories = [
        json.loads((folder / CASES[1] / "provenance.json").read_text(encoding="utf-8"))
        for folder in (segmented, untidied)
    ]
    assert [rule["name"] for rule in stories[0]["rules"]] == ["keep_if_ml"]
    assert stories[1]["rules"] == []
    removed = np.count_nonzero(labels(segmented, CASES[1]) != labels(untidied, CASES[1]))
    assert removed == stories[0]["rules"][0]["voxels"]


def write_nnunet(
    folder: Path, case: str, kits: Path, truth: NDArray[np.uint8], classes: int
) -> None:
    """What nnU-Net writes: CASE.npz, classes first, then the file's axes in reverse."""
    folder.mkdir(exist_ok=True)
    sure = np.stack([truth == c for c in range(classes)]).astype(np.float32) * 0.98
    sure += np.float32(0.02 / classes)
    stored = sure.transpose(0, 3, 2, 1).astype(np.float16)
    np.savez_compressed(folder / f"{case}.npz", probabilities=stored)
    affine = nibabel.load(kits / case / "imaging.nii.gz").affine
    nibabel.save(nibabel.Nifti1Image(truth, affine), folder / f"{case}.nii.gz")


def truth_of(kits: Path, case: str) -> NDArray[np.uint8]:
    return np.asarray(nibabel.load(kits / case / "segmentation.nii.gz").dataobj).astype(np.uint8)


def test_an_ensemble_of_two_runs_and_nnunet(
    run: Path, other: Path, kits: Path, scans: tuple[Path, Path], untidied: Path, tmp_path: Path
) -> None:
    case = CASES[1]
    truth = truth_of(kits, case)
    # Four classes, as KiTS23 has: cysts join the kidney of a system that knows none.
    wide = truth.copy()
    wide[tuple(np.argwhere(truth == 1)[0])] = 3
    write_nnunet(tmp_path / "nnunet", case, kits, wide, 4)
    members = ["--with", str(other), "--with", str(tmp_path / "nnunet")]
    scan = scans[0] / case
    common = [*members, "--no-report", "--without-rule", "all"]
    assert segment(scan, tmp_path / "heavy", run, *common, "--weights", "1,0.5,20") == 0
    heavy = labels(tmp_path / "heavy", case)
    assert np.array_equal(heavy, truth)  # the last member outweighs the others
    assert segment(scan, tmp_path / "none", run, *common, "--weights", "1,0,0") == 0
    alone = labels(untidied, case)
    assert np.array_equal(labels(tmp_path / "none", case), alone)
    assert not np.array_equal(alone, truth)
    provenance = json.loads(
        (tmp_path / "heavy" / case / "provenance.json").read_text(encoding="utf-8")
    )
    assert [one["system"] for one in provenance["members"]] == [
        "unet3d-plain",
        "files of another program",
    ]


def test_a_system_of_two_stages_in_an_ensemble(
    kits: Path, scans: tuple[Path, Path], tmp_path: Path
) -> None:
    case = CASES[1]
    run = untrained("resnet34-2d", tmp_path / "run", {"slices": (40.0, 60.0)})
    votes = tmp_path / "votes" / f"{case}.nii.gz"
    votes.parent.mkdir()
    votes.symlink_to(kits / case / "segmentation.nii.gz")
    more = ["--with", str(votes.parent), "--no-report", "--without-rule", "all"]
    assert segment(scans[0] / case, tmp_path / "out", run, *more, "--weights", "1,50") == 0
    assert np.array_equal(labels(tmp_path / "out", case), truth_of(kits, case))


def test_label_maps_vote_and_missing_ones_fail_their_case_alone(
    run: Path, scans: tuple[Path, Path], kits: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    case = CASES[0]
    folder = tmp_path / "votes" / case
    folder.mkdir(parents=True)
    (folder / "segmentation.nii.gz").symlink_to(kits / case / "segmentation.nii.gz")
    more = ["--with", str(tmp_path / "votes"), "--weights", "0,1", "--no-report"]
    capsys.readouterr()
    assert segment(scans[0], tmp_path / "out", run, *more, "--without-rule", "all") == 1
    assert np.array_equal(labels(tmp_path / "out", case), truth_of(kits, case))
    told = capsys.readouterr().err
    assert f"says nothing about {CASES[1]}" in told
    assert not (tmp_path / "out" / CASES[1]).exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--weights", "1,1"], "2 numbers for 1 members"),
        (["--weights", "-1"], "commas"),
        (["--fold", "7"], "fold 7"),
        (["--mirror", "all"], "--mirror"),
        (["--windows", "lattice"], "--windows"),
        (["--interpolation", "cubic"], "--interpolation"),
        (["--with", "nowhere"], "neither"),
        (["--require-commercial"], "terms"),
        (["--without-rule", "no-such-rule"], "no_such_rule"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    more: list[str], said: str, run: Path, scans: tuple[Path, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [f"{more[0]}={more[1]}"] if len(more) == 2 else more
    assert segment(scans[0] / CASES[0], tmp_path / "out", run, *words) == 2
    assert said in capsys.readouterr().err


def test_options_of_runs_are_refused_for_the_shipped_model(
    scans: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["segment", str(scans[0] / CASES[0]), "-o", str(tmp_path), "--fold", "0"]
    assert main(words) == 2
    assert "--model RUN" in capsys.readouterr().err


def test_classes_are_regrouped_or_refused() -> None:
    kits19 = system_classes(load_system("unet3d-plain"))
    radboud = system_classes(load_system("multires3d"))
    two_stages = system_classes(load_system("resnet34-2d"))
    renal = of_count(2, kits19)
    assert kits19 == two_stages == (frozenset({1, 3}), frozenset({2}))
    assert radboud == (frozenset({1}), frozenset({2, 3}))
    assert regrouping(Convention.KITS23.label_sets, kits19, "it") == (0, 1, 2, 1)
    assert regrouping(Convention.KITS23.label_sets, radboud, "it") == (0, 1, 2, 2)
    assert renal is not None
    assert regrouping(kits19, renal, "it") == (0, 1, 1)
    assert regrouping(Convention.KITS23.label_sets, (frozenset({1}),), "it") == (0, 1, 0, 0)
    assert of_count(5, kits19) is None
    with pytest.raises(InputError, match="cannot be divided"):
        regrouping(renal, kits19, "it")
    with pytest.raises(InputError, match="kidney and cyst as one class"):
        regrouping(kits19, radboud, "it")
    with pytest.raises(InputError, match="has no class for tumor"):
        regrouping((frozenset({1, 3}),), kits19, "it")


def test_probabilities_of_dicom_scans_need_a_label_map_beside_them(
    kits: Path, tmp_path: Path
) -> None:
    case = CASES[0]
    write_nnunet(tmp_path, case, kits, truth_of(kits, case), 3)
    (tmp_path / f"{case}.nii.gz").unlink()
    scan = renalis.read_scan(kits / case / "imaging.nii.gz")
    member, wanted = open_ensemble_member(tmp_path), system_classes(load_system("unet3d-plain"))
    assert member.of(scan, wanted).classes == 3
    dicom = replace(scan, source=replace(scan.source, kind="dicom"))
    with pytest.raises(InputError, match="says nothing about its axes"):
        member.of(dicom, wanted)


@pytest.fixture(scope="module")
def packed(run: Path) -> Path:
    assert main(["model", "pack", str(run), "--credit", "nobody", "--version", "3"]) == 0
    return run / "unet3d-plain.safetensors"


def test_a_packed_run_segments_to_the_same_bits(
    packed: Path,
    segmented: Path,
    scans: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    assert main(["model", "info", str(packed), "--verify"]) == 0
    said = capsys.readouterr().out
    assert "unet3d-plain 3" in said
    assert "commercial use NOT allowed" in said
    assert "checksum   agrees" in said
    alone = tmp_path / "elsewhere.safetensors"
    alone.write_bytes(packed.read_bytes())  # nothing of the run's folder is needed
    case = CASES[0]
    assert segment(scans[0] / case, tmp_path / "out", alone) == 0
    np.testing.assert_array_equal(labels(tmp_path / "out", case), labels(segmented, case))
    provenance = json.loads((tmp_path / "out" / case / "provenance.json").read_text())
    assert provenance["system"]["folds"] == [0]


def test_a_packed_run_is_refused_where_it_does_not_fit(
    packed: Path, scans: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan, out = scans[0] / CASES[0], tmp_path / "out"
    assert segment(scan, out, packed, "--fold", "4") == 2
    assert "holds no fold 4; it has 0" in capsys.readouterr().err
    assert segment(scan, out, packed, "--require-commercial") == 2
    assert "does not allow commercial" in capsys.readouterr().err
    with pytest.raises(InputError, match="holds the published system unet3d-plain"):
        renalis.load_model(packed)
    raw = bytearray(packed.read_bytes())
    raw[-9] ^= 1
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(raw)
    assert segment(scan, out, damaged) == 2
    assert "checksum differs" in capsys.readouterr().err
    assert not out.exists() or {path.name for path in out.iterdir()} <= {".lock"}


def test_every_system_is_packed_with_all_that_its_prediction_needs(tmp_path: Path) -> None:
    run = untrained("cascade3d", tmp_path, {"mm1": (33.0, 44.0)})
    (run / "fold_0" / "split.json").write_text('{"train": ["a"], "val": [], "test": []}')
    whole, again = open_run(run), open_run(pack_run(run))
    assert again.system == whole.system
    for one, other in zip(whole.folds, again.folds, strict=True):
        assert one.specs == other.specs
        for stage, network in one.networks.items():
            copied = other.networks[stage].state_dict()
            assert all(copied[n].equal(value) for n, value in network.state_dict().items())


def test_a_training_starts_from_a_packed_system(packed: Path, kits: Path, tmp_path: Path) -> None:
    still = (
        *COARSE["unet3d-plain"],
        "optimisation.stop.epochs=1",
        "optimisation.learning_rate=1e-12",
    )
    sets = [part for change in still for part in ("--set", change)]
    words = ["train", "unet3d-plain", "--tiny", "--data", str(kits), "--kind", "kits19"]
    start = ["--start-from", str(packed), "--device", "cpu", "-o", str(tmp_path / "run")]
    assert main([*words, *start, *sets]) == 0
    before, after = (
        f.folds[0].networks["main"] for f in (open_run(packed), open_run(tmp_path / "run"))
    )
    for name, value in before.named_parameters():
        torch.testing.assert_close(dict(after.named_parameters())[name], value, atol=1e-6, rtol=0)


def test_a_fold_that_is_still_training_is_left_out_and_named(
    scans: tuple[Path, Path], tmp_path: Path
) -> None:
    nothing = "postprocessing=[{rule: keep_if_ml, region: renal, ml: 1000000}]"  # to measure
    run = untrained("unet3d-plain", tmp_path / "run", {}, nothing)
    (run / "fold_3" / "main" / "main").mkdir(parents=True)
    scan = scans[0] / CASES[0]
    assert segment(scan, tmp_path / "out", run, "--no-report") == 0
    (provenance,) = (tmp_path / "out").glob("*/provenance.json")
    found = json.loads(provenance.read_text(encoding="utf-8"))
    assert found["system"]["folds"] == [0]
    assert "not finished were left out of the mean: 3." in provenance.read_text(encoding="utf-8")
    # Asked for by its number, it is refused; nor is a file made that lacks it.
    with pytest.raises(InputError, match=r"fold 3 .* is not finished"):
        open_run(run, [3])
    with pytest.raises(InputError, match=r"fold 3 .* is not finished"):
        pack_run(run)


def test_a_run_without_any_finished_fold_says_what_to_do(tmp_path: Path) -> None:
    run = untrained("unet3d-plain", tmp_path / "run", {})
    (run / "fold_0" / "main.safetensors").unlink()
    with pytest.raises(InputError, match="no trained fold; resume its training"):
        open_run(run)
