"""A cohort around an engine: manifest, table, lock; the engine here does nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from renalis.cohort.engine import EngineListener
from renalis.cohort.listing import Listed, Listing
from renalis.cohort.manifest import lines_of
from renalis.cohort.run import Tally, run_cohort
from renalis.errors import InputError, OutputError
from renalis.io import ScanSource
from renalis.io.lock import held
from renalis.pipeline.folder import write_json
from renalis.pipeline.options import Status
from renalis.pipeline.table import MANIFEST, TABLE


@dataclass
class Pretending:
    """Writes folders for cases; stops like Ctrl-C when so many are done."""

    until: int = 99
    failing: tuple[str, ...] = ()
    taken: int = 0

    def run(
        self, jobs: Iterable[Mapping[str, Any]], listener: EngineListener
    ) -> Iterator[dict[str, Any]]:
        for job in jobs:
            self.taken += 1
            case = job["source"]["case_id"]
            if self.taken > self.until:
                raise KeyboardInterrupt
            failed = case in self.failing
            if not failed:
                folder = Path(job["output"]) / case
                folder.mkdir(exist_ok=True)
                for name in ("segmentation.nii.gz", "measurements.json"):
                    (folder / name).touch()
                files = ["segmentation.nii.gz", "measurements.json"]
                write_json(folder / "provenance.json", {"files": files, "row": {"case": case}})
            yield {"case": case, "status": "failed" if failed else "done", "internal": failed,
                   "cause": "crash" if failed else "", "attempt": job["attempt"], "key": "k",
                   "outputs": {}}  # fmt: skip


def listing(*cases: str) -> Listing:
    sources = (ScanSource(case, Path(f"{case}.nii"), "nifti") for case in cases)
    return Listing(len(cases), map(Listed, sources))


def run(out: Path, engine: Pretending, *cases: str) -> Tally:
    return run_cohort(listing(*cases), out, lambda _: engine)


def test_each_case_has_a_line_and_a_row(tmp_path: Path) -> None:
    tally = run(tmp_path, Pretending(failing=("b",)), "a", "b", "c")
    assert (tally.good, tally.failed, tally.internal, tally.causes) == (2, 1, 1, {"crash": 1})
    assert [line["case"] for line in lines_of(tmp_path)] == ["a", "b", "c"]
    assert [row.split(",")[0] for row in (tmp_path / TABLE).read_text().splitlines()] == [
        "case", "a", "c",
    ]  # fmt: skip


def test_interrupted_it_keeps_table_and_manifest_of_what_is_done(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Pretending(until=2), "a", "b", "c", "d")
    assert [line["case"] for line in lines_of(tmp_path)] == ["a", "b"]
    assert len((tmp_path / TABLE).read_text().splitlines()) == 3


@pytest.mark.parametrize("empty", [True, False], ids=["unmounted", "removed"])
def test_a_folder_that_goes_away_ends_the_run_and_nothing_is_written_in_its_place(
    tmp_path: Path, empty: bool
) -> None:
    out, away = tmp_path / "out", tmp_path / "away"

    @dataclass
    class Unmounting(Pretending):
        def run(
            self, jobs: Iterable[Mapping[str, Any]], listener: EngineListener
        ) -> Iterator[dict[str, Any]]:
            for result in super().run(jobs, listener):
                yield result
                out.rename(away)
                if empty:
                    out.mkdir()
                yield {**result, "case": "b", "status": "failed", "cause": "disk"}

    with pytest.raises(OutputError, match=r"no longer the folder .* bring it back and repeat"):
        run(out, Unmounting(), "a", "b", "c")
    assert not out.exists() or not [*out.iterdir()]
    assert [line["case"] for line in lines_of(away)] == ["a"]
    if empty:
        out.rmdir()
    away.rename(out)
    assert run(out, Pretending(), "a", "b", "c").good == 3
    assert len((out / TABLE).read_text().splitlines()) == 4


def test_a_drive_that_numbers_its_files_anew_is_no_other_one(tmp_path: Path) -> None:
    @dataclass
    class Numbering(Pretending):
        def run(
            self, jobs: Iterable[Mapping[str, Any]], listener: EngineListener
        ) -> Iterator[dict[str, Any]]:
            for result in super().run(jobs, listener):
                (tmp_path / ".lock").rename(tmp_path / ".was")
                (tmp_path / ".lock").touch()
                yield result

    assert run(tmp_path, Numbering(), "a", "b").good == 2


def test_an_attempt_counts_from_those_of_earlier_runs(tmp_path: Path) -> None:
    run(tmp_path, Pretending(failing=("a",)), "a")
    run(tmp_path, Pretending(failing=("a",)), "a")
    assert [line["attempt"] for line in lines_of(tmp_path)] == [1, 2]


def test_cases_are_looked_at_when_their_turn_comes(tmp_path: Path) -> None:
    looked: list[str] = []

    def cases() -> Iterator[Listed]:
        for case in "abcdef":
            looked.append(case)
            yield Listed(ScanSource(case, Path(case), "nifti"))

    with pytest.raises(KeyboardInterrupt):
        run_cohort(Listing(6, cases()), tmp_path, lambda _: Pretending(until=2))
    assert looked == ["a", "b", "c"]


def test_a_second_process_on_one_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("renalis.pipeline.folder._PATIENCE_S", 0.0)
    engine = Pretending()
    with held(tmp_path, "busy"), pytest.raises(InputError, match="another renalis segment works"):
        run(tmp_path, engine, "a")
    assert engine.taken == 0
    assert not (tmp_path / MANIFEST).exists()
    assert run(tmp_path, engine, "a").statuses == {Status.DONE: 1}


def test_what_a_killed_run_left_half_written_is_cleared(tmp_path: Path) -> None:
    half = tmp_path / f".{MANIFEST}.0123abcd.part"
    other = tmp_path / ".something.else.part"
    half.touch()
    other.touch()
    run(tmp_path, Pretending(), "a")
    assert not half.exists()
    assert other.exists()
