"""What a prediction is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from renalis.look_spread import LookSpread
from renalis.volume import Volume

__all__ = ["Prediction"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The networks' prediction for one scan.

    Attributes
    ----------
    labels : Volume
        uint8, KiTS23 labels, exactly on the scan's grid and in its axis order.
    kidney, lesion : Volume or None
        uint8 0 to 255: probability of anything renal, and of tumor or cyst, on the fine grid; only
        the bounding box of the fine pass. Of a scan that was turned, that grid lies along the
        patient's axes and not the scan's. None when nothing was found.
    spread : LookSpread or None
        How much mirrored looks of the fine pass differed; None without mirrored looks.
    notes : tuple of str
        What the reader of the report should know.
    seconds : mapping
        Wall time of each step: prepare, coarse, fine, restore.
    windows : mapping
        Windows computed per stage.
    runtime : str
        What computed the networks.
    expected_peak_mb : float
        The memory (MB) that the process was expected to need, reckoned before the fine pass from
        what the coarse one had found.
    """

    labels: Volume
    kidney: Volume | None
    lesion: Volume | None
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)
    runtime: str = ""
    expected_peak_mb: float = 0.0
    spread: LookSpread | None = None
