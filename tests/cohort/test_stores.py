"""Scans and results in stores: an S3 server of moto, and fsspec's memory for what needs none."""

from __future__ import annotations

import hashlib
import json
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from helpers.dicom_writer import ct_slice
from helpers.small_cohort import write_scan
from helpers.stub import stub_model

from renalis.cli import main
from renalis.cohort.case_job import run_job
from renalis.cohort.engine import Engine
from renalis.cohort.report.write import write_cohort_page
from renalis.cohort.run import CohortListener, Tally
from renalis.cohort.stored_run import list_stored, run_stored
from renalis.errors import InputError, OutputError, UsageError
from renalis.io import inventory, write_volume
from renalis.pipeline import SegmentOptions, segment
from renalis.pipeline.work import CaseWork
from renalis.prediction import PredictionOptions, RuntimeName
from renalis.prediction.options import Mirror
from renalis.remote import attempts
from renalis.remote.attempts import UnreachableError
from renalis.remote.locations import open_location
from renalis.remote.scans import scans_below
from renalis.systems.segmenter_kinds import open_segmenter
from renalis.volume import Kind, Volume

PLAIN = SegmentOptions(
    prediction=PredictionOptions(runtime=RuntimeName.TORCH, mirror=Mirror.NONE, keep_heap=False),
    report=False,
)


class Here:
    """An engine that works in this process."""

    def __init__(self, options: SegmentOptions = PLAIN) -> None:
        self.work = CaseWork(open_segmenter(stub_model(), options), options)

    def run(self, jobs: Any, listener: Any) -> Iterator[dict[str, Any]]:
        for job in jobs:
            listener.begun(job["source"]["case_id"])
            yield {**run_job(self.work, json.loads(json.dumps(job))), "worker": 0}


class Kept(CohortListener):
    """Remembers what is told."""

    def __init__(self) -> None:
        self.results: list[Mapping[str, Any]] = []
        self.remarks: list[str] = []

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def ended(self, result: Mapping[str, Any], tally: Tally) -> None:
        self.results.append(result)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "PAUSES_S", (0.0, 0.0))


@pytest.fixture
def bucket() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan as KiTS keeps it with its labels, a DICOM study of two series, another in a zip."""
    root = tmp_path_factory.mktemp("in") / "scans"
    write_scan(root / "case_1" / "imaging.nii.gz", 1)
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[4:9, 4:9, 4:9] = 1
    grid = Volume(labels, np.eye(4), Kind.LABELS)
    write_volume(root / "case_1" / "segmentation.nii.gz", grid)
    _study(root / "p 2" / "CT", 12)
    _study(root / "p 2" / "scout", 1, series="scout")
    _study(root / "zipped", 12, study="2")
    with zipfile.ZipFile(root / "third.zip", "w") as archive:
        for path in sorted((root / "zipped").iterdir()):
            archive.write(path, f"x/{path.name}")
            path.unlink()
    (root / "zipped").rmdir()
    (root / "notes").mkdir()
    (root / "notes" / "README").write_text("no scan")
    return root


def _study(folder: Path, slices: int, series: str = "1", study: str = "1") -> None:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(1).normal(-100, 5, (slices, 32, 40)).astype(np.int16)
    for index in range(slices):
        image = ct_slice(noise[index], (-60.0, -40.0, 120.0 + 9 * index))
        image.StudyInstanceUID = f"1.2.{study}"
        image.SeriesInstanceUID = f"1.2.{study}.{len(series)}"
        image.save_as(folder / f"{index}", enforce_file_format=True)


def put(local: Path, url: str) -> str:
    store = open_location(url)
    for path in local.rglob("*"):
        if path.is_file():
            at = store / path.relative_to(local).as_posix()
            at.filesystem.pipe_file(at.path, path.read_bytes())
    return url


def go(inputs: Any, output: Any, options: SegmentOptions = PLAIN) -> tuple[Tally, Kept]:
    kept = Kept()
    listing = list_stored(inputs, output, options.anonymous, None)
    return run_stored(listing, output, lambda _: Here(options), kept), kept


def content(url: str) -> dict[str, bytes]:
    place = open_location(url)
    found = place.filesystem.find(place.path)
    return {path[len(place.path) + 1 :]: place.filesystem.cat_file(path) for path in found}


def fat(path: Path, seed: int = 0) -> Path:
    """A scan without kidneys, quickly segmented."""
    noise = np.random.default_rng(seed).normal(-100, 5, (24, 24, 12)).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_volume(path, Volume(noise, np.diag([9.0, 9.0, 12.0, 1.0])))


def one_scan(tmp_path: Path, url: str, count: int = 1) -> str:
    for number in range(count):
        fat(tmp_path / "in" / f"scan_{number}.nii.gz", number)
    return put(tmp_path / "in", url)


def test_cases_are_those_of_a_local_folder(local: Path, bucket: str) -> None:
    scans, remarks = scans_below([open_location(put(local, f"{bucket}/scans"))])
    assert [scan.case_id for scan in scans] == [s.case_id for s in inventory([local]).scans]
    assert {s.below for s in scans} == {"case_1/imaging.nii.gz", "p 2", "third.zip"}
    assert any("label maps" in remark for remark in remarks)
    assert any("notes" in remark for remark in remarks)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server_module = pytest.importorskip("moto.server", reason="moto keeps the S3 store")
    s3fs = pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "PLANTED-KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "PLANTED-SECRET")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem().mkdir("bucket")
    yield server
    server.stop()
    s3fs.S3FileSystem.clear_instance_cache()


def test_s3_gives_what_local_folders_give(
    s3: Any, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, out = put(local, "s3://bucket/scans"), "s3://bucket/out"
    # A key that leads out of any folder it is copied to.
    store = open_location(url)
    store.filesystem.pipe_file(f"{store.path}/../../evil.nii.gz", b"x")
    tally, kept = go([url], out)
    assert (tally.good, tally.total) == (3, 3), [r["problem"] for r in kept.results]
    here = segment(local, tmp_path / "out", PLAIN, model=stub_model())
    found = content(out)
    for result in here:
        assert result.folder is not None
        for name in ("segmentation.nii.gz", "measurements.json"):
            written = (result.folder / name).read_bytes()
            assert found[f"{result.case_id}/{name}"] == written
    assert found["measurements.csv"] == (tmp_path / "out" / "measurements.csv").read_bytes()
    lines = [json.loads(line) for line in found["manifest.jsonl"].splitlines()]
    for line in lines:
        for name, digest in line["outputs"].items():
            assert hashlib.sha256(found[f"{line['case']}/{name}"]).hexdigest() == digest
    assert not any(name.startswith(".") for name in found)

    tally, again = go([url], out)
    assert {r["status"] for r in again.results} == {"skipped"}
    assert content(out)["measurements.csv"] == found["measurements.csv"]

    s3.stop()
    with pytest.raises(UnreachableError, match="cannot be reached") as gone:
        go([url], out)
    told = json.dumps([str(gone.value), [*kept.results], [*again.results]])
    assert "PLANTED" not in told
    assert str(tmp_path.parent.parent) not in told


def test_a_store_gets_the_page_that_a_folder_with_these_results_would(
    tmp_path: Path, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scan(tmp_path / "in" / "scan_0.nii.gz")
    bad = tmp_path / "in" / "scan_1.nii.gz"
    bad.write_bytes(b"\x1f\x8b rubbish")
    url, out = put(tmp_path / "in", f"{bucket}/in"), f"{bucket}/out"
    store = open_location(out)
    for name in ("../evil/provenance.json", "/provenance.json", "deep/er/provenance.json"):
        store.filesystem.pipe_file(f"{store.path}/{name}", b"{}")
    tally, _ = go([url], out, SegmentOptions(prediction=PLAIN.prediction))
    assert (tally.page, tally.page_problem) == (f"{out}/cohort.html", "")
    found = content(out)
    for name, written in found.items():
        at = tmp_path / "copy" / name
        if ".." not in name:
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(written)
    (tmp_path / "copy" / "cohort.html").unlink()
    page = found["cohort.html"]
    assert write_cohort_page(tmp_path / "copy").read_bytes() == page
    assert b"scan_0/report.html" in page
    assert b"data:image/webp;base64," in page
    store.filesystem.rm_file(f"{store.path}/cohort.html")
    assert main(["cohort", "report", out]) == 0
    assert capsys.readouterr().out == f"open {out}/cohort.html\n"
    assert content(out)["cohort.html"] == page


def test_a_new_format_is_added_to_what_is_there(tmp_path: Path, bucket: str) -> None:
    write_scan(tmp_path / "in" / "scan_0.nii.gz")
    url, out = put(tmp_path / "in", f"{bucket}/in"), f"{bucket}/out"
    go([url], out)
    before = content(out)
    more = SegmentOptions(prediction=PLAIN.prediction, report=False, write=("nifti", "nrrd"))
    tally, kept = go([url], out, more)
    assert tally.good == 1, kept.results[0]["problem"]
    after = content(out)
    assert {*after} - {*before} == {"scan_0/segmentation.seg.nrrd"}
    assert after["scan_0/segmentation.nii.gz"] == before["scan_0/segmentation.nii.gz"]


def test_another_scan_under_the_name_is_not_taken_for_done(tmp_path: Path, bucket: str) -> None:
    url, out = one_scan(tmp_path, f"{bucket}/in"), f"{bucket}/out"
    go([url], out)
    store = open_location(url)
    other = fat(tmp_path / "other.nii.gz", 9).read_bytes()
    store.filesystem.pipe_file(f"{store.path}/scan_0.nii.gz", other)
    _, kept = go([url], out)
    assert "--overwrite" in kept.results[0]["problem"]
    anew = SegmentOptions(prediction=PLAIN.prediction, report=False, overwrite=True)
    tally, _ = go([url], out, anew)
    assert tally.good == 1


def test_what_a_network_breaks_off_is_never_finished_and_is_done_again(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, out = one_scan(tmp_path, f"{bucket}/in"), f"{bucket}/out"
    store = type(open_location(out).filesystem)
    with monkeypatch.context() as broken:
        # The network goes while files get their names, the last of them not yet.
        whole, moved = store.cp_file, []

        def move(self: Any, one: str, other: str, **more: Any) -> None:
            if len(moved) >= 2:
                raise ConnectionError("token=PLANTED")
            moved.append(other)
            whole(self, one, other, **more)

        broken.setattr(store, "cp_file", move)
        _, kept = go([url], out)
        assert {r["cause"] for r in kept.results} == {"unreachable"}
        assert "PLANTED" not in json.dumps(kept.results)
        assert moved
        assert not any(name.endswith("provenance.json") and not name.startswith(".")
                       for name in content(out))  # fmt: skip
    tally, kept = go([url], out)
    assert tally.good == 1, [r["problem"] for r in kept.results]
    assert not any(name.startswith(".") for name in content(out))


def test_a_short_break_is_waited_out(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, out = one_scan(tmp_path, f"{bucket}/in"), f"{bucket}/out"
    store = type(open_location(out).filesystem)
    for name in ("get_file", "put_file", "ls"):
        whole, breaks = getattr(store, name), iter([True, True])

        def shaky(self: Any, *given: Any, whole=whole, breaks=breaks, **more: Any) -> Any:
            if next(breaks, False):
                raise TimeoutError
            return whole(self, *given, **more)

        monkeypatch.setattr(store, name, shaky)
    assert go([url], out)[0].good == 1


def test_the_run_ends_when_the_store_is_gone(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, out = one_scan(tmp_path, f"{bucket}/in", 3), f"{bucket}/out"
    listing = list_stored([url], out, False, None)
    store = type(open_location(out).filesystem)
    kept, asked = Kept(), []

    def gone(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise ConnectionError

    def engine(_: tuple[int, ...]) -> Engine:
        for name in ("cat_file", "exists", "ls", "info", "put_file"):
            monkeypatch.setattr(store, name, gone)
        return Here()

    with pytest.raises(UnreachableError, match="repeat the command"):
        run_stored(listing, out, engine, kept)
    assert len(kept.results) == 1
    assert asked


def test_files_of_others_are_left_alone(tmp_path: Path, bucket: str) -> None:
    url, out = one_scan(tmp_path, f"{bucket}/in"), f"{bucket}/out"
    place = open_location(f"{out}/scan_0/segmentation.nii.gz")
    place.filesystem.pipe_file(place.path, b"a reference")
    anew = SegmentOptions(prediction=PLAIN.prediction, report=False, overwrite=True)
    for options in (PLAIN, anew):
        _, kept = go([url], out, options)
        assert kept.results[0]["cause"] == "output"
    assert place.filesystem.cat_file(place.path) == b"a reference"


def test_anonymous_results_name_nothing_of_the_store(tmp_path: Path, bucket: str) -> None:
    fat(tmp_path / "in" / "MUSTER" / "erika.nii.gz")
    url, out = put(tmp_path / "in", f"{bucket}/in"), f"{bucket}/out"
    hidden = SegmentOptions(prediction=PLAIN.prediction, report=False, anonymous=True)
    damaged = open_location(f"{url}/MUSTER/erika_2.nii.gz")
    damaged.filesystem.pipe_file(damaged.path, b"no scan")
    assert go([url], out, hidden)[0].good == 1
    everything = b"".join(content(out).values()) + "".join(content(out)).encode()
    assert b"erika" not in everything.lower()
    assert b"muster" not in everything.lower()
    again = {result["status"] for result in go([url], out, hidden)[1].results}
    assert again == {"skipped", "failed"}


def test_results_of_remote_scans_can_lie_here(tmp_path: Path, bucket: str) -> None:
    url = one_scan(tmp_path, f"{bucket}/in")
    assert go([url], tmp_path / "out")[0].good == 1
    assert (tmp_path / "out" / "measurements.csv").is_file()
    assert go([url], tmp_path / "out")[1].results[0]["status"] == "skipped"


def test_local_scans_can_go_to_a_store(tmp_path: Path, bucket: str) -> None:
    one_scan(tmp_path, f"{bucket}/unused")
    out = f"{bucket}/out"
    assert go([tmp_path / "in"], out)[0].good == 1
    assert go([tmp_path / "in"], out)[1].results[0]["status"] == "skipped"


def test_a_damaged_scan_is_named_by_its_url(tmp_path: Path, bucket: str) -> None:
    store = open_location(f"{bucket}/in/bad.nii.gz")
    store.filesystem.pipe_file(store.path, b"\x1f\x8b rubbish")
    _, kept = go([f"{bucket}/in"], f"{bucket}/out")
    assert f"{bucket}/in" in kept.results[0]["problem"]
    assert "staging" not in kept.results[0]["problem"]
    assert content(f"{bucket}/out").keys() == {"manifest.jsonl", "cohort.html"}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("wibble://bucket/x", "no protocol that is known"),
        ("zip://x.nii::s3://bucket/x.zip", "chains several"),
        ("memory://", "names no bucket"),
        ("gs://bucket/x", "pip install gcsfs"),
        ("sftp://me:PLANTED@host/x?key=PLANTED", "pip install paramiko"),
    ],
)
def test_urls_that_lead_nowhere_get_one_sentence(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        open_location(url)
    assert "PLANTED" not in str(refused.value)


def test_places_that_hold_nothing_get_one_sentence(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list_stored([f"{bucket}/nowhere"], tmp_path, False, None)
    with pytest.raises(UsageError, match="not both"):
        list_stored([f"{bucket}/nowhere", tmp_path], tmp_path, False, None)
    fsspec.filesystem("memory").makedirs(f"/{bucket[9:]}/empty")
    with pytest.raises(InputError, match="no CT scan"):
        list_stored([f"{bucket}/empty"], tmp_path, False, None)


def test_a_store_that_takes_nothing_is_told_at_once(tmp_path: Path, bucket: str) -> None:
    listing = list_stored([one_scan(tmp_path, f"{bucket}/in")], f"{bucket}/out", False, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        run_stored(listing, f"file://{tmp_path}/file/out", lambda _: Here(), Kept())
