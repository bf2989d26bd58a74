"""From a dataset's labels to what a network is trained on, as tables of 256 values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["IDENTITY", "LabelTable", "any_of", "label_table"]

LabelTable = NDArray[np.uint8]
"""Shape (256,): ``table[label]`` is the training label."""

IDENTITY: LabelTable = np.arange(256, dtype=np.uint8)
IDENTITY.setflags(write=False)


def label_table(training_labels: Mapping[int, int]) -> LabelTable:
    """A table from label -> training label; labels that are not named become background.

    Examples
    --------
    >>> table = label_table({1: 1, 2: 2, 3: 1})  # KiTS23: cysts count as kidney
    >>> table[np.array([0, 1, 2, 3])].tolist()
    [0, 1, 2, 1]
    """
    table = np.zeros(256, np.uint8)
    for label, value in training_labels.items():
        table[label] = value
    return table


def any_of(*labels: int) -> LabelTable:
    """A table that is 1 for the given labels, for all but background if none is given.

    Examples
    --------
    >>> any_of()[np.array([0, 1, 2])].tolist(), any_of(2)[np.array([0, 1, 2])].tolist()
    ([0, 1, 1], [0, 0, 1])
    """
    return label_table(dict.fromkeys(labels or range(1, 256), 1))
