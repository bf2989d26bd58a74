"""A training and a search that last seconds, for proofs about what interrupts them."""

from __future__ import annotations

from typing import Any

SETS = (
    "split={kind: kfold, k: 2, seed: 42}",
    "grids.slices.slice_size=32",
    "network.base=4",
    "optimisation.stop.epochs=5",
)
SEARCH: dict[str, Any] = {
    "metric": "val_loss",
    "pruner": {"kind": "median", "startup_trials": 1},
    "sampler": {"kind": "random", "seed": 3},
    "fields": {"optimisation.learning_rate": {"choice": [0.01, 1.0e-9, 0.003, 1.0e-10]}},
}
