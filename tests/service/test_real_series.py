"""A real scan from a real archive with the shipped model: segmented, and back in its study."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import highdicom
import pydicom
from helpers.orthanc import free_port, running_orthanc
from helpers.running_service import running_service
from helpers.segment_points import assert_same_points, label_points, marked_points

from renalis.pipeline import SegmentOptions
from renalis.prediction import Mirror, PredictionOptions


def test_a_real_series_pushed_by_its_archive_comes_back_segmented(
    data_folder: Path, tmp_path: Path
) -> None:
    (packed,) = (data_folder / "real-ct" / "tcga-ov").glob("*.zip")
    prediction = PredictionOptions(mirror=Mirror.NONE)
    formats = ("nifti", "dicom-seg", "sr", "pdf")
    options = SegmentOptions(prediction=prediction, report=False, write=formats)
    port = free_port()
    with running_orthanc(tmp_path / "orthanc", {"renalis": ("RENALIS", port)}) as orthanc:
        with zipfile.ZipFile(packed) as archive:
            images = sorted(n for n in archive.namelist() if n.lower().endswith(".dcm"))
            for name in images[24:100:2]:  # those around the kidneys, twice as far apart
                stored = orthanc.post("/instances", archive.read(name))
        dimse = {
            "port": port,
            "peers": [{"ae_title": "ORTHANC", "address": "127.0.0.1"}],
            "quiet_s": 1,
            "send_to": ["pacs"],
        }
        pacs = {"kind": "dimse", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": orthanc.dicom}
        with running_service(
            tmp_path / "service", options, dimse=dimse, destinations={"pacs": pacs}
        ) as client:
            orthanc.post("/modalities/renalis/store", [stored["ParentSeries"]])
            (job,) = client.ended(1)
            assert job["state"] == "done", job["problem"]
            path = f"/api/jobs/{job['id']}/results/{job['id']}/segmentation.nii.gz"
            labels = client.ask("GET", path).content
        objects = orthanc.objects(job["study_uid"])
    assert set(objects) == {"SEG", "SR", "DOC"}
    segmentation = highdicom.seg.segread(io.BytesIO(objects["SEG"]))
    names = {segment.SegmentLabel for segment in segmentation.SegmentSequence}
    assert {"Left kidney", "Right kidney"} <= names
    assert highdicom.sr.srread(io.BytesIO(objects["SR"])).ContentSequence
    assert pydicom.dcmread(io.BytesIO(objects["DOC"])).EncapsulatedDocument[:4] == b"%PDF"
    assert_same_points(marked_points(segmentation), label_points(labels))
