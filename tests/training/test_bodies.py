"""Bodies of every spacing that stages need, and models packed from their runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from renalis.errors import InputError
from renalis.model import load_model
from renalis.recipes import Recipe, load_recipe
from renalis.synthesis.patches import load_body
from renalis.training.bodies import bodies_folder, build_bodies, training_maps
from renalis.training.loop import train_stage
from renalis.training.pack import pack

COARSE = (
    "bodies.count=2",
    "stages.coarse.bodies_mm=8.0",
    "stages.coarse.spacing_mm=8.0",
    "stages.fine.bodies_mm=6.0",
    "stages.fine.spacing_mm=6.0",
    "stages.fine.window=[32, 32, 32]",
    *(
        f"stages.{name}.{change}"
        for name in ("coarse", "fine")
        for change in (
            "patch=[16, 16, 16]",
            "other_patches=[]",
            "network={name: unet, in_channels: 1, out_channels: 4, channels: [4, 8]}",
            "optimisation.steps=1",
        )
    ),
)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("renalis-kidney", COARSE)


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    build_bodies(recipe, None, run)
    return run


def test_every_stage_gets_bodies_of_its_spacing(recipe: Recipe, run: Path) -> None:
    folders = [bodies_folder(run, stage) for stage in recipe.stages]
    assert [folder.name for folder in folders] == ["8mm", "6mm"]
    for number in range(2):
        coarse, fine = (load_body(folder / f"{number:05d}.body") for folder in folders)
        assert (coarse.spacing, fine.spacing) == (8.0, 6.0)
        for body in (coarse, fine):
            assert len(body.renal)
            # A body from chest to thighs.
            assert 250 < body.tissue.shape[0] * body.spacing < 1000


def test_another_stages_spacing_changes_no_body(run: Path, tmp_path: Path) -> None:
    alone = load_recipe("renalis-kidney", (*COARSE, "stages.coarse.bodies_mm=6.0"))
    build_bodies(alone, None, tmp_path)
    for path in sorted(tmp_path.rglob("*.body")):
        assert path.read_bytes() == (run / path.relative_to(tmp_path)).read_bytes()


def test_bodies_that_are_there_stay_and_shared_work_gives_the_same(
    recipe: Recipe, run: Path, tmp_path: Path
) -> None:
    folders = [bodies_folder(tmp_path, stage) for stage in recipe.stages]
    for folder in folders:
        folder.mkdir(parents=True)
    kept = folders[0] / "00001.body"
    kept.write_bytes(b"made before")
    for part in ((1, 2), (0, 2)):
        build_bodies(recipe, None, tmp_path, part)
    assert kept.read_bytes() == b"made before"
    for folder in folders:
        for path in sorted(folder.glob("*.body")):
            whole = run / path.relative_to(tmp_path)
            assert path == kept or path.read_bytes() == whole.read_bytes()
    assert len(list(tmp_path.rglob("*.body"))) == 4


def test_a_model_predicts_with_the_windows_that_its_recipe_names(recipe: Recipe, run: Path) -> None:
    train_stage(recipe, recipe.stages[0], bodies_folder(run, recipe.stages[0]), run, lambda _: None)
    with pytest.raises(InputError, match="no checkpoint of stage fine"):
        pack(recipe, run)
    train_stage(recipe, recipe.stages[1], bodies_folder(run, recipe.stages[1]), run, lambda _: None)
    coarse, fine = load_model(pack(recipe, run)).header.stages
    assert (coarse.patch, coarse.spacing_mm) == ((16, 16, 16), (8.0, 8.0, 8.0))
    assert (fine.patch, fine.spacing_mm) == ((32, 32, 32), (6.0, 6.0, 6.0))


def test_label_maps_are_kept_back_from_the_number_that_the_recipe_counts_over(
    tmp_path: Path,
) -> None:
    for number in range(7):
        (tmp_path / f"case_{number:05d}.nii.gz").touch()
    with pytest.raises(InputError, match=r"7 label maps.* counted over 399.*held_back\.among"):
        training_maps(load_recipe("renalis-kidney"), tmp_path)
    for among in ("7", "null"):
        mine = load_recipe("renalis-kidney", (f"held_back.among={among}",))
        names = [path.name for path in training_maps(mine, tmp_path)]
        assert names == [f"case_{number:05d}.nii.gz" for number in (0, 1, 2, 3, 4, 6)]
