"""The made-up patient, measured once."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.report_case import made_up

from renalis.measurement import Measurements, measure
from renalis.report import ModelFacts, ReportContent
from renalis.report.html import render
from renalis.volume import Volume


@pytest.fixture(scope="session")
def patient() -> tuple[Volume, Volume, Measurements]:
    """Scan, label map and what the measurement room makes of them."""
    image, labels = made_up()
    return image, labels, measure(image, labels)


@pytest.fixture(scope="session")
def healthy() -> tuple[Volume, Volume, Measurements]:
    """The same body without a kidney in the label map."""
    image, labels = made_up()
    empty = labels.like(labels.array * 0, labels.kind)
    return image, empty, measure(image, empty)


@pytest.fixture(scope="session")
def content(patient: tuple[Volume, Volume, Measurements]) -> ReportContent:
    """A report with hostile words in every place that comes from outside."""
    image, labels, measured = patient
    return ReportContent(
        case_id='case_1"><script>fail("case")</script>',
        image=image,
        labels=labels,
        measurements=measured,
        model=ModelFacts(
            "made-up model 1", "CC BY-NC-SA 4.0", (("Trained on", "<img src=x onerror=fail()>"),)
        ),
        notes=("</li><script>fail('note')</script>", "The scan ends above the left lower pole."),
        changes=("Removed 2 parts, 0.4 ml.",),
        scan_facts=(("Series", "<script>fail('series')</script> Abd 'n' \"pelvis\""),),
        version="0.0",
    )


@pytest.fixture(scope="session")
def page(content: ReportContent) -> str:
    """The text of that report."""
    return render(content)


@pytest.fixture(scope="session")
def page_file(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report as a file for a browser."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path
