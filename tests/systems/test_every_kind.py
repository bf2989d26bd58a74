"""Every kind of segmenter goes one way: one opener, one case work, the same files and notes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from test_model import NETWORK, header, rewritten
from test_segment_run import untrained

import renalis
from renalis.cli import segment as command
from renalis.errors import InputError, UsageError
from renalis.model import load_model, save_model
from renalis.networks import build
from renalis.pipeline import CaseResult, SegmentOptions, Status
from renalis.pipeline.work import CaseWork
from renalis.postprocessing import NONE
from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName, Windows
from renalis.recipes import load_system, stored_text
from renalis.systems.pack import LicenceTerms, pack_run
from renalis.systems.segmenter_kinds import open_segmenter

KINDS = {
    "shipped": "coarse_to_fine",
    "windows": "windows",
    "slices": "slices",
    "tiles": "tiles",
    "packed": "windows",
    "ensemble": "ensemble",
}
ALWAYS = {"renalis", "case", "rules", "key", "source", "labels_sha256", "files", "notes", "row",
          "seconds", "peak_mb"}  # fmt: skip
"""What ``provenance.json`` says of every case."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each kind, untrained."""
    folder = tmp_path_factory.mktemp("kinds")
    torch.manual_seed(0)
    part = {"patch": [16, 16, 16], "window_hu": [-200, 400], "network": NETWORK}
    stages = [
        {"name": name, "spacing_mm": [mm] * 3, **part} for name, mm in (("coarse", 8), ("fine", 6))
    ]
    networks = {stage: build(NETWORK) for stage in ("coarse", "fine")}
    found = {
        "shipped": save_model(folder / "shipped.safetensors", header(stages=stages), networks),
        "windows": untrained("unet3d-plain", folder / "windows", {}),
        "slices": untrained("resnet34-2d", folder / "slices", {"slices": (40.0, 60.0)}),
        "tiles": untrained("cascade3d", folder / "tiles", {"mm1": (33.0, 44.0)}),
    }
    split = found["windows"] / "fold_0" / "split.json"
    split.write_text('{"train": ["a"], "val": [], "test": []}')
    found["ensemble"] = found["windows"]
    # Elsewhere, so that nothing of the run's folder is needed.
    packed = pack_run(found["windows"])
    return found | {"packed": packed.rename(folder / "packed.safetensors")}


@pytest.fixture(scope="module")
def scan(kits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corner of a scan, coarsely: networks that learned nothing find scraps all over it, and each
    is measured and drawn."""
    whole = nibabel.load(kits / "case_00001" / "imaging.nii.gz")
    path = tmp_path_factory.mktemp("scan") / "coarse.nii.gz"
    nibabel.save(whole.slicer[4:20:2, 0:28:2, 0:32:2], path)
    return path


def options(kind: str, models: dict[str, Path], **more: Any) -> SegmentOptions:
    if kind == "shipped":
        more["prediction"] = PredictionOptions(runtime=RuntimeName.TORCH, keep_heap=False)
    if kind == "ensemble":
        more["members"] = (models["packed"],)
    return SegmentOptions(**more)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_goes_through_the_same_case_work(
    kind: str, models: dict[str, Path], scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    for name in ("key", "read", "segment", "content"):
        whole = getattr(CaseWork, name)

        def noted(*arguments: Any, name: str = name, whole: Any = whole) -> Any:
            called.append(name)
            return whole(*arguments)

        monkeypatch.setattr(CaseWork, name, noted)

    def run() -> CaseResult:
        (result,) = renalis.segment(
            scan, tmp_path, options(kind, models), model=models[kind]
        )  # fmt: skip
        return result

    first = run()
    assert first.status == Status.DONE, first.problem
    assert called == ["key", "read", "segment", "content"]
    folder = first.folder
    assert folder is not None
    assert {path.name for path in folder.iterdir()} == {
        "segmentation.nii.gz", "measurements.json", "preview.png", "report.html",
        "provenance.json",
    }  # fmt: skip
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance.keys() >= ALWAYS
    assert ("model" in provenance) != ("system" in provenance)
    assert {"read", "write", "measure", "report"} < provenance["seconds"].keys()
    name = (provenance.get("model") or provenance["system"])["name"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert name in page
    assert ">Prediction<" in page  # how long it took
    again = run()
    assert again.status == Status.SKIPPED
    # The same without any file, in memory.
    segmenter = open_segmenter(models[kind], options(kind, models))
    assert segmenter.kind == KINDS[kind]
    alone = segmenter.segment(renalis.read_scan(scan))
    written = nibabel.load(folder / "segmentation.nii.gz")
    np.testing.assert_array_equal(alone.labels.array, np.asarray(written.dataobj))
    assert alone.kidney is None or alone.kidney.array.dtype == np.uint8
    assert alone.seconds


@pytest.mark.parametrize(
    ("kind", "chosen", "said"),
    [
        ("windows", {"prediction": PredictionOptions(mirror=Mirror.ALL)}, "--mirror: belongs"),
        ("packed", {"prediction": PredictionOptions(max_ram_mb=9.0)}, "--max-ram: belongs"),
        (
            "windows",
            {"prediction": PredictionOptions()},
            "--runtime, --mirror, --threshold, --max-ram: b",
        ),
        ("ensemble", {"rules": NONE}, "rules: belongs"),
        ("shipped", {"folds": (0,)}, "--fold: belongs to --model RUN"),
        ("shipped", {"members": (Path("run"),)}, "--with: belongs to --model RUN"),
        ("shipped", {"look_everywhere": True}, "--look-everywhere: belongs to --model RUN"),
    ],
)
def test_no_option_is_ignored_in_silence(
    kind: str, chosen: dict[str, Any], said: str, models: dict[str, Path]
) -> None:
    with pytest.raises(UsageError, match=said):
        open_segmenter(models[kind], SegmentOptions(**chosen))


def test_rules_are_switched_off_by_name_for_every_kind(models: dict[str, Path]) -> None:
    shipped = open_segmenter(models["shipped"], SegmentOptions(without_rules=("all",)))
    assert getattr(shipped, "rules") == NONE  # noqa: B009 - of this kind alone
    with pytest.raises(UsageError, match="no rule is called 'nonsense'"):
        open_segmenter(models["shipped"], SegmentOptions(without_rules=("nonsense",)))
    with pytest.raises(UsageError, match="no rule 'nonsense'"):
        open_segmenter(models["tiles"], SegmentOptions(without_rules=("nonsense",)))


def test_terms_are_asked_of_every_member(models: dict[str, Path], tmp_path: Path) -> None:
    split = models["windows"] / "fold_0" / "split.json"
    assert split.exists()
    free = pack_run(models["windows"], terms=LicenceTerms("CC0-1.0", True, "nobody"))
    free = free.rename(tmp_path / "free.safetensors")
    wanted = SegmentOptions(require_commercial=True)
    assert open_segmenter(free, wanted).kind == "windows"
    with pytest.raises(UsageError, match=r"terms of .*tiles"):
        open_segmenter(free, replace(wanted, members=(models["tiles"],)))


def test_terms_of_a_model_in_memory_are_asked_too(models: dict[str, Path]) -> None:
    model = load_model(models["shipped"])
    with pytest.raises(InputError, match="does not allow commercial use"):
        open_segmenter(model, SegmentOptions(require_commercial=True))


@pytest.mark.parametrize("kind", ["shipped", "windows", "ensemble"])
def test_another_version_of_a_needed_package_makes_another_result(
    kind: str, models: dict[str, Path], kits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = renalis.io.find_scans([kits / "case_00000" / "imaging.nii.gz"])[0]
    segmenter = open_segmenter(models[kind], options(kind, models))
    if kind == "ensemble":  # what its run needs is the case before
        (segmenter,) = getattr(segmenter, "members")  # noqa: B009 - of this kind alone
    keys = []
    for version in ("1.0", "1.0", "1.1"):
        for module in ("coarse_to_fine", "system_segmenter", "ensemble_members"):
            monkeypatch.setattr(
                f"renalis.systems.{module}.installed_packages",
                lambda needs, version=version: {"stranger": version},
            )
        keys.append(segmenter.key(source))
    assert keys[0] == keys[1] != keys[2]


def test_thresholds_that_were_chosen_stand_in_the_provenance(
    models: dict[str, Path], kits: Path
) -> None:
    chosen = PredictionOptions(
        runtime=RuntimeName.TORCH, keep_heap=False, thresholds={"tumor_sure": 0.5}
    )
    segmenter = open_segmenter(models["shipped"], SegmentOptions(prediction=chosen))
    scan = renalis.read_scan(kits / "case_00000" / "imaging.nii.gz")
    assert segmenter.segment(scan).provenance["thresholds"] == {"tumor_sure": 0.5}


def test_a_packed_run_of_another_version_says_so(models: dict[str, Path], tmp_path: Path) -> None:
    def change(layout: dict[str, Any]) -> None:
        about = json.loads(layout["__metadata__"]["renalis"])
        about["recipe"]["phases"] = about["recipe"].pop("stages")
        layout["__metadata__"]["renalis"] = json.dumps(about)

    old = rewritten(models["packed"], tmp_path / "old.safetensors", change)
    with pytest.raises(InputError, match="a recipe of another version of renalis"):
        open_segmenter(old)


def test_members_are_options_and_may_be_words(models: dict[str, Path]) -> None:
    words: Any = (str(models["packed"]),)
    assert open_segmenter(str(models["windows"]), SegmentOptions(members=words)).kind == "ensemble"
    several: Any = [models["windows"], models["packed"]]
    with pytest.raises(UsageError, match=r"model= takes one .* members="):
        open_segmenter(several)


def test_folds_and_files_that_are_not_there_are_called_so(
    models: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"holds no fold 7; it has 0"):
        open_segmenter(models["windows"], SegmentOptions(folds=(7,)))
    (tmp_path / "recipe.json").write_text(stored_text(load_system("renalis-kidney", tiny=True)))
    with pytest.raises(InputError, match=r"holds no renalis-kidney.safetensors yet.*resume"):
        open_segmenter(tmp_path)


def test_the_commands_choices_are_those_of_the_prediction() -> None:
    for names, kind in (
        (command._MIRRORS, Mirror),
        (command._RUNTIMES, RuntimeName),
        (command._WINDOWS, Windows),
    ):
        assert sorted(names) == sorted(kind)


def test_predicting_loads_nothing_of_training() -> None:
    code = (
        "import sys, renalis.systems.system_segmenter;"
        "print({'lightning_fabric', 'torch._dynamo', 'torch.distributed.fsdp'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
