"""Cross-validation: each case by the networks that did not learn from it, scored over folds."""

from __future__ import annotations

from renalis.crossvalidation.run import CrossOptions, crossvalidate

__all__ = ["CrossOptions", "crossvalidate"]
