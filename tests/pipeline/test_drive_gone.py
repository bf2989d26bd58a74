"""A drive that goes away while a case is computed: nothing is written where it was.

An unmounted drive leaves an empty folder that may be written. Here the folder of results is moved
away and an empty one made; ``benchmarks/vanishing_drive.py`` does it with real drives.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.small_cohort import write_scan
from helpers.stub import stub_model
from helpers.vanishing import bring_back, take_away

from renalis.errors import OutputError
from renalis.io import inventory, read_scan
from renalis.pipeline import Listener, SegmentOptions, Status, segment
from renalis.pipeline.cases import do_case
from renalis.pipeline.work import CaseWork
from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName
from renalis.systems.segmenter import Clock
from renalis.systems.segmenter_kinds import open_segmenter

OPTIONS = SegmentOptions(
    prediction=PredictionOptions(runtime=RuntimeName.TORCH, mirror=Mirror.NONE), report=False
)


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan(tmp_path_factory.mktemp("in") / "scan.nii.gz")


class Unmounting(Listener):
    """Takes the folder of results away when a step begins."""

    def __init__(self, out: Path, when: str) -> None:
        self.out, self.when = out, when

    def step(self, name: str, done: int, total: int) -> None:
        if name == self.when and any(self.out.iterdir()):
            take_away(self.out)


@pytest.mark.parametrize("when", ["fine", "measure"])
def test_nothing_is_written_where_the_drive_was(scan_file: Path, tmp_path: Path, when: str) -> None:
    out = tmp_path / "out"
    listener = Unmounting(out, when)
    with pytest.raises(OutputError, match=r"no longer the folder .* bring it back and repeat"):
        segment(scan_file, out, OPTIONS, listener=listener, model=stub_model())
    bring_back(out)
    (result,) = segment(scan_file, out, OPTIONS, model=stub_model())
    assert result.status == Status.DONE, result.problem


def test_a_scan_that_was_read_before_its_drive_went_away_fails(
    scan_file: Path, tmp_path: Path
) -> None:
    away = scan_file.with_name("away")
    (source,) = inventory([scan_file]).scans
    scan = read_scan(source)
    work = CaseWork(open_segmenter(stub_model(), OPTIONS), OPTIONS)
    scan_file.rename(away)
    try:
        result = do_case(source, tmp_path, work, Clock(), read=lambda _: scan)
    finally:
        away.rename(scan_file)
    assert result.status == Status.FAILED
    assert "cannot be read (No such file or directory)" in result.problem
    assert list(tmp_path.iterdir()) == []
    assert do_case(source, tmp_path, work, Clock()).status == Status.DONE
    assert do_case(source, tmp_path, work, Clock()).status == Status.SKIPPED
