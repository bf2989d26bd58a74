"""Out-of-fold label maps on a Ray cluster, whose part a stand-in plays: the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.coarse_grids import COARSE
from helpers.ray_stand_in import NodeGone, stand_in
from helpers.untrained_runs import untrained_run

from renalis.cli import main
from renalis.crossvalidation import out_of_fold


def test_label_maps_and_scores_are_those_of_one_machine_though_a_node_is_lost(
    four: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = [*COARSE["unet3d-plain"], "split.k=2"]
    run = untrained_run("unet3d-plain", four, tmp_path / "run", changes)

    def command(out: str, *more: str) -> list[str]:
        words = ["crossvalidate", str(run), "--data", str(four), "--kind", "kits19"]
        return [*words, "-o", str(tmp_path / out), "--device", "cpu", "--jobs", "1", *more]

    assert main(command("here")) == 0
    capsys.readouterr()
    cluster = stand_in(monkeypatch)
    made = out_of_fold._made

    def heard(opened: object, one: out_of_fold.Wanted, *rest: object) -> tuple[str, ...]:
        found = made(opened, one, *rest)  # type: ignore[arg-type]
        if one.case == "case_00002" and all(cluster.alive.values()):
            raise NodeGone
        return found

    monkeypatch.setattr(out_of_fold, "_made", heard)
    assert main(command("there", "--engine", "ray")) == 0
    assert "case_00002: its node was lost; it is predicted again" in capsys.readouterr().err
    here, there = (
        {
            path.relative_to(tmp_path / out): path.read_bytes()
            for path in (tmp_path / out).rglob("*")
            if path.is_file() and path.name not in ("metrics.json", ".lock")
        }
        for out in ("here", "there")
    )
    assert len([path for path in here if path.name.endswith(".nii.gz")]) == 4
    assert here == there
