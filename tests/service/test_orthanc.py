"""With a real archive: series pushed by DIMSE and found over DICOMweb come back segmented."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import requests
from helpers.by_hu_package import by_hu_model
from helpers.dicom_writer import write_series
from helpers.orthanc import Orthanc, free_port, running_orthanc
from helpers.running_service import Client, running_service, wait_until
from helpers.segment_points import assert_same_points, label_points, marked_points, plane
from helpers.stub import phantom

from renalis.pipeline import SegmentOptions
from renalis.prediction import PredictionOptions, RuntimeName

WRITE = ("nifti", "dicom-seg", "sr", "pdf")


@dataclass(frozen=True)
class Geometry:
    """How a scan lies: slice spacing, order, and the axes of rows, columns and slices (LPS+)."""

    name: str
    by: str
    thick: float = 6.0
    reverse: bool = False
    turn: tuple[tuple[float, ...], ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    shear: float = 0.0


C, S = float(np.cos(0.3)), float(np.sin(0.3))
GEOMETRIES = (
    Geometry("axial", "dimse"),
    Geometry("oblique", "dimse", turn=((1, 0, 0), (0, C, -S), (0, S, C))),
    Geometry("tilted", "dicomweb", shear=float(np.tan(0.2))),
    Geometry("thick and reversed", "dicomweb", thick=10.0, reverse=True),
)


def study_uid(name: str) -> str:
    return f"1.2.826.0.1.3680043.8.498.{[g.name for g in GEOMETRIES].index(name) + 1}"


def write_study(folder: Path, geometry: Geometry) -> None:
    """The phantom's patient, scanned so."""
    lps = np.diag([-1.0, -1.0, 1.0])
    turn = np.asarray(geometry.turn)
    row, column, normal = turn.T  # directions of columns, rows and slices in LPS+
    step = (normal + geometry.shear * column) * (-1 if geometry.reverse else 1)
    # The same axes as phantom() has them: slices, rows, columns, in RAS+.
    axes = np.stack([lps @ step, lps @ column, lps @ row], axis=1)
    patient = phantom((geometry.thick, 4.0, 4.0), turn=axes @ np.linalg.inv(
        np.array([[0, 0, -1.0], [0, -1, 0], [1, 0, 0]])
    ))  # fmt: skip
    wide = np.pad(patient.array, ((0, 0), (8, 8), (8, 8)), constant_values=-1000)
    hu = (wide + np.random.default_rng(1).normal(0, 3, wide.shape)).astype(np.int16)
    first = patient.world(np.array([0, -8, -8]))
    write_series(
        folder, hu, origin=lps @ first, step=step * geometry.thick,
        PixelSpacing=["4", "4"], SliceThickness=str(geometry.thick),
        ImageOrientationPatient=[f"{v:.12f}"[:16] for v in (*row, *column)],
        StudyInstanceUID=study_uid(geometry.name),
        SeriesInstanceUID=f"{study_uid(geometry.name)}.5", FrameOfReferenceUID="1.2.3.9",
    )  # fmt: skip


@dataclass(frozen=True)
class Served:
    """What came back, and what it was made of."""

    orthanc: Orthanc
    client: Client
    jobs: dict[str, dict[str, Any]]
    scans: Path

    def job_file(self, name: str, file: str) -> bytes:
        job = self.jobs[study_uid(name)]["id"]
        return self.client.ask("GET", f"/api/jobs/{job}/results/{job}/{file}").content


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    for geometry in GEOMETRIES:
        write_study(folder / "scans" / geometry.name, geometry)
    model, _ = by_hu_model(folder / "model")
    prediction = PredictionOptions(runtime=RuntimeName.TORCH, keep_heap=False)
    options = SegmentOptions(model=model, prediction=prediction, report=False, write=WRITE)
    dicom = free_port()
    with running_orthanc(folder / "orthanc", {"renalis": ("RENALIS", dicom)}) as orthanc:
        series = {g.name: orthanc.keep(folder / "scans" / g.name) for g in GEOMETRIES}
        web = [study_uid(g.name) for g in GEOMETRIES if g.by == "dicomweb"]
        with running_service(
            folder / "service",
            options,
            dimse={
                "port": dicom,
                "peers": [{"ae_title": "ORTHANC", "address": "127.0.0.1"}],
                "quiet_s": 0.5,
                "send_to": ["pacs"],
            },
            archives=[
                {
                    "name": f"a{number}", "url": orthanc.web, "every_s": 0.5, "send_to": ["web"],
                    "find": {"Modality": "CT", "StudyInstanceUID": uid},
                }
                for number, uid in enumerate(web)
            ],
            destinations={
                "pacs": {"kind": "dimse", "ae_title": "ORTHANC", "host": "127.0.0.1",
                         "port": orthanc.dicom},
                "web": {"kind": "dicomweb", "url": orthanc.web},
            },
        ) as client:  # fmt: skip
            orthanc.post("/modalities/renalis/echo", {})
            for geometry in GEOMETRIES:
                if geometry.by == "dimse":
                    orthanc.post("/modalities/renalis/store", [series[geometry.name]])
            jobs = {one["study_uid"]: one for one in client.ended(len(GEOMETRIES))}
            yield Served(orthanc, client, jobs, folder / "scans")


NAMES = [geometry.name for geometry in GEOMETRIES]


def test_what_was_made_is_in_the_study_and_readable(
    served: Served, subtests: pytest.Subtests
) -> None:
    # Not parametrized: test processes would each have to serve all of it again.
    for name in NAMES:
        with subtests.test(name):
            check_study(served, name)


def check_study(served: Served, name: str) -> None:
    job = served.jobs[study_uid(name)]
    assert job["state"] == "done", job["problem"]
    by = {g.name: g.by for g in GEOMETRIES}[name]
    assert job["origin"].startswith(by)
    assert {one["state"] for one in job["deliveries"]} == {"sent"}
    objects = served.orthanc.objects(study_uid(name))
    assert set(objects) == {"SEG", "SR", "DOC"}
    segmentation = highdicom.seg.segread(io.BytesIO(objects["SEG"]))
    report = highdicom.sr.srread(io.BytesIO(objects["SR"]))
    document = pydicom.dcmread(io.BytesIO(objects["DOC"]))
    for one in (segmentation, report, document):
        assert one.PatientID == "4711"
        assert one.StudyInstanceUID == study_uid(name)
    assert report.ContentSequence
    assert document.EncapsulatedDocument.startswith(b"%PDF")
    assert segmentation.number_of_segments >= 4  # two kidneys, a tumor, a cyst


def test_the_segmentation_lies_on_the_scan_voxel_for_voxel(
    served: Served, subtests: pytest.Subtests
) -> None:
    for name in NAMES:
        with subtests.test(name):
            check_place(served, name)


def check_place(served: Served, name: str) -> None:
    segmentation = pydicom.dcmread(io.BytesIO(served.orthanc.objects(study_uid(name))["SEG"]))
    found = marked_points(segmentation)
    # Against the images as they were sent, without any reader of ours.
    hits = inside = bright = 0
    for path in (served.scans / name).iterdir():
        image = pydicom.dcmread(path)
        matrix = plane(
            image.ImageOrientationPatient, image.PixelSpacing, image.ImagePositionPatient
        )
        normal = np.cross(matrix[:, 0], matrix[:, 1])
        whole = np.column_stack([matrix[:, :2], normal / np.linalg.norm(normal), matrix[:, 2]])
        index = np.linalg.solve(np.vstack([whole, [0, 0, 0, 1]]),
                                np.column_stack([found, np.ones(len(found))]).T).T  # fmt: skip
        here = index[np.abs(index[:, 2]) < 0.01]
        np.testing.assert_allclose(here[:, :2], np.round(here[:, :2]), atol=1e-3)
        columns, rows = np.round(here[:, :2]).astype(int).T
        tissue = image.pixel_array.astype(int) - 1024 > 30
        hits += len(here)
        inside += int(tissue[rows, columns].sum())
        bright += int(tissue.sum())
    assert hits == len(found)  # no voxel beside the scan's own grid
    assert 2 * inside / (hits + bright) > 0.95
    # And against the label map, by its own affine.
    assert_same_points(found, label_points(served.job_file(name, "segmentation.nii.gz")))


def test_a_job_is_looked_at_in_the_viewer(served: Served) -> None:
    job = served.jobs[study_uid("tilted")]["id"]
    assert requests.post(f"{served.client.url}/api/jobs/{job}/view", timeout=60).status_code == 401
    opened = served.client.ask("POST", f"/api/jobs/{job}/view")
    assert opened.status_code == 201, opened.text
    page = served.client.url + opened.json()["address"]

    def ask(path: str, **headers: str) -> requests.Response:
        return requests.get(page + path, headers=headers, timeout=60)

    assert b"<html" in ask("").content
    assert "default-src 'none'" in ask("").headers["Content-Security-Policy"]
    (case,) = ask("api/cases").json()
    assert case["name"] == job
    scan = ask(f"api/cases/{job}/scan")
    voxels = np.prod(ask(f"api/cases/{job}").json()["shape"])
    assert len(scan.content) == 352 + 2 * voxels
    assert ask("api/cases", Origin="http://elsewhere").status_code == 403
    assert ask("static/../../serve.yaml").status_code == 404
    wrong = page.replace("/view/", "/view/x")
    assert requests.get(wrong, timeout=60).status_code == 404


def test_the_same_series_again_by_either_door_is_not_segmented_again(served: Served) -> None:
    uid = study_uid("axial")
    wish = {"archive": "a0", "study_uid": uid, "series_uid": f"{uid}.5"}
    assert served.client.ask("POST", "/api/fetches", json=wish).status_code == 202
    (found,) = served.orthanc.post("/tools/lookup", uid.encode())
    for one in served.orthanc.get(f"/studies/{found['ID']}/series"):
        if one["MainDicomTags"]["Modality"] == "CT":
            served.orthanc.post("/modalities/renalis/store", [one["ID"]])

    def arrived() -> bool:
        found = served.client.ask("GET", "/api/fetches").json()["fetches"]
        return any(one["state"] == "done" and one["study_uid"] == uid for one in found)

    wait_until(arrived)
    time.sleep(2)  # longer than a series has to be quiet and the service takes to see it
    assert len(served.client.ended(len(GEOMETRIES))) == len(GEOMETRIES)
    text = served.client.ask("GET", "/metrics").text
    images = len(list((served.scans / "axial").iterdir()))
    total = sum(len(list((served.scans / g.name).iterdir())) for g in GEOMETRIES
                if g.by == "dimse")  # fmt: skip
    assert f'renalis_images_received_total{{origin="dimse"}} {total + images}' in text
    assert f'renalis_jobs{{state="done"}} {len(GEOMETRIES)}' in text


def test_results_are_fetched_as_one_zip(served: Served) -> None:
    job = served.jobs[study_uid("axial")]["id"]
    content = served.client.ask("GET", f"/api/jobs/{job}/results.zip").content
    assert zipfile.is_zipfile(io.BytesIO(content))
