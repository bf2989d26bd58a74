"""Which patient, which series: what leads from a result back to its scan, and what must not."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.dicom_writer import write_series
from helpers.stub import half_phantom, stub_model
from test_segment import save, with_air

from renalis.pipeline import Listener, SegmentOptions, Status, segment
from renalis.prediction import PredictionOptions, RuntimeName

PREDICTION = PredictionOptions(runtime=RuntimeName.TORCH, keep_heap=False)
STUDY, SERIES, OTHER = "1.2.826.77.1", "1.2.826.77.1.5", "1.2.826.77.1.6"
SECRETS = ("Zimmer", "Bett", "1.2.826.77", "nativ", "Arztbrief", "Muster")


class Heard(Listener):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two series, in a folder that tells where the patient lies."""
    hu = np.asarray(with_air(half_phantom((4.0, 2.0, 2.0))).array)
    place = tmp_path_factory.mktemp("input") / "Zimmer12" / "Bett3"
    tags = {"StudyInstanceUID": STUDY, "PixelSpacing": ["2", "2"], "step": (0, 0, 4.0)}
    write_series(
        place / "a", hu, SeriesInstanceUID=SERIES, SeriesDescription="Abdomen nativ", **tags
    )
    tags |= {"SeriesInstanceUID": OTHER, "SeriesDescription": "Arztbrief", "SeriesNumber": 7}
    write_series(place / "b", hu[:6], **tags)
    return place.parents[1]


def run(folder: Path, out: Path, **options: bool) -> tuple[Path, dict, list[str]]:
    heard = Heard()
    chosen = SegmentOptions(prediction=PREDICTION, **{"report": False} | options)
    (result,) = segment(folder, out, chosen, listener=heard, model=stub_model())
    assert result.status in (Status.DONE, Status.SKIPPED), result.problem
    assert result.folder is not None
    provenance = json.loads((result.folder / "provenance.json").read_text("utf-8"))
    return result.folder, provenance, heard.lines


def test_the_series_that_was_read_is_said_and_kept(folder: Path, tmp_path: Path) -> None:
    slices = len(list((folder / "Zimmer12" / "Bett3" / "a").iterdir()))
    _, provenance, lines = run(folder, tmp_path)
    line = f"series 5 'Abdomen nativ' of Zimmer12/Bett3: {slices} slices, 2 × 2 × 4 mm, unenhanced"
    assert lines[0] == line
    assert provenance["source"]["input"] == "Zimmer12/Bett3"
    assert provenance["source"]["study_uid"] == STUDY
    assert provenance["source"]["series"] == {
        "number": "5",
        "description": "Abdomen nativ",
        "uid": SERIES,
        "phase": "unenhanced",
        "images": slices,
    }
    (row,) = csv.DictReader((tmp_path / "measurements.csv").open())
    assert (row["input"], row["series"]) == ("Zimmer12/Bett3", "5")
    assert row["series_description"] == "Abdomen nativ"
    assert str(tmp_path.parent) not in json.dumps(provenance)
    assert run(folder, tmp_path)[2] == [line]  # of a finished case as well


def test_a_nifti_file_is_named(tmp_path: Path) -> None:
    scan = with_air(half_phantom((4.0, 2.0, 2.0)))
    save(tmp_path / "in" / "p" / "a.nii.gz", scan)
    _, provenance, lines = run(tmp_path / "in", tmp_path / "out")
    shape = " × ".join(map(str, scan.shape))
    assert lines[0] == f"p/a.nii.gz: {shape} voxels, 4 × 2 × 2 mm"
    assert provenance["source"]["input"] == "p/a.nii.gz"


def test_anonymous_results_hold_nothing_that_identifies(folder: Path, tmp_path: Path) -> None:
    result, provenance, lines = run(folder, tmp_path, anonymous=True, report=True)
    assert lines[0].startswith("series 5 of the input: ")
    assert not any(word in line for word in SECRETS for line in lines)
    assert result.name == f"case_{hashlib.sha256(STUDY.encode()).hexdigest()[:8]}"
    assert provenance["source"]["series"]["number"] == "5"
    assert set(provenance["source"]) == {"kind", "series", "shape", "spacing_mm"}
    for path in tmp_path.rglob("*"):
        assert not any(word in path.name for word in SECRETS)
        if path.suffix in (".json", ".csv", ".html"):
            text = path.read_text("utf-8")
            assert [word for word in SECRETS if word in text] == [], path.name


def test_other_results_are_not_taken_for_anonymous_ones(tmp_path: Path) -> None:
    scan = with_air(half_phantom((4.0, 2.0, 2.0)))
    path = save(tmp_path / "in" / "a.nii.gz", scan)
    named, _, _ = run(path, tmp_path / "out")
    hidden, _, _ = run(path, tmp_path / "out", anonymous=True)
    assert named != hidden
