"""Measuring one kidney."""

from __future__ import annotations

import numpy as np

from renalis.conventions import Label
from renalis.measurement.frame import frame_for, sampled
from renalis.measurement.results import Confidence, Kidney, Location, Side
from renalis.measurement.scene import Scene
from renalis.measurement.structure_values import confidence_of, intensity_of
from renalis.measurement.structures import Group
from renalis.postprocessing.diameters import diameter_mm
from renalis.postprocessing.evidence import gather
from renalis.postprocessing.kidney_check import KidneyAnswer, Verdict, judged
from renalis.volume import Volume

__all__ = ["measure_kidney"]


def measure_kidney(
    scene: Scene, part: Volume, group: Group, name: str, lesions: list[str]
) -> Kidney:
    """Measure one kidney."""
    array = group.labels.array
    steps = scene.labels.affine[:3, :3].T
    parenchyma = array == Label.KIDNEY
    counts = np.bincount(array.ravel(), minlength=4) * group.labels.voxel_ml
    volume_ml = float(counts[1:].sum())
    location = scene.location(array > 0, group.box)
    verdict = _verdict(scene, group)
    length_mm = diameter_mm(parenchyma, steps)
    lesion_ml = float(counts[2] + counts[3])
    return Kidney(
        id=name,
        side=group.side,
        volume_ml=volume_ml,
        parenchyma_ml=float(counts[1]),
        tumor_ml=float(counts[2]),
        cyst_ml=float(counts[3]),
        length_mm=length_mm,
        length_with_lesions_mm=diameter_mm(array > 0, steps) if lesion_ml else length_mm,
        offset_mm=group.offset_mm,
        location=location,
        intensity=intensity_of(scene.image.array[group.box][parenchyma]),
        lesions=tuple(lesions),
        confidence=_kidney_confidence(scene, part, group, volume_ml),
        is_kidney=verdict,
        notes=(*_kidney_notes(group, location), *_doubts(verdict)),
    )


def _kidney_confidence(
    scene: Scene, part: Volume, group: Group, volume_ml: float
) -> Confidence | None:
    """Confidence of a kidney with its lesions, against the other kidneys."""
    if scene.prediction is None or scene.prediction.kidney is None:
        return None
    frame = frame_for(group.labels)
    own = sampled(group.labels, frame) > 0
    others = (sampled(part, frame) > 0) & ~own
    known = scene.spread
    spread = None if known is None or known.kidney is None else (known.kidney, known.looks)
    return confidence_of(scene.prediction.kidney, frame, own, others, volume_ml, spread)


def _verdict(scene: Scene, group: Group) -> Verdict:
    """Whether this is a kidney, as seen in the scan."""
    probability = scene.prediction.kidney if scene.prediction is not None else None
    inside = group.labels.array > 0
    evidence = gather(scene.image, scene.labels, inside, group.box, scene.lungs, probability)
    return judged(evidence, beside_mm=group.beside_mm if scene.midline.seen else None)


def _doubts(verdict: Verdict) -> tuple[str, ...]:
    """Why a kidney is not counted, as a note."""
    if verdict.answer.counts:
        return ()
    what = "cannot be a kidney" if verdict.answer is KidneyAnswer.NO else "doubtful as a kidney"
    return (f"{what} and not counted as one: {'; '.join(verdict.reasons)}",)


def _kidney_notes(group: Group, location: Location) -> tuple[str, ...]:
    """What a reader should know about a kidney."""
    notes = []
    if group.fused:
        notes.append("crosses the midline (horseshoe, pelvic or displaced kidney): given no side")
    elif group.second:
        notes.append("further kidney on its side (a transplant, or a wrong find): given no side")
    elif group.side is Side.OTHER:
        notes.append("lies on the midline: given no side")
    if group.bridged:
        notes.append("touches another kidney through a narrow neck: taken for two, not for one")
    if location.borders:
        notes.append(f"cut by the scan's {' and '.join(location.borders)} border")
    return tuple(notes)
