"""Searching the fields of a recipe with Optuna, an optional extra: ``renalis tune``.

`renalis.tuning.search` and `renalis.tuning.trial_table` do not need Optuna, the other modules do.
"""
