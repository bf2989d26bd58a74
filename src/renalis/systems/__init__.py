"""The published systems, from a recipe to a run and from a run to label maps.

Every part that a recipe names stands elsewhere, as a small piece that takes plain numbers; here the
recipe's fields are handed to them.
"""

from __future__ import annotations

from renalis.systems.predict import open_run, predict_scan
from renalis.systems.train import train_system

__all__ = ["open_run", "predict_scan", "train_system"]
