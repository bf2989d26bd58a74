"""Everything measured in one scan."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from renalis.measurement.contrast_phase import ContrastPhase
from renalis.measurement.export import confidence_columns, csv_columns, to_json
from renalis.measurement.results import CaseConfidence, Grid, Kidney, Lesion, Side, Totals

__all__ = ["Measurements"]


@dataclass(frozen=True)
class Measurements:
    """Everything measured in one scan.

    Attributes
    ----------
    grid : Grid
        The scan's grid.
    midline_x_mm : float
        Where the body's midline crosses the height of the kidneys' center (patient mm).
    midline_rule : str
        What the midline was derived from.
    kidneys : tuple of Kidney
        Left, right, then others, largest first.
    lesions : tuple of Lesion
        Tumors, then cysts, largest first.
    totals : Totals
        Sums over the scan.
    notes : tuple of str
        What a reader should know.
    confidence : CaseConfidence or None
        How sure the case is; None without probabilities, or where nothing was found.
    unusual : tuple of str
        Names of the rules by which the scan lies beyond what the model learned from
        (`renalis.measurement.unusual`); their sentences are among the notes.
    contrast_phase : ContrastPhase or None
        As the kidneys tell it; None without any.
    """

    grid: Grid
    midline_x_mm: float
    midline_rule: str
    kidneys: tuple[Kidney, ...]
    lesions: tuple[Lesion, ...]
    totals: Totals
    notes: tuple[str, ...]
    confidence: CaseConfidence | None = None
    unusual: tuple[str, ...] = ()
    contrast_phase: ContrastPhase | None = None

    def kidney(self, side: Side | str) -> Kidney | None:
        """The left or the right kidney, if there is one."""
        return next((kidney for kidney in self.kidneys if kidney.id == side), None)

    def to_json(self) -> str:
        """JSON text with units, schema name and deterministic key order; numbers are rounded."""
        return to_json(asdict(self))

    def csv_row(self, case: str = "") -> dict[str, str]:
        """One row for a table of cases; the keys are the same for every case."""
        row = csv_columns(self.kidneys, self.lesions, self.totals, self.notes, case)
        row |= confidence_columns(self.confidence, self.lesions)
        return row | {"unusual": " ".join(self.unusual)}
