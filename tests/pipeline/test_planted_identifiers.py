"""Identifiers planted in a scan are nowhere in what leaves it with ``--anonymous``."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.planted import PLANTED, found_in, planted_nifti, planted_series
from helpers.stub import phantom, stub_model
from test_segment import with_air

from renalis.cli import main
from renalis.cli.progress import PlainLines
from renalis.cohort.case_job import run_job
from renalis.cohort.manifest import Manifest
from renalis.io import find_scans, inventory
from renalis.io.source_json import source_to_json
from renalis.pipeline import CaseResult, SegmentOptions, Status, segment
from renalis.pipeline.formats import FORMATS
from renalis.pipeline.work import CaseWork
from renalis.prediction import PredictionOptions, RuntimeName
from renalis.prediction.options import Mirror
from renalis.systems.coarse_to_fine import open_coarse_to_fine
from renalis.systems.segmenter_options import SegmenterOptions
from renalis.volume import Volume

PREDICTION = PredictionOptions(runtime=RuntimeName.TORCH, keep_heap=False, mirror=Mirror.NONE)
FREE = tuple(one.name for one in FORMATS.values() if one.files)
"""Formats that --anonymous allows: they need no study."""
EVERYTHING = tuple(FORMATS)
HIDDEN = SegmentOptions(prediction=PREDICTION, anonymous=True, write=("nifti", *FREE))

_PATIENT = {"name", "given name", "id", "birth date", "accession", "referrer", "study id"}
_PLACE = {"name", "id", "folder", "description"}
_OBJECT = {*_PATIENT, "study UID", "image UID"}
_SEG = {*_OBJECT, "series UID", "frame UID", "institution", "address", "serial", "station",
        "history", "comment", "description"}  # fmt: skip
NAMED = {
    "segmentation.dcm": _SEG,
    "segmentation-labelmap.dcm": _SEG,
    "structures.dcm": {*_OBJECT, "series UID", "frame UID"},
    "measurements.dcm": {*_OBJECT, "series UID"},
    "report.dcm": _OBJECT,
    "report.html": {"description"},
    "measurements.csv": _PLACE,
    "provenance.json": {*_PLACE, "study UID", "series UID"},
}
"""What files say of the patient without --anonymous: the table in docs/security.md."""


def body() -> Volume:
    return with_air(phantom(spacing=(8.0, 5.0, 5.0)))


def series(parent: Path) -> Path:
    hu = np.asarray(body().array)
    return planted_series(parent, hu, PixelSpacing=["5", "5"], step=(0, 0, 8.0))


def segmented(place: Path, out: Path, options: SegmentOptions) -> tuple[CaseResult, str]:
    """The result of one scan, and all that was said meanwhile."""
    said = io.StringIO()
    (result,) = segment(place, out, options, listener=PlainLines(said), model=stub_model())
    return result, said.getvalue()


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Results of the series with --anonymous in all formats that it allows, done twice."""
    place = tmp_path_factory.mktemp("place")
    scans = series(place)
    result, said = segmented(scans, place / "out", HIDDEN)
    assert result.status == Status.DONE, result.problem
    again, more = segmented(scans, place / "out", HIDDEN)
    assert again.status == Status.SKIPPED
    return place / "out", said + more + str(result) + str(again)


def test_the_search_finds_what_is_hidden_in_files(tmp_path: Path) -> None:
    scans = series(tmp_path)
    assert set(found_in(scans)) == {w for w in PLANTED if not w.startswith("NIfTI")}
    packed = gzip.compress(PLANTED["name"].upper().encode())
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.gz").write_bytes(packed)
    assert found_in(tmp_path / "packed") == {"name": {"a.gz"}}
    planted_nifti(tmp_path / "n" / "a.nii.gz", np.zeros((3, 3, 3)), np.eye(4))
    assert {"NIfTI description", "NIfTI aux file", "NIfTI intent"} <= set(found_in(tmp_path / "n"))


def test_nothing_planted_leaves_a_series(hidden: tuple[Path, str]) -> None:
    out, said = hidden
    files = {path.name for path in out.rglob("*") if path.is_file()}
    assert {"report.html", "preview.png", "report.pdf", "segmentation.seg.nrrd"} <= files
    assert found_in(out) == {}
    assert found_in(said) == {}


def test_nothing_planted_leaves_a_nifti(tmp_path: Path) -> None:
    scan = body()
    name = f"{PLANTED['file']} {PLANTED['name']}.nii.gz"
    path = planted_nifti(tmp_path / PLANTED["folder"] / name, np.asarray(scan.array), scan.affine)
    options = replace(HIDDEN, write=("nifti", "nrrd"), report=False)
    result, said = segmented(path, tmp_path / "out", options)
    assert result.status == Status.DONE, result.problem
    assert found_in(tmp_path / "out") == {}
    assert found_in(said + str(result)) == {}


def test_without_anonymous_identifiers_stand_where_the_documents_say(tmp_path: Path) -> None:
    scans = series(tmp_path)
    options = replace(HIDDEN, anonymous=False, write=EVERYTHING)
    result, _ = segmented(scans, tmp_path / "out", options)
    assert result.status == Status.DONE, result.problem
    found = found_in(tmp_path / "out")
    said: dict[str, set[str]] = {}
    for what, places in found.items():
        for place in places:
            said.setdefault(place.rsplit("/", 1)[-1], set()).add(what)
    assert said == NAMED


def broken(parent: Path, how: str) -> Path:
    """The series, with something wrong that is said with a name."""
    scans = series(parent)
    files = sorted(path for path in scans.rglob("*.dcm"))
    if how == "cut short":
        files[5].write_bytes(files[5].read_bytes()[:-900])
    elif how == "one slice":
        for path in files[1:]:
            path.unlink()
    elif how == "a text":
        text = scans / PLANTED["folder"] / f"{PLANTED['file']}.nii.gz"
        text.parent.mkdir()
        text.write_bytes(b"x" * 500)
        for path in files:
            path.unlink()
    elif how == "a label map alone":
        for path in files:
            path.unlink()
        labels = np.zeros((9, 9, 9))
        labels[3:6] = 1
        planted_nifti(scans / "labels" / f"{PLANTED['file']}_seg.nii.gz", labels, np.eye(4))
    return scans


@pytest.mark.parametrize("how", ["cut short", "one slice", "a text", "a label map alone"])
def test_a_case_that_fails_names_nobody(tmp_path: Path, how: str) -> None:
    scans = broken(tmp_path, how)
    plain, _ = segmented(scans, tmp_path / "plain", replace(HIDDEN, anonymous=False))
    assert found_in(plain.problem)  # there is something to hide
    result, said = segmented(scans, tmp_path / "out", HIDDEN)
    assert result.status == Status.FAILED
    assert found_in(said + str(result)) == {}
    assert found_in(tmp_path / "out") == {}


def test_an_internal_error_names_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = series(tmp_path)

    def fails(*_: object) -> None:
        raise ValueError(f"{PLANTED['name']}^{PLANTED['given name']} in {scans} {PLANTED['id']}")

    monkeypatch.setattr("renalis.pipeline.work.CaseWork.segment", fails)
    result, said = segmented(scans, tmp_path / "out", HIDDEN)
    assert result.internal
    assert result.traceback
    assert found_in(said + str(result)) == {}
    assert found_in(tmp_path / "out") == {}


def test_a_manifest_names_nobody(tmp_path: Path) -> None:
    scans = broken(tmp_path / "bad", "cut short")
    work = CaseWork(
        open_coarse_to_fine(stub_model(), SegmenterOptions(prediction=PREDICTION)), HIDDEN
    )
    (source,) = inventory([scans], anonymous=True).scans
    (tmp_path / "out").mkdir()
    result = run_job(work, {"source": source_to_json(source), "output": str(tmp_path / "out")})
    assert result["status"] == "failed"
    with Manifest(tmp_path / "out") as manifest:
        manifest.append(result)
    assert found_in(tmp_path / "out") == {}
    assert found_in(json.dumps(result)) == {}


def test_the_command_names_nobody_whatever_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scans = broken(tmp_path, "cut short")
    words = ["segment", str(scans), "-o", str(tmp_path / "out"), "--anonymous", "--debug"]
    monkeypatch.setattr("sys.argv", ["renalis", *words])
    assert main(words) == 2
    assert main([*words, "--json"]) == 2
    told = capsys.readouterr()
    assert "has pixels" in told.err or "cut short" in told.err
    assert found_in(told.out + told.err) == {}
    assert found_in(tmp_path / "out") == {}
    assert find_scans([scans])
