"""Cut training samples out of prepared cases."""

from __future__ import annotations

from renalis.sampling.balance import (
    balanced_epoch,
    draw_balanced,
    with_hard,
    with_negatives,
)
from renalis.sampling.blocks import block_any, snapped_starts, window_starts
from renalis.sampling.foreground_patches import ForegroundOversampling, ForegroundPatchSampler
from renalis.sampling.paired import PairedSampler, PairGeometry
from renalis.sampling.sample import Sample, cut
from renalis.sampling.slices import SliceSampler
from renalis.sampling.targets import IDENTITY, LabelTable, any_of, label_table
from renalis.sampling.windows import WindowSampler, window_list

__all__ = [
    "IDENTITY",
    "ForegroundOversampling",
    "ForegroundPatchSampler",
    "LabelTable",
    "PairGeometry",
    "PairedSampler",
    "Sample",
    "SliceSampler",
    "WindowSampler",
    "any_of",
    "balanced_epoch",
    "block_any",
    "cut",
    "draw_balanced",
    "label_table",
    "snapped_starts",
    "window_list",
    "window_starts",
    "with_hard",
    "with_negatives",
]
