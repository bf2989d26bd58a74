"""Read one case and collect its facts: geometry, label values, volumes, HU, findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.conventions import Convention
from renalis.dataset.cases import Case
from renalis.dataset.findings import Finding, Level
from renalis.dataset.reading import case_content, read_case, read_case_labels
from renalis.errors import InputError
from renalis.io.nifti_stored import stored_voxels
from renalis.io.read import read_scan
from renalis.io.read_labels import content_hash
from renalis.io.scan_size import times
from renalis.preparation.plausibility import place_doubts
from renalis.volume import Volume
from renalis.voxel_hash import voxel_hash

__all__ = ["HU_LOW", "CaseFacts", "case_volumes_ml", "examine"]

HU_LOW = -1024
"""HU of the first bin of a histogram; the last bin also holds everything higher."""
_BINS = 4096
_TOLERANCE_MM = 0.01
"""Headers in float32 and rotations stored as quaternions differ by some micrometers."""


@dataclass(frozen=True)
class CaseFacts:
    """What one case is like.

    Parameters
    ----------
    case : str
        Its id.
    shape : tuple of int
        Voxels along the axes of the file; (0, 0, 0) if the scan cannot be read.
    spacing_mm : tuple of float
        Along the same axes.
    orientation : str
        Where the axes run, for example ``"ILA"``.
    size, size_mm : tuple
        Voxels and spacing along (Z, Y, X) of the canonical orientation.
    oblique_deg : float
        Largest angle between an axis and the patient axis that it stands for.
    image_file, label_file : str
        SHA-256 of the files; empty for DICOM.
    image_voxels, label_voxels : str
        SHA-256 of the voxels in canonical orientation, whatever the file's format and packing.
    values : tuple of int
        Label values that occur, 0 included.
    ml : dict of str to float
        Volume of each label of the convention.
    hu : dict of str to ndarray of int64, shape (4096,)
        Number of voxels by HU, from -1024, for each label of the convention.
    findings : tuple of Finding
        What is wrong or unusual.
    """

    case: str
    shape: tuple[int, int, int] = (0, 0, 0)
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    orientation: str = ""
    size: tuple[int, int, int] = (0, 0, 0)
    size_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    oblique_deg: float = 0.0
    image_file: str = ""
    label_file: str = ""
    image_voxels: str = ""
    label_voxels: str = ""
    values: tuple[int, ...] = ()
    ml: dict[str, float] = field(default_factory=dict)
    hu: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def examine(case: Case, convention: Convention, quick: bool = False) -> CaseFacts:
    """Read a case.

    Parameters
    ----------
    case : Case
        Where the files are.
    convention : Convention
        What the label values mean.
    quick : bool
        Read only the header of a NIfTI scan: no HU, no hash of its voxels.

    Returns
    -------
    CaseFacts
        With a finding for what cannot be read; nothing is raised for bad files.
    """
    findings: list[Finding] = []

    def found(level: Level, code: str, sentence: str) -> None:
        findings.append(Finding(case.id, level, code, sentence))

    facts: dict[str, Any] = {}
    grid = image = labels = None
    single = case.number is not None
    try:
        grid, image, warnings = _scan(case, quick)
        for warning in warnings:
            found(Level.WARNING, "header", warning)
        facts.update(_geometry(grid))
        facts["image_file"] = case_content(case, labels=False) if single else _file_hash(case.image)
        if image is not None:
            # One slice says nothing about how a patient lies in it.
            for doubt in () if single else place_doubts(image):
                level = Level.ERROR if doubt.impossible else Level.WARNING
                found(level, "place", "; ".join(filter(None, (doubt.sentence, doubt.advice))))
            facts["image_voxels"] = voxel_hash(image)
    except InputError as error:
        found(Level.ERROR, "unreadable-scan", str(error))
    if case.label is not None:
        try:
            # A label map that does not say how the patient lies is compared as it stands.
            labels = read_case_labels(case, placed=False)
            assert labels is not None
            facts["label_file"] = case_content(case) if single else content_hash(case.label)
            facts["label_voxels"] = voxel_hash(labels)
            facts.update(_label_facts(labels, convention))
            findings += _label_findings(case.id, facts["values"], convention)
        except InputError as error:
            found(Level.ERROR, "unreadable-labels", str(error))
    if grid is not None and labels is not None:
        labels, difference = _on_grid(case.id, grid, labels)
        findings += difference
        if labels is not None and image is not None:
            facts["hu"] = _histograms(image.array, labels.array, convention)
    return CaseFacts(case.id, **facts, findings=tuple(findings))


def case_volumes_ml(case: Case, convention: Convention) -> dict[str, float]:
    """Volume in ml of each label of a case; nothing of one without labels.

    Raises
    ------
    InputError
        If the label map cannot be read or holds values that the convention lacks.
    """
    labels = read_case_labels(case, placed=False)
    if labels is None:
        return {}
    facts = _label_facts(labels, convention)
    for finding in _label_findings("", facts["values"], convention):
        if finding.level is Level.ERROR:
            raise InputError(f"{case.label}: {finding.sentence}")
    ml: dict[str, float] = facts["ml"]
    return ml


def _scan(case: Case, quick: bool) -> tuple[Volume, Volume | None, tuple[str, ...]]:
    """The grid of a scan, its voxels unless they are not wanted, and the reader's warnings."""
    path = case.image
    if case.number is not None:
        volume = read_case(case)
        return volume, volume, ()
    if quick and path.is_file() and path.name.lower().endswith((".nii", ".nii.gz")):
        with stored_voxels(path) as stored:
            # One value behind a whole grid: nothing is read and no memory taken.
            nothing = np.broadcast_to(np.int16(0), stored.shape)
            return Volume(nothing, stored.affine), None, stored.warnings
    scan = read_scan(path)
    return scan.volume, scan.volume, scan.warnings


def _geometry(grid: Volume) -> dict[str, Any]:
    canonical = grid.reoriented()
    cosines = canonical.affine[:3, :3] / np.linalg.norm(canonical.affine[:3, :3], axis=0)
    along = np.abs([cosines[2, 0], cosines[1, 1], cosines[0, 2]])
    return {
        "shape": grid.shape,
        "spacing_mm": grid.spacing,
        "orientation": grid.orientation,
        "size": canonical.shape,
        "size_mm": canonical.spacing,
        "oblique_deg": float(np.degrees(np.arccos(np.clip(along, 0, 1))).max()),
    }


def _file_hash(path: Path) -> str:
    return content_hash(path) if path.is_file() else ""


def _label_facts(labels: Volume, convention: Convention) -> dict[str, Any]:
    counts = np.zeros(256, dtype=np.int64)
    flat = labels.array.ravel(order="K")
    for start in range(0, flat.size, 1 << 22):
        counts += np.bincount(flat[start : start + (1 << 22)], minlength=256)
    return {
        "values": tuple(int(v) for v in np.flatnonzero(counts)),
        "ml": {
            name: float(counts[value] * labels.voxel_ml)
            for name, value in convention.values.items()
        },
    }


def _label_findings(case: str, values: tuple[int, ...], convention: Convention) -> list[Finding]:
    known = {0, *convention.values.values()}
    strange = [v for v in values if v not in known]
    if strange:
        names = ", ".join(f"{v} {n}" for n, v in convention.values.items())
        sentence = (
            f"the label map holds {', '.join(map(str, strange))}, which {convention.value} lacks "
            f"({names}); choose the right convention with --labels or correct the map"
        )
        return [Finding(case, Level.ERROR, "label-values", sentence)]
    if values == (0,):
        sentence = "the label map is empty: no voxel is labelled; look whether that is true"
        return [Finding(case, Level.WARNING, "empty-labels", sentence)]
    return []


def _on_grid(case: str, image: Volume, labels: Volume) -> tuple[Volume | None, list[Finding]]:
    """The labels in the axis order of the scan, or a finding that says how the grids differ."""
    if image.same_grid(labels, _TOLERANCE_MM):
        return labels, []
    turned = labels.reoriented(image.orientation)
    if image.same_grid(turned, _TOLERANCE_MM):
        sentence = (
            f"the axes of the scan run {image.orientation}, those of the label map "
            f"{labels.orientation}; renalis puts them in the same order, other programs may not"
        )
        return turned, [Finding(case, Level.WARNING, "axis-order", sentence)]
    if image.shape != labels.shape:
        sentence = (
            f"the scan has {times(image.shape)} voxels, the label map {times(labels.shape)}; "
            "they do not belong together"
        )
        return None, [Finding(case, Level.ERROR, "shape", sentence)]
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape])).reshape(3, -1).T
    apart = float(np.abs(image.world(corners) - labels.world(corners)).max())
    sentence = (
        f"scan and label map have the same shape, but their headers put voxels up to {apart:.2f} "
        "mm apart; find out which header is right and copy it into the other"
    )
    return None, [Finding(case, Level.ERROR, "grid", sentence)]


def _histograms(
    image: NDArray[Any], labels: NDArray[Any], convention: Convention
) -> dict[str, NDArray[np.int64]]:
    """Voxels by HU for each label."""
    result = {}
    for name, value in convention.values.items():
        places = np.clip(image[labels == value].astype(np.int64) - HU_LOW, 0, _BINS - 1)
        result[name] = np.bincount(places, minlength=_BINS)
    return result
