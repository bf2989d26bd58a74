"""What stands on the page: pictures, tables and sentences, in the words of the template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from renalis.measurement import Lesion, Measurements
from renalis.report.content import SOLID, ReportContent, Subject
from renalis.report.embedded_pictures import EmbeddedPicture, data_url, shown
from renalis.report.findings import Findings, short_name
from renalis.report.picture import ABDOMEN, Picture
from renalis.report.picture_choice import (
    Tile,
    kidney_pictures,
    lesion_pictures,
    overviews,
    pair_pictures,
)
from renalis.report.planes import Plane
from renalis.report.scene import Scene
from renalis.report.scene3d import packed, still
from renalis.report.stack import Stack, stack
from renalis.report.style import STYLES
from renalis.report.tables import (
    cards,
    doubts,
    kidney_name,
    kidney_table,
    largest,
    lesion_table,
    nephrometry_table,
    right_first,
    rules,
    summary,
)
from renalis.report.uncertainty import POSSIBLE, Reach, narrowed
from renalis.volume import Volume

__all__ = ["expected_overlap", "page"]

KEY = Tile(width=460, height=345)
CLOSE = Tile(width=400, height=300)
MOST_LESIONS = 10
PLANES = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL)
CONVENTION = (
    "Radiological convention: the patient's right is at the left of axial and coronal pictures, "
    "the front at the left of sagittal ones."
)


@dataclass(frozen=True)
class PictureGroup:
    """Pictures of one kidney or lesion."""

    title: str
    pictures: tuple[EmbeddedPicture, ...]


def page(content: ReportContent) -> dict[str, object]:
    """Everything that the template shows."""
    measured = content.measurements
    subject = content.subject
    scene = replace(subject.scene, reach=_reach(content, subject.scene.image))
    findings = subject.findings
    slices = stack(scene, findings)
    lesions = _lesion_groups(scene, findings, largest(measured.lesions, MOST_LESIONS))
    return {
        "case_id": content.case_id,
        "summary": summary(measured),
        "cards": cards(measured),
        "notes": doubts(measured, content.notes),
        "found_any": scene.box is not None,
        "kinds": _kinds(scene),
        "possible": POSSIBLE if scene.reach else None,
        "window": str(ABDOMEN),
        "convention": CONVENTION,
        "key_pictures": _shown([*overviews(scene, KEY), *pair_pictures(scene, findings, KEY)]),
        "kidney_table": kidney_table(measured),
        "kidney_groups": _kidney_groups(scene, findings, content),
        "lesion_table": lesion_table(measured, _jumps(slices, findings, measured.lesions)),
        "lesion_groups": lesions,
        "lesions_left_out": max(0, len(measured.lesions) - MOST_LESIONS),
        "nephrometry_table": nephrometry_table(measured),
        "rules": rules(measured),
        "model": content.model,
        "changes": content.changes,
        "midline_rule": measured.midline_rule,
        "scan_table": _scan_table(content),
        "version": content.version,
        **_stack_entries(scene, slices),
        **_solid_entries(subject),
    }


def _stack_entries(scene: Scene, slices: Stack | None) -> dict[str, object]:
    """The scrollable slices, beginning where the labels are largest."""
    if slices is None or scene.tight is None:
        return {"stack": []}
    areas = (scene.labels.array[scene.tight] > 0).sum(axis=(1, 2))
    first = slices.nearest(scene.tight[0].start + int(areas.argmax()))
    return {
        "stack": slices.entries(),
        "stack_start": slices.pictures[first],
        "stack_first": first,
        "stack_words": slices.words,
    }


def _solid_entries(subject: Subject) -> dict[str, object]:
    """The 3D view and its still."""
    if not subject.meshes:
        return {"meshes": None}
    names = [mesh.name for mesh in subject.meshes]
    return {
        "meshes": packed(subject.meshes),
        "mesh_names": names,
        "mesh_words": f"Surfaces of {', '.join(names)}.",
        "still": data_url(still(subject.solid, SOLID), 88),
    }


def _kidney_groups(scene: Scene, findings: Findings, content: ReportContent) -> list[PictureGroup]:
    """Each kidney where it is largest, in three planes."""
    groups = []
    for kidney in right_first(content.measurements.kidneys):
        name = kidney_name(kidney)
        pictures = kidney_pictures(
            scene, findings, kidney.id, title=name, planes=PLANES, tile=CLOSE
        )
        groups.append(PictureGroup(name, _shown(pictures)))
    return groups


def _lesion_groups(
    scene: Scene, findings: Findings, lesions: Sequence[Lesion]
) -> list[PictureGroup]:
    """Each lesion where it is largest, in three planes."""
    groups = []
    for lesion in lesions:
        name = short_name(lesion)
        title = f"{name}: {lesion.kind}, {lesion.side}, {lesion.diameter_mm:.0f} mm"
        pictures = lesion_pictures(
            scene, findings, lesion.id, title=name, planes=PLANES, tile=CLOSE
        )
        groups.append(PictureGroup(title, _shown(pictures)))
    return groups


def _jumps(slices: Stack | None, findings: Findings, lesions: Sequence[Lesion]) -> list[int | None]:
    """For each lesion the picture of the stack that shows it best."""
    jumps: list[int | None] = []
    for lesion in lesions:
        found = findings.lesions.get(lesion.id)
        if slices is None or found is None:
            jumps.append(None)
            continue
        jumps.append(slices.nearest(found.box[0].start + int(found.mask.sum(axis=(1, 2)).argmax())))
    return jumps


def _reach(content: ReportContent, image: Volume) -> tuple[Reach, ...]:
    """How far structures reach by the probability volumes that there are."""
    given = content.probabilities
    if given is None:
        return ()
    there = [volume for volume in (given.kidney, given.lesion) if volume is not None]
    narrow = [narrowed(volume) for volume in there]
    return tuple(Reach.of(volume, image) for volume in narrow if volume is not None)


def _kinds(scene: Scene) -> list[str]:
    """Classes that occur, for the legend."""
    if scene.tight is None:
        return []
    part = scene.labels.array[scene.tight]
    return [style.name for label, style in STYLES.items() if bool((part == label).any())]


def _scan_table(content: ReportContent) -> list[tuple[str, str]]:
    """Facts about the scan."""
    grid = content.measurements.grid
    size = " × ".join(str(n) for n in grid.shape)
    spacing = " × ".join(f"{step:.2f}" for step in grid.spacing_mm)
    return [
        ("Voxels", size),
        ("Spacing (mm)", spacing),
        ("Axis directions", grid.orientation),
        *_tilt(content.image),
        *_phase(content.measurements),
        *expected_overlap(content.measurements),
        *content.scan_facts,
    ]


def _phase(measurements: Measurements) -> list[tuple[str, str]]:
    """The contrast phase as the kidneys tell it, whatever a header says."""
    found = measurements.contrast_phase
    if found is None:
        return []
    return [("Contrast phase (by the kidneys)", found.name or "cannot be told")]


def expected_overlap(measurements: Measurements) -> list[tuple[str, str]]:
    """How far labels and a reader's kidneys are likely to overlap, or that nobody knows."""
    case = measurements.confidence
    if case is None:
        return []
    words = f"not known: {case.basis}"
    if case.case_confidence is not None:
        words = f"Dice of about {case.case_confidence:.2f}, as of such scans among {case.basis}"
        if measurements.unusual:
            odd = ", ".join(rule.replace("_", " ") for rule in measurements.unusual)
            words += f"; few of those were as unusual as this one ({odd}), so it may be less"
    facts = [("Expected overlap with a reader's kidneys", words)]
    if case.case_confidence is None and case.agreement_fraction is not None:
        agreed = f"{case.agreement_among} agree with a Dice of {case.agreement_fraction:.2f}"
        facts += [("Agreement, not calibrated", agreed)]
    return facts


def _tilt(image: Volume) -> list[tuple[str, str]]:
    """Says so when the scan's planes are not the patient's."""
    steps = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    angle = float(np.degrees(np.arccos(np.clip(np.abs(steps).max(axis=0), 0, 1)).max()))
    if angle < 1:
        return []
    words = f"by up to {angle:.0f}°; pictures show the scan's own planes, not straightened"
    return [("Oblique or tilted", words)]


def _shown(pictures: Iterable[Picture]) -> tuple[EmbeddedPicture, ...]:
    """Pictures for the template."""
    return tuple(shown(picture) for picture in pictures)
