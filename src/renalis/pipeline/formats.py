"""Formats of a result that can be asked for: their files, what they need, what is installed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass

from renalis.errors import UsageError

__all__ = [
    "FORMATS",
    "NIFTI",
    "PDF",
    "PDF_OBJECT",
    "RTSTRUCT",
    "SEG",
    "SEG_LABELMAP",
    "SEG_NRRD",
    "SR",
    "SURFACE",
    "SURFACES",
    "Format",
    "check_formats",
    "is_output",
    "to_write",
]

NIFTI = "nifti"
SEG, SEG_LABELMAP, SR = "segmentation.dcm", "segmentation-labelmap.dcm", "measurements.dcm"
PDF, PDF_OBJECT = "report.pdf", "report.dcm"
RTSTRUCT, SEG_NRRD = "structures.dcm", "segmentation.seg.nrrd"
SURFACES = "surfaces.glb"
SURFACE = re.compile(r"surface-[a-z]+(-\d+)?\.stl")
"""Surface of one kidney or lesion."""


@dataclass(frozen=True)
class Format:
    """One word of ``--write``.

    Attributes
    ----------
    name : str
        The word.
    files : tuple of str
        What is written of any scan.
    study_files : tuple of str
        What is written of scans that were read from DICOM: names patient and study.
    package, extra : str
        Module that it needs, and the extra that brings it; empty without.
    """

    name: str
    files: tuple[str, ...] = ()
    study_files: tuple[str, ...] = ()
    package: str = ""
    extra: str = ""


FORMATS = {
    one.name: one
    for one in (
        Format(NIFTI),
        Format("dicom-seg", study_files=(SEG,), package="highdicom", extra="dicom"),
        Format(
            "dicom-seg-labelmap", study_files=(SEG_LABELMAP,), package="highdicom", extra="dicom"
        ),
        Format("sr", study_files=(SR,), package="highdicom", extra="dicom"),
        Format("rtstruct", study_files=(RTSTRUCT,)),
        Format("nrrd", files=(SEG_NRRD,)),
        Format("mesh", files=(SURFACES,)),
        Format("pdf", files=(PDF,), study_files=(PDF_OBJECT,), package="fpdf", extra="pdf"),
    )
}
"""In the order in which they are written: a report may refer to a segmentation."""


_DISTRIBUTIONS = {"fpdf": "fpdf2"}
"""Packages whose module has another name."""


def is_output(file: str) -> bool:
    """Whether a file of a case is one of a format's."""
    known = {name for one in FORMATS.values() for name in (*one.files, *one.study_files)}
    return file in known or SURFACE.fullmatch(file) is not None


def to_write(write: Sequence[str], anonymous: bool = False) -> tuple[str, ...]:
    """Files of formats, in the order in which they are written.

    Parameters
    ----------
    write : sequence of str
        Names of formats.
    anonymous : bool
        Whether those that name patient and study are left out.

    Examples
    --------
    >>> to_write(("nifti", "dicom-seg"))
    ('segmentation.dcm',)
    """
    wanted = [one for one in FORMATS.values() if one.name in write]
    return tuple(f for one in wanted for f in (*one.files, *(() if anonymous else one.study_files)))


def check_formats(write: Sequence[str], anonymous: bool) -> None:
    """Refuse what cannot be written, before any work begins.

    Parameters
    ----------
    write : sequence of str
        What ``--write`` names.
    anonymous : bool
        Whether nothing may identify the patient.

    Raises
    ------
    UsageError
        If a format is not known, not installed, or consists of what ``anonymous`` takes away.
    """
    unknown = [name for name in write if name not in FORMATS]
    if unknown:
        known = ", ".join(FORMATS)
        raise UsageError(f"--write knows {known}; there is no {unknown[0]!r}")
    if NIFTI not in write:
        raise UsageError("--write always needs nifti: all other files are made of it")
    for one in (FORMATS[name] for name in write):
        if anonymous and one.study_files and not one.files:
            raise UsageError(
                f"--write {one.name} names the scan's patient, study and images, which --anonymous "
                "takes away; leave one of them out"
            )
        if one.package and importlib.util.find_spec(one.package) is None:
            package = _DISTRIBUTIONS.get(one.package, one.package)
            raise UsageError(
                f"--write {one.name} needs {package}, which is not installed: pip install "
                f"'renalis[{one.extra}]', or leave {one.name} out"
            )
