"""Networks over a scan: where the kidneys are, sliding windows, restoring to the scan's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from renalis.prediction.options import Mirror, PredictionOptions, RuntimeName, Windows
from renalis.prediction.result import Prediction

if TYPE_CHECKING:
    from renalis.prediction.cascade import predict

__all__ = ["Mirror", "Prediction", "PredictionOptions", "RuntimeName", "Windows", "predict"]


def __getattr__(name: str) -> object:
    """Import what needs torch when it is first asked for."""
    if name == "predict":
        from renalis.prediction.cascade import predict

        return predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
