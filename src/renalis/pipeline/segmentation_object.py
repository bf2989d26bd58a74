"""A case's kidneys and lesions as a DICOM Segmentation, by the ids of its measurements."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from renalis.conventions import Label
from renalis.io import Scan
from renalis.io.segments.dicom_seg_out import Maker, SegmentFacts, write_dicom_seg
from renalis.laterality import Midline
from renalis.measurement.numbering import UNASSIGNED, Structure, numbered
from renalis.volume import Volume

__all__ = ["write_segmentation_object"]

_NAMES = {Label.KIDNEY: "kidney", Label.TUMOR: "tumor", Label.CYST: "cyst"}


def write_segmentation_object(
    path: Path, labels: Volume, scan: Scan, midline: Midline, model: str
) -> bool:
    """Write the labels of a scan as a DICOM Segmentation, one segment per kidney and lesion.

    Parameters
    ----------
    path : Path
        The file.
    labels : Volume
        KiTS23 labels on the scan's grid.
    scan : Scan
        Read from DICOM.
    midline : Midline
        The body's.
    model : str
        Name and version of the model.

    Returns
    -------
    bool
        False when nothing is labeled: there is no object without a segment.

    Raises
    ------
    InputError
        If the scan is no DICOM, or its headers do not allow such an object.
    OutputError
        If the file cannot be written.
    """
    found = numbered(labels, midline)
    if not found.structures:
        return False
    facts = [SegmentFacts(s.id, _name(s), s.label, str(s.side)) for s in found.structures]
    write_dicom_seg(path, found.volume, facts, scan, Maker(metadata.version("renalis"), model))
    return True


def _name(structure: Structure) -> str:
    """What viewers show: ``Left kidney``, ``Kidney other-1``, ``Tumor 1 (left kidney)``."""
    what = _NAMES[structure.label]
    sided = structure.side in ("left", "right")
    if structure.label == Label.KIDNEY:
        if structure.id == UNASSIGNED:
            return "Kidney (specks)"
        return f"{structure.side} kidney".capitalize() if sided else f"Kidney {structure.id}"
    where = f" ({structure.side} side)" if sided else ""
    return f"{what} {structure.id.rpartition('-')[2]}{where}".capitalize()
