"""The gate of a cascade: its fine network is computed only where the coarse one found a kidney.

Where the coarse network finds none at all, the whole prediction is empty, whatever the fine one
would predict. That is as published, but should not be taken for a patient without kidneys: notes of
the result and scores of the training say so, and `Gate.closed` changes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from renalis.errors import UsageError
from renalis.recipes import output_fields as fields
from renalis.recipes.system import System
from renalis.systems.inference import StagePrediction

__all__ = ["gate_notes", "rules_in_force", "with_open_gate"]


def with_open_gate(system: System) -> System:
    """The system whose fine network is computed everywhere when the coarse one found nothing.

    Raises
    ------
    UsageError
        If it has no coarse network that decides where to look.
    """
    plan = system.prediction
    if not isinstance(plan, fields.TilePrediction) or plan.gate is None:
        raise UsageError(
            f"--look-everywhere: no coarse network decides where {system.name} looks; leave the "
            "option out"
        )
    gate = plan.gate.model_copy(update={"closed": "everywhere"})
    return system.model_copy(update={"prediction": plan.model_copy(update={"gate": gate})})


def rules_in_force(system: System, predicted: StagePrediction) -> Sequence[fields.Rule]:
    """The postprocessing without ``mask_by_low`` where the fine network was computed everywhere.

    The rule would erase all of it again.
    """
    rules = system.postprocessing
    if not (predicted.gate == "closed" and _everywhere(system)):
        return rules
    return [rule for rule in rules if rule.rule != "mask_by_low"]


def gate_notes(system: System, predicted: StagePrediction) -> tuple[str, ...]:
    """Notes for the result when the coarse network found nothing."""
    rules = [rule for rule in system.postprocessing if isinstance(rule, fields.MaskByLow)]
    if predicted.low is None:
        return ()
    if predicted.gate == "closed":
        found = f"The coarse network found no kidney anywhere (nothing above {_threshold(system)})"
        if not _everywhere(system):
            return (
                f"{found}, so the fine network was not computed and nothing is labelled. "
                "With --look-everywhere it is computed over the whole scan.",
            )
        rests = ", and the rule mask_by_low was skipped" if rules else ""
        return (f"{found}; the fine network was computed over the whole scan instead{rests}.",)
    low = predicted.low.probability
    if predicted.gate is None and any(not np.any(low > rule.threshold) for rule in rules):
        return (
            f"The coarse network found no kidney anywhere (nothing above {rules[0].threshold:g}), "
            "so the rule mask_by_low removes whatever the fine network found. With "
            "--without-rule mask_by_low it stays.",
        )
    return ()


def _gate(system: System) -> fields.Gate | None:
    plan = system.all_stages()[-1].prediction
    return plan.gate if isinstance(plan, fields.TilePrediction) else None


def _everywhere(system: System) -> bool:
    gate = _gate(system)
    return gate is not None and gate.closed == "everywhere"


def _threshold(system: System) -> str:
    gate = _gate(system)
    assert gate is not None
    return f"{gate.threshold:g}"
