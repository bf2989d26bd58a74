"""From a recipe's optimisation and loss to the engine's plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from renalis.errors import InputError
from renalis.recipes import train_fields as recipe
from renalis.training.fit_plan import FitPlan, OptimizerPlan
from renalis.training.freezing import Freezing
from renalis.training.losses import LossTerm, build_term
from renalis.training.schedules import (
    Constant,
    EmaPlateau,
    Exponential,
    Schedule,
    Step,
    WarmupLinear,
)
from renalis.training.stopping import (
    CpuMinutes,
    Epochs,
    Keep,
    Minutes,
    Patience,
    Reach,
    Rises,
    StopRule,
)

__all__ = [
    "PlannedRound",
    "loss_terms",
    "micro_batches",
    "planned_rounds",
    "require_shares",
    "stop_rules",
]

_SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": Step,
    "exponential": Exponential,
    "ema_plateau": EmaPlateau,
}


@dataclass(frozen=True)
class PlannedRound:
    """One round; ``outputs`` are the network's outputs that its loss uses."""

    name: str
    outputs: tuple[str, ...]
    plan: FitPlan


def planned_rounds(
    optimisation: recipe.Optimisation,
    loss: Sequence[recipe.LossTerm],
    batches: int,
    seed: int,
    processes: int = 1,
    **options: Any,
) -> list[PlannedRound]:
    """The rounds of a training, one called "main" if the recipe names none.

    ``optimisation.stop.epochs`` bounds all rounds together: hand it to
    `renalis.training.rounds.fit_rounds` as ``epochs``.

    Parameters
    ----------
    optimisation, loss
        Sections of a stage of the recipe.
    batches : int
        Micro-batches in an epoch.
    seed : int
        Of the training; the same for all folds, which differ by their cases.
    processes : int
        How many train together.
    **options
        Further fields of `FitPlan`, such as ``workers`` and ``tensorboard``.

    Raises
    ------
    InputError
        If the batch cannot be shared by so many processes.
    """
    require_shares(optimisation, processes)
    together = micro_batches(optimisation)
    rounds = optimisation.rounds or (
        recipe.FreezeRound(name="main", outputs=("seg", "low", "cls"), stop=optimisation.stop),
    )
    return [
        PlannedRound(
            round.name,
            round.outputs,
            FitPlan(
                terms=loss_terms(
                    [term for term in loss if term.output in round.outputs],
                    optimisation.deep_weights,
                ),
                batches=batches,
                stop=stop_rules(round.stop),
                optimizer=OptimizerPlan(
                    optimisation.optimizer,
                    optimisation.learning_rate,
                    optimisation.betas,
                    optimisation.eps,
                    optimisation.weight_decay,
                ),
                schedule=_schedule(
                    optimisation.schedule, round.stop.epochs * -(-batches // together)
                ),
                keep=_keep(optimisation.keep, round.outputs),
                accumulate=together // processes,
                seed=seed,
                freezing=Freezing(round.frozen, round.learning),
                clip_norm=optimisation.gradient_clip,
                average=optimisation.average,
                **{"name": round.name, **options},
            ),
        )
        for round in rounds
    ]


def require_shares(optimisation: recipe.Optimisation, processes: int) -> None:
    """Refuse a batch that so many processes cannot share.

    Raises
    ------
    InputError
        If the micro-batches of a step are no multiple of the processes.
    """
    together = micro_batches(optimisation)
    if together % processes:
        raise InputError(
            f"{together} micro-batches of a step cannot be shared by {processes} processes; "
            "set optimisation.micro_batch so that their number is a multiple"
        )


def _schedule(plan: recipe.Schedule, steps: int) -> Schedule:
    """The schedule of a training of so many optimizer steps."""
    fields = plan.model_dump(exclude={"kind"})
    if isinstance(plan, recipe.WarmupLinear):
        return WarmupLinear(**fields, steps=steps)
    return _SCHEDULES[plan.kind](**fields)


def micro_batches(optimisation: recipe.Optimisation) -> int:
    """Micro-batches in an optimizer step."""
    return optimisation.batch // (optimisation.micro_batch or optimisation.batch)


def loss_terms(
    loss: Sequence[recipe.LossTerm], deep_weights: tuple[float, ...] = ()
) -> tuple[LossTerm, ...]:
    """The terms, named after their kind and output: "ce", "dice", "dice_2", "low_ce"."""
    terms: list[LossTerm] = []
    for entry in loss:
        base = entry.term if entry.output == "seg" else f"{entry.output}_{entry.term}"
        taken = [term.name for term in terms]
        name = next(
            name for n in range(1, len(loss) + 1) if (name := _numbered(base, n)) not in taken
        )
        options = entry.model_dump(exclude={"term", "weight", "output", "pixel_weights"})
        terms.append(
            LossTerm(
                name,
                build_term(entry.term, **options),
                entry.weight,
                entry.output,
                pixel_weights="weights" if getattr(entry, "pixel_weights", False) else None,
                deep_weights=deep_weights if entry.output == "seg" else (),
            )
        )
    return tuple(terms)


def stop_rules(stop: recipe.Stop) -> tuple[StopRule, ...]:
    """The rules, of which the first that fires ends the round."""
    rules: list[StopRule] = [Epochs(stop.epochs)]
    if stop.rises is not None:
        rules.append(Rises(stop.rises))
    if stop.patience is not None:
        rules.append(Patience(stop.patience, stop.monitor))
    if stop.reach is not None:
        rules.append(Reach(stop.reach, stop.monitor))
    if stop.minutes is not None:
        rules.append(Minutes(stop.minutes))
    if stop.cpu_minutes is not None:
        rules.append(CpuMinutes(stop.cpu_minutes))
    return tuple(rules)


def _keep(keep: Keep, outputs: Sequence[str]) -> Keep:
    """While the coarse network is trained alone, its own Dice decides."""
    return "best_low" if keep != "last" and "seg" not in outputs else keep


def _numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base}_{number}"
