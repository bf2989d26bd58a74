"""Score label maps against references: from one pair of arrays to whole challenges."""

from renalis.choices import EmptyRule
from renalis.conventions import Convention
from renalis.evaluation.grids import Grid
from renalis.evaluation.lesions import LesionRule
from renalis.evaluation.scores import CaseScore, Options, RegionScore
from renalis.evaluation.scoring import score

__all__ = [
    "CaseScore",
    "Convention",
    "EmptyRule",
    "Grid",
    "LesionRule",
    "Options",
    "RegionScore",
    "score",
]
