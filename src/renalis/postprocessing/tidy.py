"""Tidying: named anatomical rules between the network's labels and the measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalis.boxes import Box, bounding_box, grown
from renalis.conventions import Label
from renalis.laterality import Midline, field_midline
from renalis.postprocessing.holes import fill_holes
from renalis.postprocessing.kidneys import Surroundings, judge
from renalis.postprocessing.lesions import drop_small_lesions, face_areas, vote
from renalis.postprocessing.not_kidney import drop_impossible
from renalis.postprocessing.rules import DEFAULT, DensityRule, Rules
from renalis.preparation.body import Body, find_body
from renalis.preparation.lungs import find_lungs
from renalis.volume import CANONICAL, Kind, Volume

__all__ = ["RuleChange", "Tidied", "tidy"]

_DONE = {
    "body": "outside the body or in air was dropped",
    "density": "of kidney as dense as bone or fat was dropped",
    "impossible": "in components that cannot be a kidney was dropped",
    "holes": "in closed pinholes was filled",
    "vote": "changed between tumor and cyst, so that each lesion has one kind",
    "minimum_volume": "in components too small for a kidney or a lesion was dropped or made kidney",
    "lateral": "in small components on the midline or second on a side was dropped",
    "attached": "of lesion far from every kidney was dropped",
}


@dataclass(frozen=True)
class RuleChange:
    """What one rule changed.

    Attributes
    ----------
    name : str
        The rule's name, a field of `Rules`.
    voxels : int
        Number of voxels whose label changed.
    ml : float
        Their volume in ml.
    sentence : str
        The same for a reader of the report.
    """

    name: str
    voxels: int
    ml: float
    sentence: str


@dataclass(frozen=True, eq=False)
class Tidied:
    """Tidied labels, on the grid they came on, with one change per rule."""

    labels: Volume
    changes: tuple[RuleChange, ...]


def tidy(
    labels: Volume,
    image: Volume | None,
    rules: Rules = DEFAULT,
    *,
    body: Body | None = None,
    probability: Volume | None = None,
) -> Tidied:
    """Apply the rules to a label map.

    There are never two kidneys by force: none, one, a horseshoe, a pelvic or a transplanted kidney
    all come through, because only small components are judged by their place.

    Parameters
    ----------
    labels : Volume
        KiTS23 labels (0 background, 1 kidney, 2 tumor, 3 cyst), uint8, any orientation.
    image : Volume or None
        The scan on the same grid, HU. Without it the rules ``body``, ``density`` and ``impossible``
        rest, and the midline is the middle of the field of view.
    rules : Rules
        What to do; see `renalis.postprocessing.rules`.
    body : Body, optional
        The body in the scan, from `renalis.preparation.body.find_body`; found when not given.
    probability : Volume, optional
        The network's for anything renal, uint8 0 to 255 on any grid; for the rule ``impossible``.

    Returns
    -------
    Tidied
        New labels on exactly the same grid, and what each rule changed.

    Raises
    ------
    ValueError
        If image and labels do not lie on the same grid, or labels hold other values than 0 to 3.
    """
    if image is not None and not labels.same_grid(image):
        raise ValueError("labels and image do not lie on the same grid")
    if image is not None:
        image = labels.like(image.array, image.kind)  # one affine, one canonical orientation
    whole = labels.unlabeled()
    canonical = labels.reoriented(CANONICAL)
    box = bounding_box(canonical.array)
    counts = dict.fromkeys(Rules.names(), 0)
    reasons: tuple[str, ...] = ()
    if box is not None:
        reach = grown(box, canonical.shape)
        part = canonical.cropped(reach)
        if part.array.max() > Label.CYST:
            raise ValueError(f"labels hold {part.array.max()}, which stands for nothing (0 to 3)")
        work = part.like(np.array(part.array, np.uint8, order="C", copy=True), Kind.LABELS)
        scan = None if image is None else image.reoriented(CANONICAL)
        if body is None and scan is not None:
            body = find_body(scan)
        if rules.body.on and scan is not None and body is not None:
            counts["body"] = _drop_outside(work.array, reach, scan, body, rules.body.air_hu)
        if rules.density.on and scan is not None:
            counts["density"] = _drop_by_density(work.array, scan.array[reach], rules.density)
        own = whole.reoriented(CANONICAL)
        if rules.impossible.on and scan is not None and body is not None:
            own.array[reach] = work.array
            lungs = find_lungs(scan, body)
            counts["impossible"], reasons = drop_impossible(
                own, reach, scan, lungs, probability, rules.impossible
            )
            work.array[:] = own.array[reach]
        around = Surroundings(_midline(body, canonical), reach, canonical.shape)
        counts |= _run(work, around, rules)
        own.array[reach] = work.array
    changes = tuple(
        _change(name, counts[name], labels.voxel_ml, getattr(rules, name).on, image is None)
        for name in Rules.names()
    )
    if reasons:
        changes = tuple(_with_reasons(c, reasons) if c.name == "impossible" else c for c in changes)
    return Tidied(whole, changes)


def _with_reasons(change: RuleChange, reasons: tuple[str, ...]) -> RuleChange:
    """A change whose sentence says why."""
    return replace(change, sentence=f"{change.sentence[:-1]}: {'; '.join(reasons)}.")


def _midline(body: Body | None, canonical: Volume) -> Midline:
    """The body's midline, or the middle of the field of view without an image."""
    return field_midline(canonical) if body is None else body.midline


def _run(work: Volume, around: Surroundings, rules: Rules) -> dict[str, int]:
    """The rules that need no image, on one box, in place; voxels changed by each."""
    array: NDArray[np.uint8] = work.array
    counts: dict[str, int] = {}
    if rules.holes.on:
        counts["holes"] = fill_holes(array, rules.holes.max_ml / work.voxel_ml)
    if rules.vote.on:
        counts["vote"] = vote(array, face_areas(work.affine), rules.vote.contact)
    components, dropped = judge(work, around, rules)
    if dropped:
        dropped_by = np.zeros(len(components.each) + 1, dtype=np.uint8)
        for number, name in dropped.items():
            dropped_by[number] = Rules.names().index(name) + 1
        for component in components.each:
            if dropped_by[component.number]:
                array[component.box][components.mask(component)] = Label.BACKGROUND
                name = dropped[component.number]
                counts[name] = counts.get(name, 0) + component.voxels
    if rules.minimum_volume.on:
        small = drop_small_lesions(array, rules.minimum_volume.lesion_ml / work.voxel_ml)
        counts["minimum_volume"] = counts.get("minimum_volume", 0) + small
    return counts


def _drop_outside(
    array: NDArray[np.uint8], reach: Box, scan: Volume, body: Body, air_hu: float
) -> int:
    """Drop labels outside the body and in air, slice by slice; in place."""
    changed = 0
    for level in range(array.shape[0]):
        row: NDArray[np.uint8] = array[level]
        if not row.any():
            continue
        here = slice(reach[0].start + level, reach[0].start + level + 1)
        inside = body.inside((here, reach[1], reach[2]))[0]
        air = scan.array[here, reach[1], reach[2]][0] < air_hu
        wrong = (row > 0) & (air | ~inside)
        row[wrong] = Label.BACKGROUND
        changed += int(np.count_nonzero(wrong))
    return changed


def _drop_by_density(array: NDArray[np.uint8], hu: NDArray[Any], rule: DensityRule) -> int:
    """Drop components of kidney label whose median is not parenchyma's; in place."""
    components = cc3d.connected_components(array == Label.KIDNEY, connectivity=26)
    changed = 0
    for number, box in enumerate(cc3d.statistics(components)["bounding_boxes"]):
        if number == 0:
            continue
        mask = components[box] == number
        if not rule.low_hu <= float(np.median(hu[box][mask])) <= rule.high_hu:
            array[box][mask] = Label.BACKGROUND
            changed += int(np.count_nonzero(mask))
    return changed


def _change(name: str, voxels: int, voxel_ml: float, on: bool, no_image: bool) -> RuleChange:
    """The change with its sentence."""
    ml = voxels * voxel_ml
    title = name.replace("_", " ").capitalize()
    if not on:
        sentence = f"{title}: switched off."
    elif name in ("body", "density", "impossible") and no_image:
        sentence = f"{title}: not applied, because there was no image."
    elif not voxels:
        sentence = f"{title}: nothing to change."
    else:
        sentence = f"{title}: {ml:.2f} ml ({voxels} voxels) {_DONE[name]}."
    return RuleChange(name, voxels, ml, sentence)
