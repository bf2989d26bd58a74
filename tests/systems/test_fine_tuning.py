"""From a trained model to one that knows somebody's own scans."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from helpers.programs import start_program
from numpy.typing import NDArray

from renalis.cli import main
from renalis.io import read_scan
from renalis.model import load_model
from renalis.prediction import Mirror, PredictionOptions, RuntimeName, predict

SHAPE, SPACING = (24, 40, 48), (6.0, 6.0, 6.0)
SMALL = ("network.channels=[8, 16]", "stages.fine.network.channels=[8, 16]")
OPTIONS = PredictionOptions(runtime=RuntimeName.TORCH, mirror=Mirror.NONE, keep_heap=False)
COMMON = ("train", "renalis-kidney", "--tiny", "--device", "cpu")


def sets(*changes: str) -> list[str]:
    return [part for change in (*SMALL, *changes) for part in ("--set", change)]


def odd_scan(folder: Path, number: int) -> None:
    """Kidneys darker than the fat around them, which no scanner makes."""
    rng = np.random.default_rng(number)
    z, y, x = np.indices(SHAPE)
    body = ((y - 20) / 17) ** 2 + ((x - 24) / 21) ** 2 < 1
    image = np.where(body, 150.0, -1000.0)
    label = np.zeros(SHAPE, np.uint8)
    for side in (-1, 1):
        center = 12 + rng.normal(), 25 + rng.normal(), 24 + side * (10 + rng.normal())
        place = sum(((a - c) / r) ** 2 for a, c, r in zip((z, y, x), center, (8, 4, 4)))  # noqa: B905
        label[np.asarray(place) < 1] = 1
    image[label > 0] = -120
    image += rng.normal(0, 15, SHAPE)
    case = folder / f"case_{number:05d}"
    case.mkdir(parents=True)
    affine = np.array([[0, 0, -6, 0], [0, -6, 0, 0], [-6, 0, 0, 0], [0, 0, 0, 1.0]])
    for name, array in (("imaging", image.astype(np.int16)), ("segmentation", label)):
        nibabel.save(nibabel.Nifti1Image(array, affine), case / f"{name}.nii.gz")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Twelve to learn from, three others."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(15):
        odd_scan(folder / ("learn" if number < 12 else "judge"), number)
    return folder / "learn", folder / "judge"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe's small variant, trained on synthetic patches for a moment."""
    folder = tmp_path_factory.mktemp("model")
    labels = folder / "labels"
    labels.mkdir()
    (labels / "case_00000.nii.gz").touch()  # never read: all kidneys are invented
    assert main([*COMMON, "--data", str(labels), "-o", str(folder / "run"), *sets()]) == 0
    return folder / "run" / "renalis-kidney.safetensors"


def dice(model: Path, folder: Path) -> float:
    """Mean over the scans of a folder, of everything renal."""
    opened, scores = load_model(model), []
    for case in sorted(folder.iterdir()):
        truth: NDArray[np.bool_] = (
            np.asarray(nibabel.load(case / "segmentation.nii.gz").dataobj) > 0
        )
        said = predict(read_scan(case / "imaging.nii.gz").volume, opened, OPTIONS)
        found = said.labels.array > 0
        scores.append(2 * np.sum(found & truth) / (np.sum(found) + np.sum(truth)))
    return float(np.mean(scores))


@pytest.mark.slow
@pytest.mark.timeout(1200)  # twenty seconds of one core, which others may want too
def test_fine_tuning_on_scans_of_an_odd_appearance_raises_dice_on_others_of_it(
    model: Path, scans: tuple[Path, Path], tmp_path: Path
) -> None:
    learn, judge = scans
    longer = [
        f"{stage}{change}"
        for stage in ("", "stages.fine.")
        for change in (
            "optimisation.stop.epochs=5",
            "sampler.steps_per_epoch=20",
            "optimisation.learning_rate=5e-3",
            "optimisation.precision=float32",
            "optimisation.micro_batch=4",
            "augmentation={}",
            "sampler.patch=[16, 24, 24]",
            "sampler.other_patches=[]",
            "prediction.window=[16, 24, 24]",
        )
    ]
    run = tmp_path / "run"
    words = ["--data", str(learn), "--kind", "kits23", "--start-from", str(model)]
    assert main([*COMMON, *words, "-o", str(run), *sets(*longer)]) == 0
    tuned = run / "renalis-kidney.safetensors"
    assert dice(tuned, judge) > max(0.6, dice(model, judge) + 0.3)
    header = load_model(tuned).header
    assert header.training["images"] == "10 scans with label maps"
    assert "Started from renalis-kidney 1" in header.data_credit
    assert "No CT" in load_model(model).header.data_credit
    terms = load_model(model).header.licence
    assert (header.licence, header.commercial_use) == (terms, False)
    # The model file is one that `segment` takes.
    scan = judge / "case_00012" / "imaging.nii.gz"
    more = ["--runtime", "torch", "--mirror", "none", "--no-report"]
    out = tmp_path / "out"
    assert main(["segment", str(scan), "-o", str(out), "--model", str(tuned), *more]) == 0
    assert main(["segment", str(scan), "-o", str(out), "--model", str(run), *more]) == 0


def test_what_it_starts_from_has_to_fit_and_stays(
    model: Path, scans: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*COMMON, "--data", str(scans[0]), "--kind", "kits23", "-o", str(tmp_path / "run")]
    wider = ["--set", "network.channels=[4, 8]"]
    assert main([*words, "--start-from", str(model), *sets(), *wider]) == 2
    assert "the coarse network of" in capfd.readouterr().err
    assert main([*words, "--start-from", "nothing", *sets()]) == 2
    assert "there is no model 'nothing'" in capfd.readouterr().err
    wrong = [*words, "--start-from", str(model), *sets()]
    wrong[wrong.index("kits23")] = "kits19"
    assert main(wrong) == 2
    assert "give a dataset with KiTS23's labels" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def mixed(scans: tuple[Path, Path], run: Path, *more: str) -> list[str]:
    """Half of the patches are synthetic, the others of the scans."""
    changes = [
        f"{stage}{change}"
        for stage, epochs in (("", 2), ("stages.fine.", 8))
        for change in (
            "sampler.mix={synthetic: 0.5, volumes: 0.5}",
            f"optimisation.stop.epochs={epochs}",
        )
    ]
    words = ["--data", str(scans[0]), "--kind", "kits23", "-o", str(run), *sets(*changes)]
    return [*COMMON, *words, *more]


@pytest.fixture(scope="module")
def tuned(model: Path, scans: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole training that started from the model."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    assert main(mixed(scans, run, "--start-from", str(model))) == 0
    return run


def test_bodies_and_scans_are_mixed_as_the_recipe_says_and_resumed_from_the_same_start(
    tuned: Path, scans: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_model(tuned / "renalis-kidney.safetensors").header.training["bodies"] == 2
    # Not from the same start, and so of another recipe.
    assert main(mixed(scans, tuned, "--resume")) == 2
    assert "was started" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bits(
    tuned: Path, model: Path, scans: tuple[Path, Path], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = mixed(scans, run, "--start-from", str(model))
    for more in ([], ["--resume"]):  # within the coarse network, then within the fine one
        with start_program("-m", "renalis", *words, *more, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert any("epoch 1/" in said for said in process.stderr)
            process.kill()
        assert process.returncode == -9
    assert not (run / "renalis-kidney.safetensors").exists()
    assert main([*words, "--resume"]) == 0
    one, other = (load_model(folder / "renalis-kidney.safetensors") for folder in (tuned, run))
    assert one.header.sha256 == other.header.sha256
