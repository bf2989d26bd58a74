"""Rules about connected components: which are kidneys, and which belong to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box
from renalis.conventions import Label
from renalis.laterality import Midline
from renalis.postprocessing.components import Component, Components, find_components, near
from renalis.postprocessing.rules import Rules
from renalis.volume import Volume

__all__ = ["Surroundings", "judge"]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Where a box of labels lies in its scan and in the patient.

    Attributes
    ----------
    midline : Midline
        Parts right from left.
    box : tuple of slice
        The box, in the indices of the canonical scan.
    shape : tuple of int
        The canonical scan's shape.
    """

    midline: Midline
    box: Box
    shape: tuple[int, int, int]

    def at_border(self, part: Box) -> bool:
        """Whether a box inside this box touches the border of the scan."""
        return any(
            outer.start + inner.start == 0 or outer.start + inner.stop == size
            for outer, inner, size in zip(self.box, part, self.shape, strict=True)
        )


@dataclass(frozen=True)
class _Candidate:
    """A connected component of anything renal, with what the rules ask about it."""

    component: Component
    ml: float
    parenchyma_ml: float
    offset_mm: float
    """Of the center, from the midline; positive on the right."""
    reach_mm: float
    """Largest distance of any of its voxels from the midline."""
    cut: bool
    """Whether the scan's border cuts it."""

    def same_side(self, other: _Candidate) -> bool:
        """Whether both centers lie on the same side of the midline."""
        return (self.offset_mm > 0) == (other.offset_mm > 0)


def judge(labels: Volume, around: Surroundings, rules: Rules) -> tuple[Components, dict[int, str]]:
    """Decide for every connected component whether a rule drops it.

    Parameters
    ----------
    labels : Volume
        KiTS23 labels in canonical orientation (a box of the scan).
    around : Surroundings
        The midline, and where the box lies in the scan.
    rules : Rules
        ``minimum_volume``, ``lateral`` and ``attached`` are used.

    Returns
    -------
    Components
        Connected components of everything renal (26 neighbors).
    dict of int to str
        For each component that is dropped, its number and the name of the rule.
    """
    components = find_components(labels.array > 0)
    if not components.each:
        return components, {}
    parenchyma = _parenchyma_ml(labels, components)
    candidates = [
        _describe(labels, component, float(parenchyma[component.number]), around)
        for component in components.each
    ]
    dropped: dict[int, str] = {}
    kidneys: list[_Candidate] = []
    rest: list[_Candidate] = []
    for candidate in candidates:
        (kidneys if _is_kidney(candidate, rules) else rest).append(candidate)
    if rules.lateral.on:
        kidneys = _lateral(labels, components, kidneys, rules, dropped)
    for candidate in rest:
        name = _kidney_or_part(labels, components, candidate, kidneys, rules)
        if name:
            dropped[candidate.component.number] = name
    return components, dropped


def _parenchyma_ml(labels: Volume, components: Components) -> NDArray[np.float64]:
    """Volume in ml of kidney label in each component, indexed by its number."""
    inside = components.array[labels.array == Label.KIDNEY]
    counts = np.bincount(inside, minlength=len(components.each) + 1)
    return np.asarray(counts * labels.voxel_ml)


def _describe(
    labels: Volume, component: Component, parenchyma_ml: float, around: Surroundings
) -> _Candidate:
    """Measure one component."""
    offset = float(around.midline.offset_mm(labels.world(component.centroid)))
    corners: NDArray[Any] = np.array(
        np.meshgrid(*[(part.start, part.stop - 1) for part in component.box])
    ).reshape(3, -1)
    reach = float(np.abs(around.midline.offset_mm(labels.world(corners.T))).max())
    return _Candidate(
        component,
        component.voxels * labels.voxel_ml,
        parenchyma_ml,
        offset,
        reach,
        around.at_border(component.box),
    )


def _is_kidney(candidate: _Candidate, rules: Rules) -> bool:
    """Whether a component is large enough, and parenchyma enough, to stand as a kidney."""
    rule = rules.minimum_volume
    if not rule.on:
        return candidate.parenchyma_ml > 0
    if candidate.cut:
        return candidate.ml >= rule.border_ml and candidate.parenchyma_ml > 0
    return candidate.ml >= rule.kidney_ml and candidate.parenchyma_ml >= rule.parenchyma_ml


def _lateral(
    labels: Volume,
    components: Components,
    kidneys: list[_Candidate],
    rules: Rules,
    dropped: dict[int, str],
) -> list[_Candidate]:
    """Drop small components on the midline and small second components on a side.

    Goes from the most parenchyma to the least, so that a mass with a rim of it comes second.
    """
    rule = rules.lateral
    kept: list[_Candidate] = []
    for kidney in sorted(kidneys, key=lambda entry: -entry.parenchyma_ml):
        rim = kidney.parenchyma_ml < rule.parenchyma_share * kidney.ml
        on_midline = kidney.reach_mm <= rule.midline_mm and (rim or kidney.ml < rule.midline_ml)
        larger = [other for other in kept if other.same_side(kidney)]
        second = bool(larger) and (rim or kidney.ml < rule.second_ml)
        if (on_midline or second) and not near(
            labels,
            components,
            kidney.component,
            tuple(other.component for other in kept),
            rules.minimum_volume.fragment_mm,
        ):
            dropped[kidney.component.number] = "lateral"
        else:
            kept.append(kidney)
    return kept


def _kidney_or_part(
    labels: Volume,
    components: Components,
    candidate: _Candidate,
    kidneys: list[_Candidate],
    rules: Rules,
) -> str | None:
    """Which rule drops a component that is no kidney, or None when it stays."""
    stay = tuple(kidney.component for kidney in kidneys)
    mostly_lesion = candidate.parenchyma_ml < 0.5 * candidate.ml
    if not mostly_lesion:
        rule = rules.minimum_volume
        if not rule.on or near(labels, components, candidate.component, stay, rule.fragment_mm):
            return None
        return "minimum_volume"
    attached = rules.attached
    if not attached.on or near(labels, components, candidate.component, stay, attached.within_mm):
        return None
    stands_alone = (
        candidate.ml >= attached.alone_ml
        and abs(candidate.offset_mm) >= attached.alone_lateral_mm
        and not any(candidate.same_side(kidney) for kidney in kidneys)
    )
    return None if stands_alone else "attached"
