"""Whether a component is a kidney, with the reasons in words.

A network that has seen abdomens predicts one in whatever looks like it: a shoulder's marrow inside
its shell of bone, a slice of spleen, fluid in bowel. Reasons are few, each can be checked by eye,
and none of them asks for two kidneys, for a side or for a size.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from renalis.postprocessing.evidence import Evidence
from renalis.postprocessing.rules import DEFAULT, ImpossibleRule

__all__ = ["KidneyAnswer", "Verdict", "judged"]

SPREAD_HU = 120.0
"""Standard deviation: of bone with its marrow above, of parenchyma below in every phase."""
LEAST_HU, MOST_HU = 5.0, 260.0
"""Medians outside of this are rare: kidneys have 20 HU unenhanced, 250 HU in the arterial phase."""
LEAST_FAT = 0.1
"""Kidneys lie in fat, which 70 % and more of their surface touches; lean patients have little."""
BESIDE_LUNGS, BESIDE_LUNGS_ML = 0.1, 100.0
"""With this much of the lungs below its lowest point it lies beside them: a kidney that
slipped through the diaphragm does."""
SHELL, SHELL_TO_CORE = 0.1, 2.0
"""Bone that the network takes for a kidney: this share of its surface is dense, that many times the
share deeper inside (a vertebra: 16 % and 4 %). Kidneys have contrast medium and stones inside."""
MOST_BESIDE_MM = 140.0
"""Mean distance of its parenchyma from the midline. Kidneys of 133 annotated patients lie within
111 mm of the middle of the field of view and, where there are two, within 97 mm of the middle
between them; a humeral head lies at 150 to 200 mm."""
LEAST_BESIDE_MM = 30.0
"""The same: of 790 annotated kidneys and parts of 20 ml and more, 788 lie at least 33 mm beside the
middle of the field of view, a horseshoe's halves too; an ectopic one lies 18 mm beside it. A womb
or a mass of the pelvis lies on it."""
DOUBTFUL, UNSURE = 0.6, 0.75
"""Mean probabilities below which the network doubts, or is unsure."""


class KidneyAnswer(StrEnum):
    """Whether a component is a kidney."""

    YES = "yes"
    LIKELY = "likely"
    DOUBTFUL = "doubtful"
    NO = "no"

    @property
    def counts(self) -> bool:
        """Whether it is counted as a kidney."""
        return self in (KidneyAnswer.YES, KidneyAnswer.LIKELY)


@dataclass(frozen=True)
class Verdict:
    """Whether a component is a kidney, and what speaks against it.

    Attributes
    ----------
    answer : KidneyAnswer
        ``yes``, ``likely`` (one weak reason against it), ``doubtful`` (a strong one, or several),
        or ``no``.
    reasons : tuple of str
        What speaks against a kidney, in words; empty when nothing does.
    evidence : Evidence
        The numbers behind it.
    """

    answer: KidneyAnswer
    reasons: tuple[str, ...]
    evidence: Evidence


def judged(
    evidence: Evidence,
    rule: ImpossibleRule = DEFAULT.impossible,
    beside_mm: float | None = None,
) -> Verdict:
    """Decide whether a component is a kidney.

    Parameters
    ----------
    evidence : Evidence
        What was seen in and around it.
    rule : ImpossibleRule
        What no kidney has.
    beside_mm : float, optional
        Mean distance of its parenchyma from the body's midline, on either side, where that is
        known.
    """
    never, strong, weak = _never(evidence, rule), _strong(evidence, rule), _weak(evidence, rule)
    if beside_mm is not None and beside_mm > MOST_BESIDE_MM:
        strong.append(f"it lies {beside_mm:.0f} mm beside the midline, farther than kidneys do")
    if beside_mm is not None and beside_mm < LEAST_BESIDE_MM:
        weak.append(f"it lies on the midline, on the mean {beside_mm:.0f} mm beside it")
    if never and not _safe(evidence, rule):
        answer = KidneyAnswer.NO
    elif never or strong or len(weak) > 1:
        answer = KidneyAnswer.DOUBTFUL
    else:
        answer = KidneyAnswer.LIKELY if weak else KidneyAnswer.YES
    return Verdict(answer, (*never, *strong, *weak), evidence)


def _safe(evidence: Evidence, rule: ImpossibleRule) -> bool:
    """Whether it is as large as a kidney, and the network sure."""
    sure = evidence.mean_probability
    return evidence.volume_ml >= rule.safe_ml and sure is not None and sure >= rule.safe_at


def _mineral(evidence: Evidence, rule: ImpossibleRule) -> tuple[bool, bool]:
    """Whether it is dense inside, and around."""
    around = evidence.mineral_rim_fraction
    return (
        evidence.mineral_fraction >= rule.mineral_inside,
        around is not None and around >= rule.mineral_around,
    )


def _above_lungs(evidence: Evidence, share: float, ml: float) -> bool:
    return evidence.lungs_below_fraction >= share and evidence.lungs_below_ml >= ml


def _never(evidence: Evidence, rule: ImpossibleRule) -> list[str]:
    """Reasons why it cannot be a kidney."""
    reasons = []
    if all(_mineral(evidence, rule)):
        reasons.append(
            f"{_percent(evidence.mineral_fraction)} of it and "
            f"{_percent(evidence.mineral_rim_fraction)} of what lies around it are as dense as bone"
        )
    elif _in_bone(evidence, rule):
        reasons.append(
            f"{_percent(evidence.mineral_shell_fraction)} of its surface is as dense as bone, and "
            f"{_percent(evidence.mineral_core_fraction)} of what lies deeper"
        )
    if _above_lungs(evidence, rule.lungs_below, rule.lungs_below_ml):
        reasons.append(f"{_percent(evidence.lungs_below_fraction)} of the lungs lie below it")
    return reasons


def _in_bone(evidence: Evidence, rule: ImpossibleRule) -> bool:
    """Whether it has a shell of bone, and the network is not sure: of true kidneys it is."""
    shell, core = evidence.mineral_shell_fraction, evidence.mineral_core_fraction or 0.0
    sure = evidence.mean_probability
    if shell is None or sure is None or sure >= rule.safe_at:
        return False
    return shell >= SHELL and shell >= SHELL_TO_CORE * core


def _strong(evidence: Evidence, rule: ImpossibleRule) -> list[str]:
    """Reasons that make a kidney doubtful alone."""
    reasons = []
    next_to_lungs = _above_lungs(evidence, BESIDE_LUNGS, BESIDE_LUNGS_ML)
    if next_to_lungs and not _above_lungs(evidence, rule.lungs_below, rule.lungs_below_ml):
        reasons.append(f"it lies beside the lungs, {evidence.lungs_below_ml:.0f} ml of them below")
    sure = evidence.mean_probability
    if sure is not None and sure < DOUBTFUL:
        reasons.append(f"the network's mean probability in it is only {sure:.2f}")
    return reasons


def _weak(evidence: Evidence, rule: ImpossibleRule) -> list[str]:
    """Reasons of which a kidney may have one."""
    reasons = []
    inside, around = _mineral(evidence, rule)
    if inside and not around:
        share = _percent(evidence.mineral_fraction)
        reasons.append(f"{share} of it is as dense as stones, contrast medium or bone")
    if around and not inside:
        share = _percent(evidence.mineral_rim_fraction)
        reasons.append(f"{share} of what lies around it is as dense as bone")
    if not inside and evidence.sd_hu is not None and evidence.sd_hu > SPREAD_HU:
        reasons.append(f"its HU spread widely (standard deviation {evidence.sd_hu:.0f} HU)")
    if evidence.median_hu is not None and not LEAST_HU <= evidence.median_hu <= MOST_HU:
        reasons.append(f"its median of {evidence.median_hu:.0f} HU is unusual for a kidney")
    fat = evidence.fat_rim_fraction
    if fat is not None and fat < LEAST_FAT:
        reasons.append(f"only {_percent(fat)} of what lies around it is fat")
    sure = evidence.mean_probability
    if sure is not None and DOUBTFUL <= sure < UNSURE:
        reasons.append(f"the network's mean probability in it is {sure:.2f}")
    return reasons


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0):.0f} %"
