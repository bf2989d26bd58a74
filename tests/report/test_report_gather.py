"""What the other rooms hand over arrives in the report."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from helpers.report_case import made_up

from renalis.io import Scan, ScanSource, SeriesSummary, read_scan
from renalis.measurement import measure
from renalis.model_header import ModelHeader, Stage
from renalis.postprocessing import RuleChange
from renalis.prediction import Prediction
from renalis.report import gather
from renalis.report.gather import model_facts
from renalis.report.html import render


def header() -> ModelHeader:
    """A header as a model file has it."""
    stages = [
        Stage(
            name=name,
            spacing_mm=(step, step, step),
            patch=(32, 32, 32),
            window_hu=(-200.0, 300.0),
            network={},
        )
        for name, step in (("coarse", 4.0), ("fine", 1.5))
    ]
    return ModelHeader(
        name="made-up",
        version="7",
        created="2026-01-02",
        stages=tuple(stages),
        training={"scans": 12},
        licence="CC-BY-NC-SA-4.0",
        commercial_use=False,
        data_credit="somebody's labels",
        scores={"held back": {"kidney Dice": 0.5}},
    )


def test_a_scan_from_disk_becomes_a_report(tmp_path: Path) -> None:
    image, labels = made_up("RAS")
    nib.save(nib.Nifti1Image(image.array, image.affine), tmp_path / "case_7.nii.gz")
    scan = read_scan(tmp_path / "case_7.nii.gz")
    marked = scan.volume.like(np.ascontiguousarray(labels.array), labels.kind)
    content = gather(
        scan,
        marked,
        measure(scan.volume, marked),
        prediction=Prediction(marked, None, None, ("the coarse pass was unsure",), {"fine": 3.4}),
        changes=(
            RuleChange("small", 4, 0.1, "Removed one speck."),
            RuleChange("holes", 0, 0.0, "Filled no hole."),
        ),
        model=model_facts(header()),
        version="1.2",
    )
    assert content.case_id == "case_7"
    assert content.notes[-1] == "the coarse pass was unsure"
    assert content.changes == ("Removed one speck.",)
    text = render(content)
    for words in (
        "case_7", "The coarse pass was unsure.", "Removed one speck.", "made-up 7",
        "CC-BY-NC-SA-4.0; not for commercial use", "somebody&#39;s labels", "scans: 12",
        "held back, kidney Dice: 0.5", "Made by renalis 1.2.",
    ):  # fmt: skip
        assert words in text, words
    assert str(tmp_path) not in text


def test_the_series_and_the_ones_not_used_are_named() -> None:
    image, labels = made_up()
    series = SeriesSummary("4", "1.2.3.4", "Abd <venous>", "CT", 56, "portal venous")
    other = SeriesSummary("2", "1.2.3.2", "Topogram", "CT", 1, remark="a localizer")
    source = ScanSource("case", Path("/secret/folder"), "dicom", "CT", series, (other,))
    content = gather(Scan("case", image, source), labels, measure(image, labels))
    facts = dict(content.scan_facts)
    assert "Abd <venous>" in facts["Series"]
    assert "a localizer" in facts["Not used"]
    text = render(content)
    assert "Abd &lt;venous&gt;" in text
    assert "secret" not in text
    assert "1.2.3.4" not in text
