"""A real series with structures drawn into it: every object valid, every voxel in its place."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import highdicom
import numpy as np
import pytest
from helpers.finished_case import finished

from renalis.conventions import Label
from renalis.io import find_scans, read_scan
from renalis.io.segments.rtstruct import read_rtstruct
from renalis.pipeline.formats import FORMATS, RTSTRUCT, SEG, SEG_LABELMAP
from renalis.pipeline.outputs import FinishedCase, write_output

OBJECTS = [f for one in FORMATS.values() for f in one.study_files if f != SEG_LABELMAP]


@pytest.fixture(scope="module")
def case(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> FinishedCase:
    """Forty slices of the series: an object's size tells nothing about its correctness."""
    (packed,) = (data_folder / "real-ct" / "tcga-ov").glob("*.zip")
    folder = tmp_path_factory.mktemp("series")
    with zipfile.ZipFile(packed) as archive:
        images = sorted(name for name in archive.namelist() if name.lower().endswith(".dcm"))
        archive.extractall(folder, images[60:100])
    (source,) = find_scans([folder])
    scan = read_scan(source)
    labels = np.zeros(scan.volume.shape, np.uint8)
    canonical = scan.volume.like(labels, scan.volume.kind).reoriented().array  # a view
    shape = np.array(canonical.shape)
    for side, size in ((-1, 1.0), (1, 0.9)):
        center = shape * (0.62, 0.52, 0.5 + side * 0.14)
        for label, away, radius in (
            (Label.KIDNEY, (0, 0, 0), np.array((9, 26, 28)) * size),
            (Label.TUMOR, (3, 15 * side, 0), np.array((4, 14, 12)) * size),
            (Label.CYST, (-4, -12, 4), np.array((2.5, 7, 8)) * size),
        ):
            low = np.maximum((center + away - radius - 1).astype(int), 0)
            box = tuple(slice(a, a + int(2 * r) + 3) for a, r in zip(low, radius, strict=True))
            part = canonical[box]
            grid = np.moveaxis(np.indices(part.shape), 0, -1) + low
            part[(((grid - center - away) / radius) ** 2).sum(-1) < 1] = label
    made = finished(scan, labels)
    vars(made)["pdf"] = b"%PDF-1.4 stands for a report"
    return made


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not here")
def test_dciodvfy_finds_no_error(case: FinishedCase, tmp_path: Path) -> None:
    for file in OBJECTS:
        write_output(tmp_path, case, file)
        done = subprocess.run(["dciodvfy", tmp_path / file], capture_output=True, text=True)
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == [], file


def test_highdicom_and_our_readers_find_every_voxel_in_its_place(
    case: FinishedCase, tmp_path: Path
) -> None:
    write_output(tmp_path, case, SEG)
    volume = highdicom.seg.segread(tmp_path / SEG).get_volume(combine_segments=True)
    where = np.argwhere(volume.array)
    places = np.c_[where, np.ones(len(where))] @ volume.affine.T
    at = case.scan.volume.index(places[:, :3] * (-1, -1, 1))
    np.testing.assert_allclose(at, np.rint(at), atol=0.02)
    found = np.zeros(case.scan.volume.shape, int)
    found[tuple(np.rint(at).astype(int).T)] = volume.array[tuple(where.T)]
    np.testing.assert_array_equal(found, case.structures.volume.array)
    write_output(tmp_path, case, RTSTRUCT)
    outlines = read_rtstruct(tmp_path / RTSTRUCT, case.scan.volume)
    np.testing.assert_array_equal(outlines.volume.array, case.labels.array)
