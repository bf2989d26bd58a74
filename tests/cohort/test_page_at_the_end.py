"""A run ends with the page of its cohort, however it ends; the page never costs the results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from helpers.cohort_folders import add_result

from renalis.cohort.engine import EngineListener
from renalis.cohort.listing import Listed, Listing
from renalis.cohort.run import CohortListener, Tally, run_cohort
from renalis.io import ScanSource
from renalis.pipeline.table import COHORT_PAGE, MANIFEST, TABLE


class _Engine:
    """Results without a network; ``end`` says what becomes of each case."""

    def __init__(self, output: Path, end: Mapping[str, str]) -> None:
        self._output, self._end = output, end

    def run(
        self, jobs: Iterable[Mapping[str, Any]], listener: EngineListener
    ) -> Iterator[dict[str, Any]]:
        for job in jobs:
            case = job["source"]["case_id"]
            end = self._end.get(case, "done")
            if end == "interrupt":
                raise KeyboardInterrupt
            if end == "done":
                add_result(self._output, case, line=False)
            problem = f"{case}: it is no scan" if end == "failed" else ""
            yield {
                "case": case, "status": end, "attempt": 1, "problem": problem,
                "cause": "bad input" if problem else "", "outputs": {}, "internal": False,
            }  # fmt: skip


class _Heard(CohortListener):
    def __init__(self) -> None:
        self.problems: list[str] = []

    def problem(self, text: str) -> None:
        self.problems.append(text)


def _run(output: Path, listener: CohortListener | None = None, **end: str) -> Tally:
    sources = [ScanSource(name, output / name, "nifti") for name in ("a", "b", "c")]
    listing = Listing(3, iter(map(Listed, sources)))
    return run_cohort(listing, output, lambda kept: _Engine(output, end), listener)


def test_a_run_of_failures_only_has_its_page(tmp_path: Path) -> None:
    tally = _run(tmp_path, a="failed", b="failed", c="failed")
    assert (tally.failed, tally.page_problem) == (3, "")
    assert "c: it is no scan" in (tmp_path / COHORT_PAGE).read_text()
    assert not (tmp_path / TABLE).exists()


def test_a_run_that_is_stopped_has_its_page(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _run(tmp_path, b="interrupt")
    page = (tmp_path / COHORT_PAGE).read_text()
    assert "The run ended before 2 scans had their turn" in page
    assert 'href="a/report.html"' in page


def test_a_page_that_cannot_be_written_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / COHORT_PAGE).mkdir()
    heard = _Heard()
    tally = _run(tmp_path, heard)
    assert tally.good == 3
    assert heard.problems == [tally.page_problem]
    assert tally.page_problem.startswith(f"{COHORT_PAGE} could not be made: ")
    assert "all results are kept" in tally.page_problem
    assert (tmp_path / TABLE).read_text().count("\n") == 4
    assert (tmp_path / MANIFEST).is_file()


def test_a_defect_of_the_page_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("defect")

    monkeypatch.setattr("renalis.cohort.report.write.write_cohort_page", broken)
    assert "internal error (ZeroDivisionError" in _run(tmp_path).page_problem
