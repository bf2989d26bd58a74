"""Every real scan at hand through the whole program, and what the benchmark calls wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_scans import main, taken, variants
from real_scans_score import Outcome, Store, scored, table

from renalis.pipeline import CaseResult, Status
from renalis.volume import Volume

WHOLE = slice(0, None, 1)


def result(folder: Path, *kidneys: dict[str, Any]) -> CaseResult:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.html").write_text("a page")
    (folder / "measurements.json").write_text(json.dumps({"kidneys": kidneys}))
    return CaseResult("case", Status.DONE, folder)


def kidney(
    side: str,
    ml: float,
    slices: tuple[int, int],
    answer: str = "yes",
    borders: tuple[str, ...] = (),
) -> dict[str, Any]:
    x = {"right": 60.0, "left": -60.0}[side]
    location = {"slices": slices, "centroid_mm": (x, 0.0, 0.0), "borders": borders}
    return {"id": side, "volume_ml": ml, "location": location, "is_kidney": {"answer": answer}}


@pytest.fixture
def whole(tmp_path: Path) -> Outcome:
    both = kidney("right", 150, (30, 60)), kidney("left", 160, (35, 65))
    return scored("scan", "whole", result(tmp_path / "whole", *both), WHOLE, None)


def test_a_whole_kidney_of_another_volume_or_none_is_wrong(tmp_path: Path, whole: Outcome) -> None:
    given = result(tmp_path / "a", kidney("right", 120, (10, 20)))
    outcome = scored("scan", "every-3", given, slice(0, 100, 3), whole)
    assert outcome.wrong == (
        "right kidney has 120 ml instead of 150 ml (-20 %)",
        "left kidney of 160 ml is missing",
    )
    assert outcome.differences == {"right": pytest.approx(-0.2)}
    assert "-20.0 %" in table([whole, outcome])


def test_kidneys_that_the_copy_cuts_are_not_compared(tmp_path: Path, whole: Outcome) -> None:
    part = kidney("left", 12, (0, 5), borders=("inferior",))
    outcome = scored("scan", "cut", result(tmp_path / "a", part), slice(60, 100, 1), whole)
    assert outcome.wrong == ()
    assert outcome.differences == {}
    edge = scored("scan", "cut", result(tmp_path / "b"), slice(29, 66, 1), whole)
    assert edge.wrong == ("right kidney of 150 ml is missing",)  # no slice lies beyond the left one


def test_a_kidney_that_the_whole_scan_lacks_is_wrong_unless_cut_or_doubtful(
    tmp_path: Path,
) -> None:
    nothing = scored("scan", "whole", result(tmp_path / "w"), WHOLE, None)
    for number, (made, wrong, remarks) in enumerate(
        (
            (kidney("left", 20, (8, 20)), 1, 0),
            (kidney("left", 20, (8, 20), "doubtful"), 0, 0),
            (kidney("left", 20, (0, 9), borders=("inferior",)), 0, 1),
        )
    ):
        given = result(tmp_path / str(number), made)
        outcome = scored("scan", "every-2", given, slice(0, 90, 2), nothing)
        assert (len(outcome.wrong), len(outcome.remarks)) == (wrong, remarks)


def test_a_failure_and_a_missing_report_are_wrong(tmp_path: Path, whole: Outcome) -> None:
    failed = scored("scan", "x", CaseResult("x", Status.FAILED, problem="no"), WHOLE, whole)
    assert failed.wrong == ("failed: no",)
    given = result(tmp_path / "a")
    (tmp_path / "a" / "report.html").unlink()
    assert "there is no report" in scored("scan", "x", given, WHOLE, None).wrong


def test_what_was_kept_is_read_again(tmp_path: Path, whole: Outcome) -> None:
    Store(tmp_path / "out", resume=False).keep(whole)
    assert Store(tmp_path / "out", resume=True).outcomes() == [whole]
    assert Store(tmp_path / "out", resume=False).outcomes() == []


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SPL"])
def test_copies_hold_the_slices_that_their_names_say(codes: str) -> None:
    levels = np.arange(33, dtype=np.int16)
    scan = Volume(np.broadcast_to(levels, (4, 5, 33)), np.diag([2.0, 2.0, 3.0, 1.0]))
    scan = scan.reoriented(codes)
    axis = 0 if codes == "SPL" else 2
    made = dict(variants(33, scan.orientation[axis] == "S"))
    assert len(made) == 22
    for name, part in made.items():
        copy = taken(scan, axis, part).reoriented("RAS")
        for index in (0, copy.shape[2] - 1):
            place = copy.world(np.array([0, 0, index]))
            assert place[2] == pytest.approx(3 * copy.array[0, 0, index])
        heights = sorted(copy.array[0, 0].tolist())
        if name.startswith("every"):
            assert np.diff(heights).tolist() == [int(name[-1])] * (len(heights) - 1)
        elif name == "cut-above-03":
            assert heights == list(range(9))
        elif name == "cut-below-03":
            assert heights == list(range(9, 33))
    assert len(dict(variants(33, True, quick=True))) == 1


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_real_scan_whole_and_thinned(data_folder: Path, tmp_path: Path) -> None:
    if not (data_folder / "real-ct").is_dir():
        pytest.skip(f"no real scans in {data_folder}")
    assert main(["--data", str(data_folder), "--output", str(tmp_path / "out"), "--quick"]) == 0
