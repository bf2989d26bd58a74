"""From a recipe's fields to the pieces that they are about: grids, labels, losses, rules."""

from __future__ import annotations

from collections.abc import Sequence

from renalis.errors import InputError
from renalis.preparation import GridSpec
from renalis.recipes.data_fields import GridPlan, Target
from renalis.recipes.system import Phase
from renalis.recipes.train_fields import LossTerm as RecipeTerm
from renalis.recipes.train_fields import Optimisation, Schedule, Stop
from renalis.sampling import IDENTITY, LabelTable, label_table
from renalis.training import schedules, stopping
from renalis.training.plan import OptimizerPlan
from renalis.training.terms import LossTerm, build_term

__all__ = [
    "abnormal_labels",
    "grid_spec",
    "loss_terms",
    "optimizer_plan",
    "schedule",
    "stop_rules",
    "target_table",
]

_ORDER = {"nearest": 0, "linear": 1, "cubic": 3}

_TARGETS: dict[str, LabelTable] = {
    "renal": label_table({1: 1, 2: 1, 3: 1}),
    "kidney": label_table({1: 1}),
    "tumor": label_table({2: 1}),
    "masses": label_table({2: 1, 3: 1}),
    "kidney_tumor": label_table({1: 1, 2: 2, 3: 1}),
    "parenchyma_abnormality": label_table({1: 1, 2: 2, 3: 2}),
    "labels": IDENTITY,
}


def target_table(target: Target) -> LabelTable:
    """The table from a dataset's labels to training labels, shape (256,)."""
    return _TARGETS[target]


def abnormal_labels(target: Target) -> tuple[int, ...]:
    """The dataset's labels that count as tumor for a target: for balance and classification."""
    return (2, 3) if target in ("parenchyma_abnormality", "masses") else (2,)


def grid_spec(plan: GridPlan, zscore: tuple[float, float] | None = None) -> GridSpec:
    """A recipe's grid in plain numbers.

    Parameters
    ----------
    plan : GridPlan
        From the recipe.
    zscore : tuple of float, optional
        Mean and standard deviation (HU) of the training cases, for ``training_zscore``.

    Raises
    ------
    InputError
        If the grid asks for what this program does not do.
    """
    for field, value in (
        ("label", "linear_truncated"),
        ("crop_end", "dropped"),
        ("fill", "zero"),
    ):
        if getattr(plan, field) == value:
            raise InputError(
                f"grid {plan.name}: {field}={value} reproduces a fault of the published code and "
                "is described in the recipe only; leave it at its default"
            )
    if plan.weight_map is not None and plan.weight_map.division == "floor":
        raise InputError(f"grid {plan.name}: weight_map.division must be exact")
    sub, div = (plan.sub, plan.div) if zscore is None else zscore
    return GridSpec(
        plan.name,
        kind=plan.kind,
        spacing_mm=plan.spacing_mm,
        order=_ORDER[plan.image],
        low_pass=plan.low_pass,
        clip_hu=plan.clip_hu,
        sub=sub,
        div=div,
        crop_body=plan.crop_body,
        min_shape=plan.min_shape,
        frame=plan.frame,
        slice_size=plan.slice_size,
        drop_far_slices=plan.drop_far_slices,
        weight_map=None if plan.weight_map is None else "foreground",
        weight_edge=2.0 if plan.weight_map is None else plan.weight_map.edge,
        weight_max=10.0 if plan.weight_map is None else plan.weight_map.clip,
    )


def loss_terms(phase: Phase, outputs: Sequence[str] | None = None) -> tuple[LossTerm, ...]:
    """The loss of a phase, or the part of it that is about some outputs.

    Raises
    ------
    InputError
        If no term is about these outputs.
    """
    terms = []
    for number, term in enumerate(phase.loss):
        if outputs is None or term.output in outputs:
            terms.append(_term(f"{number}-{term.term}-{term.output}", term, phase.optimisation))
    if not terms:
        raise InputError(f"phase {phase.name}: no term of the loss is about {outputs}")
    return tuple(terms)


def _term(name: str, term: RecipeTerm, optimisation: Optimisation) -> LossTerm:
    fields = term.model_dump(exclude={"term", "weight", "output", "pixel_weights"})
    if term.term == "bce":
        fields.pop("class_weights", None)
    return LossTerm(
        name,
        build_term(term.term, **fields),
        weight=term.weight,
        output=term.output,
        pixel_weights="weights" if getattr(term, "pixel_weights", False) else None,
        deep_weights=optimisation.deep_weights if term.output == "seg" else (),
    )


def schedule(plan: Schedule) -> schedules.Schedule:
    """The learning rate's rule."""
    numbers = plan.model_dump(exclude={"kind"})
    kinds: dict[str, type[schedules.Schedule]] = {
        "constant": schedules.Constant,
        "step": schedules.Step,
        "exponential": schedules.Exponential,
        "ema_plateau": schedules.EmaPlateau,
    }
    return kinds[plan.kind](**numbers)


def stop_rules(stop: Stop) -> tuple[stopping.StopRule, ...]:
    """When training ends: whichever fires first."""
    rules: list[stopping.StopRule] = [stopping.Epochs(stop.epochs)]
    if stop.rises is not None:
        rules.append(stopping.Rises(stop.rises))
    if stop.patience is not None:
        rules.append(stopping.Patience(stop.patience, stop.monitor))
    if stop.reach is not None:
        rules.append(stopping.Reach(stop.reach, stop.monitor))
    if stop.minutes is not None:
        rules.append(stopping.Minutes(stop.minutes))
    return tuple(rules)


def optimizer_plan(plan: Optimisation) -> OptimizerPlan:
    """The optimizer and its numbers."""
    return OptimizerPlan(
        plan.optimizer, plan.learning_rate, plan.betas, plan.eps, plan.weight_decay
    )
