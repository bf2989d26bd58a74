"""Every published system, in its small variant, from a dataset to scored label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.coarse_grids import COARSE
from helpers.programs import FORKED_FOLDS, run_program

import renalis
from renalis.cli import main
from renalis.recipes import load_system, published
from renalis.systems import open_run, predict_scan

SYSTEMS = list(published())
FEWER = "dataset.exclude=[case_00005, case_00006, case_00007, case_00008, case_00009]"


def words(name: str, kits: Path, run: Path, *changes: str) -> list[str]:
    """A short training on a coarse grid; later changes replace earlier ones."""
    common = ["train", name, "--tiny", "--data", str(kits), "--kind", "kits19", "-o", str(run)]
    # An epoch, and one for each of the cascade's two rounds.
    short = f"optimisation.stop.epochs={2 if name == 'cascade3d' else 1}"
    sets = [part for one in (*COARSE.get(name, ()), short, *changes) for part in ("--set", one)]
    return [*common, "--device", "cpu", *sets]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_recipe_trains_and_its_run_segments_on_the_scans_own_grid(
    name: str, kits: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert main(words(name, kits, run, FEWER)) == 0
    scan = renalis.read_scan(kits / "case_00003" / "imaging.nii.gz").volume
    result = predict_scan(open_run(run), scan)
    assert result.raw.same_grid(scan)
    assert result.tidied.labels.same_grid(scan)
    allowed = {
        0,
        *(v for stage in load_system(name, tiny=True).all_stages() for v in stage.written),
    }
    assert set(np.unique(result.raw.array)) <= allowed


def test_a_run_is_not_mixed_with_another_recipe(kits: Path, tmp_path: Path) -> None:
    same = words("unet3d-plain", kits, tmp_path / "run", FEWER)
    assert main(same) == 0
    assert main(same) == 2  # there is a training already
    assert main([*same, "--resume", "--set", "optimisation.learning_rate=1"]) == 2
    assert main([*same, "--resume"]) == 0  # finished: nothing to do


def test_folds_learn_different_weights_and_are_averaged(kits: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = [*words("unet3d-plain", kits, run, FEWER, "split.k=2"), "--fold", "all"]
    code = "import sys; from renalis.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run_program("-c", FORKED_FOLDS + code, *arguments)
    assert done.returncode == 0, done.stderr
    both = open_run(run)
    assert len(both.folds) == 2
    one, other = (next(iter(f.networks["main"].state_dict().values())) for f in both.folds)
    assert not (one == other).all()
    scan = renalis.read_scan(kits / "case_00001" / "imaging.nii.gz").volume
    assert predict_scan(both, scan).raw.same_grid(scan)
