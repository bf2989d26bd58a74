"""The page of a cohort: what it names, in which order, and what never stands in it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.browser_session import browser, installed
from helpers.cohort_folders import FAILED, add_failure, add_result, made_up_cohort
from helpers.vanishing import bring_back, take_away
from PIL import Image

from renalis.cli import main
from renalis.cohort.report import cards
from renalis.cohort.report.write import write_cohort_page
from renalis.errors import OutputError
from renalis.pipeline.table import COHORT_PAGE


def _picture() -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((480, 122)).save(buffer, "PNG")
    return buffer.getvalue()


def _page(output: Path, total: int | None = None) -> str:
    return write_cohort_page(output, total).read_text(encoding="utf-8")


def _data(page: str) -> dict[str, Any]:
    found = re.search(r'id="case-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def _shown(page: str) -> list[str]:
    """Names on the cards, in their order."""
    return re.findall(r"<h3><(?:a|b)[^>]*>([^<]+)<", page)


def test_failures_stand_under_their_cause_each_with_its_sentence(tmp_path: Path) -> None:
    for number in range(7):
        add_failure(tmp_path, f"lost_{number}", (0, 0, 0, 0, 1, 1, 2)[number])
    add_result(tmp_path, "whole")
    add_result(tmp_path, "half", missing=["report.html"])
    page = _page(tmp_path)
    headings = re.findall(r"<summary>([^<]*): (\d+) case", page)
    assert headings[:3] == [("bad input", "4"), ("killed", "2"), ("internal", "1")]
    for number in range(7):
        problem = FAILED[(0, 0, 0, 0, 1, 1, 2)[number]][1].format(case=f"lost_{number}")
        assert f"<li>{problem}</li>" in page
    assert "half: report.html missing; the same command makes only these" in page
    assert [row[:2] for row in _data(page)["rows"][:7]] == [
        [f"lost_{number}", _data(page)["statuses"].index("failed")] for number in range(7)
    ]


def test_only_failures_still_make_a_page(tmp_path: Path) -> None:
    add_failure(tmp_path, "lost")
    page = _page(tmp_path, total=5)
    assert "The run ended before 4 scans had their turn" in page
    assert "Cohort of 5 scans" in page
    assert _shown(page) == []


def test_the_doubtful_tenth_comes_first(tmp_path: Path) -> None:
    for number in range(30):
        add_result(tmp_path, f"c{number}", case_confidence=f"{0.6 + number / 100:.2f}")
    add_result(tmp_path, "nothing", kidneys=0, case_confidence="")
    page = _page(tmp_path)
    assert _shown(page) == ["nothing", "c0", "c1", "c2"], "a tenth of 31, rounded up"
    assert page.index("no kidney was found") < page.index(">c0<")
    assert 'href="c0/report.html"' in page
    assert [row[0] for row in _data(page)["rows"]][:4] == ["nothing", "c0", "c1", "c2"]


def test_cases_that_do_not_say_how_sure_they_are_go_by_their_remarks(tmp_path: Path) -> None:
    for number in range(19):
        add_result(tmp_path, f"old{number:02d}", notes_of_scan=["note"] * (number == 9))
        add_result(tmp_path, f"new{number:02d}", case_confidence=f"{0.9 - number / 100:.2f}")
    assert _shown(_page(tmp_path)) == ["new18", "old09", "new17", "old00"]


def test_of_equally_many_remarks_the_least_agreement_comes_first(tmp_path: Path) -> None:
    for number in range(20):
        agreement = f"{0.95 - number / 100:.2f}" if number % 2 else ""
        add_result(tmp_path, f"c{number:02d}", case_confidence="", case_agreement=agreement)
    page = _page(tmp_path)
    assert _shown(page) == ["c19", "c17"]
    assert "<code>case_agreement</code> comes first, which is not calibrated" in page
    assert "How sure such results are was not measured" in page


def test_cases_far_from_the_others_are_named_with_their_report(tmp_path: Path) -> None:
    for number in range(20):
        add_result(tmp_path, f"c{number}", left_ml=170 + number, right_ml=190 - number)
    add_result(tmp_path, "huge", left_ml=900)
    page = _page(tmp_path)
    section = page[page.index('id="outliers"') : page.index('id="distributions"')]
    assert "Left kidney with its lesions: 1 of 21" in section
    assert '<a href="huge/report.html">huge</a> 900 ml' in section
    row = next(row for row in _data(page)["rows"] if row[0] == "huge")
    assert row[-2] & 1, "its cell is marked"


def test_results_of_several_models_are_pointed_out(tmp_path: Path) -> None:
    add_result(tmp_path, "a")
    add_result(tmp_path, "b")
    assert "Not all results were made alike" not in _page(tmp_path)
    add_result(tmp_path, "c", version="11")
    page = _page(tmp_path)
    assert "2 cases by model renalis-kidney 12, 1 case by model renalis-kidney 11" in page


def test_pauses_between_runs_do_not_slow_the_cohort(tmp_path: Path) -> None:
    # Two at a time for 36 s, then the machine sleeps for a day, then one more.
    add_result(tmp_path, "a", start=0)
    add_result(tmp_path, "b", start=0)
    add_result(tmp_path, "c", start=86400)
    assert "150 cases an hour over 72 s of work" in _page(tmp_path)


def test_folders_without_a_manifest_are_shown(tmp_path: Path) -> None:
    add_result(tmp_path, "alone", line=False)
    assert 'href="alone/report.html"' in _page(tmp_path)


def test_nothing_leads_back_to_a_patient(tmp_path: Path) -> None:
    made_up_cohort(tmp_path / "OUTPUT", 40)
    page = _page(tmp_path / "OUTPUT")
    assert "SECRET" not in page
    assert "OUTPUT" not in page
    assert str(tmp_path) not in page


def test_pictures_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        add_result(tmp_path, f"c{number}", preview=_picture())
    (tmp_path / "c1" / "preview.png").write_bytes(b"no picture")
    whole = _page(tmp_path)
    addresses = re.findall(r'src="(data:image/webp[^"]*)"', whole)
    assert len(addresses) == 2
    assert whole.count("no picture") == 1
    monkeypatch.setattr(cards, "MOST_PICTURE_BYTES", len(addresses[0]) + 10)
    monkeypatch.setattr(cards, "MOST_CARDS", 2)
    bounded = _page(tmp_path)
    assert len(_shown(bounded)) == 2
    assert bounded.count("data:image/webp") == 1


@pytest.mark.parametrize("name", ["../outside", "/etc", ".hidden", "a/b"])
def test_a_manifest_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    add_result(tmp_path / "outside" / "x", "..y")
    out = tmp_path / "out"
    out.mkdir()
    line = {"case": name, "status": "done", "attempt": 1, "outputs": {}}
    (out / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    rows = _data(_page(out))["rows"]
    assert [row[0] for row in rows] == [name]
    assert rows[0][-1] == 0


def test_it_is_a_command_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort", "report", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err
    add_result(tmp_path, "a")
    assert main(["cohort", "report", str(tmp_path)]) == 0
    assert str(tmp_path / COHORT_PAGE) in capsys.readouterr().out


def test_a_page_is_not_written_where_the_drive_was(tmp_path: Path) -> None:
    add_result(tmp_path / "out", "a", preview=_picture())
    (tmp_path / "out" / "measurements.csv").write_text("case\na\n")

    def preview(case: str) -> Path:
        take_away(tmp_path / "out")
        return tmp_path / case

    with pytest.raises(OutputError, match="is gone: its drive was unmounted"):
        write_cohort_page(tmp_path / "out", preview=preview)
    bring_back(tmp_path / "out")


def test_in_a_browser_it_loads_nothing_and_hostile_words_do_not_run(tmp_path: Path) -> None:
    executable = installed()
    if executable is None:
        pytest.skip("no Chromium is installed: the page is not tried in a browser")
    hostile = "<img src=x onerror=fail()></script><script>fail()</script>"
    made_up_cohort(tmp_path / "out", 140, _picture())
    add_result(tmp_path / "out", "worse", kidneys=0, notes_of_scan=[hostile])
    line = {"case": hostile, "status": "failed", "attempt": 1, "cause": hostile,
            "problem": hostile, "outputs": {}}  # fmt: skip
    with (tmp_path / "out" / "manifest.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    path = write_cohort_page(tmp_path / "out")
    counts = "document.querySelectorAll('table.cases tbody tr').length"
    with browser(executable, tmp_path / "profile") as page:
        page.open(path, before="globalThis.failed = 0; globalThis.fail = () => failed++;")
        assert page.complaints() == []
        assert page.requests() == [path.as_uri()]
        assert page.run("failed") == 0
        assert page.run(counts) == 100
        page.run("document.querySelector('[data-step=\"1\"]').click()")
        assert page.run(counts) == 42
        page.run(
            "const which = document.querySelector('select'); which.value = 'failed';"
            "which.dispatchEvent(new Event('change'))"
        )
        assert page.run(counts) == 9, "8 of 140 and the hostile one"
        page.run("document.querySelectorAll('table.cases th button')[0].click()")
        assert page.run("document.querySelector('table.cases tbody td').textContent") == hostile
        assert page.run("document.documentElement.scrollWidth <= innerWidth")
