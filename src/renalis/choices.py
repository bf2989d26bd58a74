"""Words that users choose among and several rooms know: kinds of dataset, regions, empty masks."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Literal, get_args

__all__ = ["DATASET_KINDS", "DatasetKind", "EmptyRule", "Region"]

DatasetKind = Literal["kits19", "kits21", "kits23", "radboud", "nnunet", "folder", "csv", "slices"]
"""Kinds of dataset that recipes name."""
DATASET_KINDS = (*get_args(DatasetKind), "kits21-maj", "kits21-and", "kits21-or")
"""Kinds that can be opened: KiTS21 by each of its annotations, too."""

Region = Literal["kidney", "tumor", "renal"]
"""What a post-processing step works on: the kidney label, the lesions' labels, or both together."""


class EmptyRule(StrEnum):
    """What a case counts whose reference or prediction lacks a region."""

    KITS = "kits"
    """KiTS21 and KiTS23: both empty 1, one empty 0."""
    KITS19 = "kits19"
    """KiTS19's evaluator: 0 as soon as the quotient has no value, so both empty 0, one empty 0."""
    SKIP_AGREEMENT = "skip-agreement"
    """Both empty: the case does not count. One empty: 0."""
    SKIP_EMPTY_REFERENCE = "skip-empty-reference"
    """Reference empty: the case does not count, whatever was predicted; the false-positive volume
    tells. Prediction empty: 0."""

    def score(self, reference_empty: bool, prediction_empty: bool) -> float:
        """The Dice or surface Dice of a case where at least one mask is empty; NaN: not counted."""
        if reference_empty and prediction_empty:
            return {"kits": 1.0, "kits19": 0.0}.get(self.value, math.nan)
        if reference_empty and self is EmptyRule.SKIP_EMPTY_REFERENCE:
            return math.nan
        return 0.0
