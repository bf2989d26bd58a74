"""Write segmentations as other tools do: highdicom, pynrrd, and contours by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from skimage.measure import find_contours

from helpers.dicom_writer import ct_slice
from renalis.volume import Kind, Volume

LPS = np.array([-1.0, -1.0, 1.0])
TILTED = (1.0, 0.0, 0.0, 0.0, float(np.cos(0.3)), float(np.sin(0.3)))


def truth() -> NDArray[np.uint8]:
    """Kidneys (one with a hole), a tumor and a cyst, (column, row, slice)."""
    labels = np.zeros((40, 32, 14), np.uint8)
    labels[4:16, 6:24, 2:10] = 1
    labels[8:11, 12:17, 4:8] = 0
    labels[24:37, 8:26, 3:12] = 1
    labels[25:31, 9:15, 4:8] = 2
    labels[30:36, 19:25, 7:12] = 3
    return labels


def ct_series(slices: int = 14, orientation: Any = None) -> tuple[list[Dataset], Volume]:
    """The images of a scan of 0.7 × 0.9 × 3 mm, and its empty grid."""
    cosines = np.array(orientation or (1.0, 0, 0, 0, 1, 0), float).reshape(2, 3)
    normal = np.cross(*cosines)
    start = np.array([-60.0, -40.0, 120.0])
    images = []
    for index in range(slices):
        image = ct_slice(np.zeros((32, 40), np.int16), start + 3 * index * normal)
        image.ImageOrientationPatient = [f"{v:.10f}" for v in cosines.ravel()]
        image.InstanceNumber = index + 1
        image.PatientBirthDate, image.PatientSex, image.AccessionNumber = "", "", ""
        image.StudyID, image.ReferringPhysicianName = "1", ""
        images.append(image)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([cosines[0] * 0.7, cosines[1] * 0.9, normal * 3], axis=1)
    affine[:3, 3] = start
    affine[:3] *= LPS[:, None]
    return images, Volume(np.zeros((40, 32, slices), np.uint8), affine, Kind.LABELS)


def write_seg(path: Path, images: list[Dataset], masks: dict[str, NDArray[np.bool_]], **how: Any):
    """A DICOM Segmentation by highdicom; names may be followed by ``|SCHEME:CODE``."""
    from highdicom.content import AlgorithmIdentificationSequence
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.sr.coding import Code

    algorithm = AlgorithmIdentificationSequence("x", Code("123109", "DCM", "Manual"), "1")
    descriptions = []
    for number, given in enumerate(masks, 1):
        name, _, code = given.partition("|")
        scheme, _, value = (code or "SCT:85756007").partition(":")
        descriptions.append(
            SegmentDescription(
                segment_number=number,
                segment_label=name,
                segmented_property_category=Code("91723000", "SCT", "Anatomical structure"),
                segmented_property_type=Code(value, scheme, "as the code says"),
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
            )
        )
    stack = np.stack([np.moveaxis(m, (0, 1, 2), (2, 1, 0)) for m in masks.values()], axis=-1)
    fractional = how.get("segmentation_type") == "FRACTIONAL"
    Segmentation(
        source_images=images,
        pixel_array=stack.astype(np.float32 if fractional else np.uint8),
        segmentation_type=how.pop("segmentation_type", "BINARY"),
        segment_descriptions=descriptions,
        series_instance_uid=pydicom.uid.generate_uid(),
        series_number=9,
        sop_instance_uid=pydicom.uid.generate_uid(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
        **how,
    ).save_as(path)
    return path


def write_seg_nrrd(
    path: Path, grid: Volume, layers: list[NDArray[np.uint8]], names: Any, tags: str = ""
) -> Path:
    """A segmentation as 3D Slicer stores it, by pynrrd; names: (name, layer, value)."""
    import nrrd

    lps = grid.affine[:3] * LPS[:, None]
    header: dict[str, Any] = {
        "space": "left-posterior-superior",
        "kinds": ["domain", "domain", "domain"],
        "space directions": lps[:, :3].T,
        "space origin": lps[:, 3],
        "encoding": "gzip",
    }
    if len(layers) > 1:
        header["kinds"] = ["list", *header["kinds"]]
        header["space directions"] = np.vstack([np.full((1, 3), np.nan), lps[:, :3].T])
    for number, (name, layer, value) in enumerate(names):
        header[f"Segment{number}_Name"] = name
        header[f"Segment{number}_Layer"] = str(layer)
        header[f"Segment{number}_LabelValue"] = str(value)
        header[f"Segment{number}_Tags"] = tags
    nrrd.write(str(path), layers[0] if len(layers) == 1 else np.stack(layers), header)
    return path


def write_rtstruct(path: Path, grid: Volume, masks: dict[str, NDArray[np.bool_]]) -> Path:
    """A structure set whose contours run between the voxels of masks, slice by slice."""
    data = ct_slice(np.zeros((2, 2), np.int16), (0, 0, 0))
    for tag in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "PixelSpacing"):
        delattr(data, tag)
    uid = "1.2.840.10008.5.1.4.1.1.481.3"
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = uid
    data.Modality = "RTSTRUCT"
    data.StructureSetLabel = "x"
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, mask) in enumerate(masks.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = []
        for k in range(mask.shape[2]):
            padded = np.pad(mask[:, :, k].astype(float), 1)
            for line in find_contours(padded, 0.5):
                index = np.column_stack([line[:-1] - 1, np.full(len(line) - 1, k)])
                contour = Dataset()
                contour.ContourGeometricType = "CLOSED_PLANAR"
                points = grid.world(index) * LPS
                contour.NumberOfContourPoints = len(points)
                contour.ContourData = [f"{v:.4f}" for v in points.ravel()]
                drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path
