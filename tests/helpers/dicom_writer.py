"""Write small DICOM CT series as scanners do, for the tests to read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Change = Callable[[Dataset, int], None]


def body(slices: int = 12, rows: int = 24, columns: int = 32) -> np.ndarray:
    """HU, axes (slice, row, column): smooth along the slices, no two voxels of one slice alike."""
    z, y, x = np.meshgrid(*map(np.arange, (slices, rows, columns)), indexing="ij")
    return (-1000 + 10 * z + 2 * x + 64 * y).astype(np.int16)


def ct_slice(hu: np.ndarray, position: Any, **tags: Any) -> FileDataset:
    """One CT image in memory; stored values are HU + 1024, 12 bits, unsigned."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = CTImageStorage
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Modality = "CT"
    data.PatientName = "Muster^Erika"
    data.PatientID = "4711"
    data.StudyInstanceUID = "1.2.3.1"
    data.SeriesInstanceUID = "1.2.3.1.5"
    data.SeriesNumber = 5
    data.SeriesDescription = "Abdomen 3.0"
    data.StudyDate, data.SeriesDate = "20200101", "20200101"
    data.StudyTime, data.AcquisitionTime = "101500", "101600"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Manufacturer = "SIEMENS"
    data.FrameOfReferenceUID = "1.2.3.9"
    data.PatientPosition = "HFS"
    data.ImagePositionPatient = [f"{v:.6f}" for v in position]
    data.ImageOrientationPatient = [f"{v:.10f}"[:16] for v in AXIAL]
    data.PixelSpacing = ["0.9", "0.7"]
    data.SliceThickness = "3.0"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows, data.Columns = hu.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = 0
    data.RescaleSlope, data.RescaleIntercept = "1", "-1024"
    data.PixelData = (hu.astype(np.int32) + 1024).clip(0, 4095).astype("<u2").tobytes()
    for tag, value in tags.items():
        setattr(data, tag, value)
    return data


def write_series(
    folder: Path,
    hu: np.ndarray,
    *,
    origin: Any = (-100.0, -80.0, 20.0),
    step: Any = (0.0, 0.0, 3.0),
    places: Any = None,
    change: Change | None = None,
    name: str = "{:04d}.dcm",
    **tags: Any,
) -> list[Path]:
    """Write a series, one file per slice, in shuffled file order.

    ``places`` are multiples of ``step`` from ``origin``; ``change`` may alter each dataset.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = np.arange(len(hu)) if places is None else places
    order = np.random.default_rng(len(hu)).permutation(len(hu))
    files = []
    for index, (image, place) in enumerate(zip(hu, places, strict=True)):
        position = np.asarray(origin) + np.asarray(step) * place
        data = ct_slice(image, position, InstanceNumber=index + 1, **tags)
        if change:
            change(data, index)
        path = folder / name.format(int(order[index]))
        pydicom.dcmwrite(path, data, enforce_file_format=True)
        files.append(path)
    return files


def write_enhanced(path: Path, hu: np.ndarray, positions: Any, slopes: Any = None) -> None:
    """Write an enhanced multi-frame CT; frames in the order given."""
    data = ct_slice(hu[0], (0, 0, 0))
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(data, tag)
    del data.RescaleSlope, data.RescaleIntercept
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    data.NumberOfFrames = len(hu)
    data.PixelData = (hu.astype(np.int32) + 1024).astype("<u2").tobytes()
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = ["0.9", "0.7"], "3"
    orientation.ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index, position in enumerate(positions):
        frame, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [float(v) for v in position]
        values.RescaleIntercept, values.RescaleSlope = "-1024", "1"
        if slopes is not None:
            values.RescaleSlope = str(slopes[index])
        values.RescaleType = "HU"
        frame.PlanePositionSequence = [place]
        frame.PixelValueTransformationSequence = [values]
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.save_as(path, enforce_file_format=True)


def hu_at(x: np.ndarray) -> np.ndarray:
    """The HU of `body` at world coordinates (RAS, mm) of its default place, linear in between."""
    column = (-x[..., 0] + 100.0) / 0.7
    row = (-x[..., 1] + 80.0) / 0.9
    place = (x[..., 2] - 20.0) / 3.0
    return np.asarray(-1000 + 10 * place + 2 * column + 64 * row)


def world_grid(volume: Any) -> np.ndarray:
    """World coordinates of all voxels, shape (I, J, K, 3)."""
    return np.asarray(volume.world(np.moveaxis(np.indices(volume.shape), 0, -1)))
