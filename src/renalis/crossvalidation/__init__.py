"""Cross-validation: each case by the networks that were not trained on it, scored over folds."""

from __future__ import annotations

from renalis.crossvalidation.run import CrossOptions, crossvalidate

__all__ = ["CrossOptions", "crossvalidate"]
