"""Read a scan, whatever it is stored as."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from renalis.errors import InputError
from renalis.io.find import find_scans
from renalis.io.itk import read_itk
from renalis.io.nifti import read_nifti
from renalis.io.scan import Scan, ScanSource, shown

__all__ = ["read_scan"]


def read_scan(path: str | os.PathLike[str] | ScanSource, series: str | None = None) -> Scan:
    """Read a CT scan.

    Parameters
    ----------
    path : path-like or ScanSource
        A NIfTI, MetaImage or NRRD file, a DICOM folder (searched to any depth), a zip of one, or
        a source from `find_scans`. Where a place holds several studies, give the source; a path
        means the study with the best series, or the one that has the series asked for.
    series : str or None
        For DICOM: UID, number or description of the series wanted. None chooses the axial
        abdominal CT with the most slices. ``scan.source.others`` lists the rest.

    Returns
    -------
    Scan
        HU as int16 on the grid of the file, with warnings as sentences.

    Raises
    ------
    InputError
        If it cannot be read; one sentence that names the file and says what to do.
    """
    if isinstance(path, ScanSource):
        source, more = path, 0
    else:
        found = find_scans([path])
        if len(found) > 1 and any(s.kind in ("nifti", "itk") for s in found):
            raise InputError(
                f"{shown(path)} holds {len(found)} scans; give one of them, "
                f"for example {shown(found[0].path)}"
            )
        source = _best(found) if series is None else _with_series(found, series, Path(path))
        more = len(found) - 1
    if source.kind == "unreadable":
        raise InputError(source.problem)
    if source.kind in ("nifti", "itk"):
        if series is not None:
            raise InputError(
                f"{shown(source.path)} is no DICOM and has no series to choose from; "
                "leave the series out"
            )
        return read_nifti(source) if source.kind == "nifti" else read_itk(source)
    from renalis.io.dicom import read_dicom  # and pydicom, which no other format needs

    scan = read_dicom(source, series)
    if more:
        which = "best series" if series is None else "series asked for"
        note = f"{source.case_id}: its place holds {more + 1} studies; the one with the {which} "
        scan = replace(scan, warnings=(*scan.warnings, f"{note}was read"))
    return scan


def _best(found: Sequence[ScanSource]) -> ScanSource:
    """The study whose chosen series ranks highest."""
    return max(found, key=lambda s: (s.kind != "unreadable", s.rank))


def _with_series(found: Sequence[ScanSource], series: str, path: Path) -> ScanSource:
    """The one study that has a series; `read_scan` says what is wrong with a single study."""
    if len(found) == 1:
        return found[0]
    from renalis.io.dicom import has_series

    having = [s for s in found if s.kind == "dicom" and has_series(s, series)]
    if len(having) == 1:
        return having[0]
    if having:
        raise InputError(
            f"{shown(path)} holds {len(having)} studies with a series {shown(series)!r}; "
            "give the series by its UID, or the folder of one study"
        )
    raise InputError(
        f"{shown(path)} holds {len(found)} studies and none of them has exactly one readable "
        f"series {shown(series)!r}; give the folder of one study to see its series"
    )
