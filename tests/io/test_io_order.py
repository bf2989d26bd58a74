"""Scans come in the order in which people count."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from helpers.dicom_writer import body, write_series

from renalis.io import find_scans
from renalis.pipeline.folder import LABELS, MEASUREMENTS, PROVENANCE
from renalis.pipeline.table import write_table

NUMBERS = [10, 2, 0, 11, 1]
COUNTED = [f"case_{k}" for k in sorted(NUMBERS)]


def test_files_and_studies_of_a_folder_are_counted(tmp_path: Path) -> None:
    files, studies = tmp_path / "files", tmp_path / "studies"
    files.mkdir()
    for place, k in enumerate(NUMBERS):
        image = nib.Nifti1Image(np.full((4, 4, 4), k - 500, np.int16), np.eye(4))
        nib.save(image, files / f"case_{k}.nii.gz")
        write_series(studies / f"case_{k}", body(3), StudyInstanceUID=f"1.2.{place + 1}")
    assert [scan.case_id for scan in find_scans([files])] == COUNTED
    assert [scan.case_id for scan in find_scans([studies])] == COUNTED


def test_the_table_of_measurements_is_counted(tmp_path: Path) -> None:
    for k in NUMBERS:
        folder = tmp_path / f"case_{k}"
        folder.mkdir()
        content = {"files": [LABELS], "row": {"case": f"case_{k}"}}
        (folder / PROVENANCE).write_text(json.dumps(content))
        (folder / MEASUREMENTS).write_text("{}")
    table = write_table(tmp_path)
    assert table is not None
    assert [line.split(",")[0] for line in table.read_text().splitlines()[1:]] == COUNTED
