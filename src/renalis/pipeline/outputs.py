"""A finished case in further formats, each by a writer of its own; see `renalis.pipeline.formats`.

Kidneys and lesions are numbered once, by the ids of the measurements; headers of the scan's images
are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.conventions import Label
from renalis.io import Scan, whole_file
from renalis.io.label_names import LABEL_NAMES
from renalis.io.segments.facts import Maker, SegmentFacts
from renalis.measurement import Measurements
from renalis.measurement.numbering import (
    FURTHER,
    UNASSIGNED,
    NumberedStructures,
    Structure,
    numbered,
)
from renalis.pipeline.formats import (
    FORMATS,
    PDF,
    PDF_OBJECT,
    RTSTRUCT,
    SEG,
    SEG_LABELMAP,
    SEG_NRRD,
    SR,
    SURFACE,
    SURFACES,
    to_write,
)
from renalis.preparation.body import Body, find_body
from renalis.report import ReportContent
from renalis.volume import Volume

if TYPE_CHECKING:
    from renalis.io.segments.segmented_study import SegmentedStudy

__all__ = ["FinishedCase", "NothingFoundError", "files_to_write", "write_output"]


class NothingFoundError(Exception):
    """There is no such file of a scan in which nothing was found."""


@dataclass(frozen=True, eq=False)
class FinishedCase:
    """What files are made of.

    Attributes
    ----------
    scan : Scan
        As it was read.
    labels : Volume
        KiTS23 labels on the scan's grid.
    body : Body or None
        The patient's, if it was found already.
    measured : Measurements
        Made from both.
    model : str
        Name and version of the model.
    make_content : callable
        Gathers what a report shows.
    corrected : bool
        Whether a person changed the labels.
    """

    scan: Scan
    labels: Volume
    body: Body | None
    measured: Measurements
    model: str
    make_content: Callable[[], ReportContent]
    corrected: bool = False

    @cached_property
    def structures(self) -> NumberedStructures:
        """All kidneys and lesions."""
        body = self.body or find_body(self.scan.volume)
        return numbered(self.labels, body.midline)

    @cached_property
    def facts(self) -> tuple[SegmentFacts, ...]:
        """Name and kind of each structure."""
        found = self.structures.structures
        return tuple(SegmentFacts(s.id, _name(s), s.label, str(s.side)) for s in found)

    @cached_property
    def maker(self) -> Maker:
        """What made the segmentation."""
        return Maker(metadata.version("renalis"), self.model, self.corrected)

    @cached_property
    def study(self) -> SegmentedStudy:
        """What DICOM objects are made of.

        Raises
        ------
        NoStudyError
            If there can be none.
        """
        # Not before: pydicom and its codes are for DICOM objects alone.
        from renalis.io.segments.segmented_study import SegmentedStudy

        return SegmentedStudy.of(self.structures.volume, self.facts, self.scan, self.maker)

    @cached_property
    def content(self) -> ReportContent:
        """What a report shows."""
        return self.make_content()

    @cached_property
    def pdf(self) -> bytes:
        """The report as a PDF."""
        from renalis.report.pdf import report_pdf

        return report_pdf(self.content)


def files_to_write(wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    """Files to hand to `write_output` so that all that are wanted come to be, in their order.

    A surface is written together with all others. A structured report is written anew with a
    segmentation, to whose segments it refers.

    Parameters
    ----------
    wanted : iterable of str
        Files of formats that are missing.
    there : iterable of str
        Files that there are.

    Examples
    --------
    >>> files_to_write(["surface-left.stl", "segmentation.dcm"], ["measurements.dcm"])
    ['segmentation.dcm', 'measurements.dcm', 'surfaces.glb']
    """
    files = {SURFACES if SURFACE.fullmatch(file) else file for file in wanted}
    if SR in there and not files.isdisjoint((SEG, SEG_LABELMAP)):
        files.add(SR)
    return [file for file in to_write(tuple(FORMATS)) if file in files]


def write_output(folder: Path, case: FinishedCase, file: str) -> list[str]:
    """Write one file of a format into a case's folder, with those that belong to it.

    Parameters
    ----------
    folder : Path
        Of the case; files that are there are replaced.
    case : FinishedCase
        What is written.
    file : str
        Of `renalis.pipeline.formats.to_write`.

    Returns
    -------
    list of str
        Names of the files written.

    Raises
    ------
    NothingFoundError
        If there is nothing to write.
    NoStudyError
        If the scan is in no study that the file could belong to.
    OutputError
        If a file cannot be written.
    """
    write, empty = _WRITERS[file]
    if not empty and not case.facts:
        raise NothingFoundError
    others = write(folder / file, case)
    return [file, *(others or ())]


def _dicom_seg(path: Path, case: FinishedCase) -> None:
    from renalis.io.segments.dicom_seg_out import write_dicom_seg

    write_dicom_seg(path, case.study)


def _dicom_seg_labelmap(path: Path, case: FinishedCase) -> None:
    from renalis.io.segments.dicom_seg_out import SegKind, write_dicom_seg

    write_dicom_seg(path, case.study, SegKind.LABELMAP)


def _sr(path: Path, case: FinishedCase) -> None:
    from renalis.io.segments.dicom_seg_out import SegKind
    from renalis.io.segments.sr_out import write_sr
    from renalis.pipeline.coded_measurements import coded_measurements

    # Segmentations come before; one that could not be written is not referred to.
    kinds = ((SEG, SegKind.BINARY), (SEG_LABELMAP, SegKind.LABELMAP))
    there = [kind for file, kind in kinds if (path.parent / file).is_file()]
    measured = coded_measurements(case.measured, case.facts)
    if not measured:  # specks that are no kidney's
        raise NothingFoundError
    write_sr(path, case.study, measured, there[0] if there else None)


def _rtstruct(path: Path, case: FinishedCase) -> None:
    from renalis.io.segments.rtstruct_out import write_rtstruct

    write_rtstruct(path, case.study)


def _seg_nrrd(path: Path, case: FinishedCase) -> None:
    from renalis.io.segments.nrrd_out import write_seg_nrrd

    write_seg_nrrd(path, case.structures.volume, case.facts)


def _surfaces(path: Path, case: FinishedCase) -> list[str]:
    from renalis.io.segments.surfaces_out import write_glb, write_stl
    from renalis.pipeline.surfaces import surfaces_of

    found = surfaces_of(case.structures, case.facts)
    if not found:
        raise NothingFoundError
    names = [f"surface-{one.facts.id}.stl" for one in found]
    for name, one in zip(names, found, strict=True):
        write_stl(path.parent / name, one)
    write_glb(path, found)  # last: where it is, all are
    return names


def _pdf(path: Path, case: FinishedCase) -> None:
    with whole_file(path) as file:
        file.write(case.pdf)


def _pdf_object(path: Path, case: FinishedCase) -> None:
    from renalis.io.segments.pdf_object import write_pdf_object

    write_pdf_object(path, case.pdf, case.study)


_WRITERS: dict[str, tuple[Callable[[Path, FinishedCase], list[str] | None], bool]] = {
    SEG: (_dicom_seg, False),
    SEG_LABELMAP: (_dicom_seg_labelmap, False),
    SR: (_sr, False),
    RTSTRUCT: (_rtstruct, False),
    SEG_NRRD: (_seg_nrrd, False),
    SURFACES: (_surfaces, False),
    PDF: (_pdf, True),
    PDF_OBJECT: (_pdf_object, True),
}
"""What writes a file, and whether it does so when nothing was found."""


def _name(structure: Structure) -> str:
    """What viewers show: ``Left kidney``, ``Kidney other-1``, ``Tumor 1 (left kidney)``."""
    what = LABEL_NAMES[structure.label]
    sided = structure.side in ("left", "right")
    if structure.label == Label.KIDNEY:
        if structure.id == UNASSIGNED:
            return "Kidney (specks)"
        return f"{structure.side} kidney".capitalize() if sided else f"Kidney {structure.id}"
    if structure.id.startswith(FURTHER):
        return structure.id.replace("-", " ").capitalize()
    where = f" ({structure.side} side)" if sided else ""
    return f"{what} {structure.id.rpartition('-')[2]}{where}".capitalize()
