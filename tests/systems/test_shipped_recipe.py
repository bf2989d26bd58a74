"""The shipped model's recipe on the one engine: followed, killed, shared, from label maps alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from helpers.programs import run_program, start_program
from safetensors.torch import load_file

from renalis.cli import main
from renalis.dataset import Split, save_splits
from renalis.errors import InputError
from renalis.model import load_model
from renalis.recipes import load_system
from renalis.synthesis.patches import load_body
from renalis.systems.pack import ModelDescription, pack_run
from renalis.systems.synthetic_bodies import bodies_folder, build_bodies, training_maps

SMALL = ("network.channels=[4, 8]", "stages.fine.network.channels=[4, 8]")


def command(data: Path, run: Path, *more: str) -> list[str]:
    sets = [part for change in SMALL for part in ("--set", change)]
    place = ["--data", str(data), "-o", str(run), "--device", "cpu"]
    return ["train", "renalis-kidney", "--tiny", *place, *sets, *more]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {
        f"{stage}.{name}": value
        for stage in ("coarse", "fine")
        for name, value in load_file(run / "fold_0" / f"{stage}.safetensors").items()
    }


@pytest.fixture(scope="module")
def label_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps that are never read: the kidneys of the small variant's bodies are invented."""
    folder = tmp_path_factory.mktemp("labels")
    for number in range(3):
        (folder / f"case_{number:05d}.nii.gz").touch()
    return folder


@pytest.fixture(scope="module")
def run(label_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole small training."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert main(command(label_folder, run)) == 0
    return run


@pytest.fixture
def begun(run: Path, tmp_path: Path) -> Path:
    """A run's folder with the bodies alone."""
    shutil.copytree(run / "fold_0" / "bodies", tmp_path / "run" / "fold_0" / "bodies")
    return tmp_path / "run"


def followed(arguments: list[str]) -> set[str]:
    """Names of the functions of training and systems that a call goes through."""
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith(("renalis.training.", "renalis.systems.")):
            seen.add(f"{module}.{frame.f_code.co_qualname}")

    sys.setprofile(note)
    try:
        assert main(arguments) == 0
    finally:
        sys.setprofile(None)
    return seen


def test_the_shipped_and_a_published_recipe_go_through_the_same_functions(
    label_folder: Path, begun: Path, kits: Path, tmp_path: Path
) -> None:
    shipped = followed(command(label_folder, begun))
    one_epoch = ["--set", "optimisation.stop.epochs=1", "--kind", "kits19", "--device", "cpu"]
    place = ["--data", str(kits), "-o", str(tmp_path / "published")]
    published = followed(["train", "unet3d-residual", "--tiny", *place, *one_epoch])
    engine = {
        "systems.train": ("train_system", "train_fold"),
        "systems.train_stage": ("train_stage", "_data"),
        "systems.training_plans": ("planned_rounds", "loss_terms", "stop_rules"),
        "training.rounds": ("fit_rounds",),
        "training.engine": ("fit", "_epochs"),
        "training.epoch": ("train_epoch", "finish_epoch", "_backward"),
        "training.session": ("Session.save", "ScoredNetwork.forward"),
        "training.checkpoint": ("save_checkpoint", "save_weights", "load_weights"),
        "training.fit_plan": ("build_optimizer",),
        "training.losses.total": ("total_loss",),
    }
    wanted = {f"renalis.{module}.{name}" for module, names in engine.items() for name in names}
    assert wanted <= shipped
    assert wanted <= published


@pytest.mark.slow
def test_killed_and_resumed_gives_the_same_bits(run: Path, begun: Path, label_folder: Path) -> None:
    program = ("-m", "renalis", *command(label_folder, begun, "--resume"))
    # Within the coarse network, between both, and within the fine one.
    for line in ("epoch 1/2", "coarse, main ends", "epoch 1/2"):
        with start_program(*program, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert any(line in said for said in process.stderr)
            process.kill()
        assert process.returncode == -9
    assert main(command(label_folder, begun)) == 2  # holds a training
    assert main(command(label_folder, begun, "--resume")) == 0
    one, two = weights(run), weights(begun)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    packed = [load_model(folder / "renalis-kidney.safetensors") for folder in (run, begun)]
    assert packed[0].header.sha256 == packed[1].header.sha256


@pytest.mark.slow
def test_two_processes_share_each_batch(run: Path, begun: Path, label_folder: Path) -> None:
    words = command(label_folder, begun, "--processes", "2")
    done = run_program("-m", "helpers.forked_processes", "renalis", *words)
    assert done.returncode == 0, done.stderr
    one, two = weights(run), weights(begun)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_it_trains_and_resumes_on_a_gpu(begun: Path, label_folder: Path) -> None:
    words = [word if word != "cpu" else "cuda" for word in command(label_folder, begun)]
    short = ["--set", "optimisation.stop.epochs=1", "--set", "sampler.steps_per_epoch=2"]
    assert main([*words, *short]) == 0
    assert main([*words, *short, "--resume"]) == 0
    assert all(value.isfinite().all() for value in weights(begun).values())


def test_a_packed_model_says_how_it_sees_decides_and_was_trained(run: Path) -> None:
    header = load_model(run / "renalis-kidney.safetensors").header
    coarse, fine = header.stages
    assert (coarse.patch, coarse.spacing_mm) == ((32, 32, 32), (8.0, 8.0, 8.0))
    assert (fine.patch, fine.spacing_mm) == ((32, 32, 32), (6.0, 6.0, 6.0))
    assert (coarse.window_hu, fine.pooled) == ((-200, 400), True)
    assert header.thresholds == load_system("renalis-kidney").thresholds
    assert header.training["steps"] == {"coarse": 4, "fine": 4}
    assert header.training["images"] == "synthetic CT only"
    assert header.data_credit.startswith("No CT and no label map was used")


@pytest.mark.parametrize(
    ("maps", "licence", "credit"),
    [
        (["case_00000", "case_00001"], "CC-BY-NC-SA-4.0", "Label maps of the KiTS23 training set"),
        (["case_00000", "ours_1"], "LicenseRef-terms-of-the-training-data", "Label maps of who"),
    ],
    ids=["KiTS23's names", "names of others"],
)
def test_terms_are_those_of_the_label_maps(
    maps: list[str], licence: str, credit: str, run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    content = json.loads((run / "recipe.json").read_text())
    content["bodies"]["invented_share"] = 0.2
    (other / "recipe.json").write_text(json.dumps(content))
    save_splits(other / "fold_0" / "split.json", [Split(tuple(maps), ())])
    header = load_model(pack_run(other)).header
    assert (header.licence, header.commercial_use) == (licence, False)
    assert header.data_credit.startswith(credit)
    assert header.data_credit.endswith("No CT was used: all training images are synthetic.")


def test_a_recipes_own_thresholds_stand_in_the_model_file(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    content = json.loads((run / "recipe.json").read_text())
    content["thresholds"]["tumor_sure"] = 0.625
    (other / "recipe.json").write_text(json.dumps(content))
    header = load_model(pack_run(other, ModelDescription(version="7"))).header
    assert (header.thresholds.tumor_sure, header.version) == (0.625, "7")
    assert header.sha256 == load_model(run / "renalis-kidney.safetensors").header.sha256


def test_a_run_that_is_not_finished_is_not_packed(begun: Path, run: Path) -> None:
    shutil.copy(run / "recipe.json", begun)
    with pytest.raises(InputError, match="holds no weights of stage coarse; resume"):
        pack_run(begun)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--processes", "3"], "4 micro-batches of a step cannot be shared by 3 processes"),
        (["--fold", "3"], "leave --fold and --split out"),
        (["--workers", "-4"], "--workers must be at least 0"),
        (["--set", "stages.fine.grids.mm1-5.spacing_mm=[7, 7, 7]"], "no whole multiple"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: list[str],
    message: str,
    begun: Path,
    label_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(command(label_folder, begun, *words)) == 2
    assert message in capsys.readouterr().err


def test_every_stage_gets_bodies_of_its_spacing(run: Path) -> None:
    for spacing in (8.0, 6.0):
        for number in range(2):
            body = load_body(bodies_folder(run / "fold_0", spacing) / f"{number:05d}.body")
            assert body.spacing == spacing
            assert len(body.renal)
            # A body from chest to thighs.
            assert 250 < body.tissue.shape[0] * body.spacing < 1000


def test_bodies_that_are_there_stay_and_shared_work_gives_the_same(
    run: Path, label_folder: Path, tmp_path: Path
) -> None:
    system = load_system("renalis-kidney", SMALL, tiny=True)
    kept = bodies_folder(tmp_path, 8.0) / "00001.body"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"made before")
    for part in ((1, 2), (0, 2)):
        build_bodies(system, sorted(label_folder.iterdir()), tmp_path, part, lambda _: None)
    assert kept.read_bytes() == b"made before"
    for path in sorted(tmp_path.rglob("*.body")):
        whole = run / "fold_0" / path.relative_to(tmp_path)
        assert path == kept or path.read_bytes() == whole.read_bytes()
    assert len(list(tmp_path.rglob("*.body"))) == 4


def test_label_maps_are_kept_back_from_the_number_that_the_recipe_counts_over(
    tmp_path: Path,
) -> None:
    for number in range(7):
        (tmp_path / f"case_{number:05d}.nii.gz").touch()
    bodies = load_system("renalis-kidney").bodies
    assert bodies is not None
    with pytest.raises(InputError, match=r"7 label maps.* counted over 399.*held_back\.among"):
        training_maps(bodies, tmp_path)
    for among in ("7", "null"):
        mine = load_system("renalis-kidney", (f"bodies.held_back.among={among}",)).bodies
        assert mine is not None
        maps, held_back = training_maps(mine, tmp_path)
        assert [path.name[5:10] for path in maps] == [f"{n:05d}" for n in (0, 1, 2, 3, 4, 6)]
        assert [path.name[5:10] for path in held_back] == ["00005"]
