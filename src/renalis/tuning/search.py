"""The search file: YAML of recipe fields and their search spaces, sampler and pruner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)

from renalis.errors import InputError
from renalis.recipes import System
from renalis.recipes.fields import Frozen, Positive, first_problem
from renalis.recipes.reading import set_field
from renalis.recipes.yaml_loader import read_yaml

__all__ = [
    "Categorical",
    "FloatRange",
    "IntRange",
    "MedianPruner",
    "Sampler",
    "Search",
    "check_search",
    "read_search",
]


class Categorical(Frozen):
    """One of several values; any that the recipe's field may have, lists and sections too."""

    choice: Annotated[tuple[Any, ...], Field(min_length=2)]

    @model_validator(mode="after")
    def _plain_and_different(self) -> Categorical:
        try:
            texts = [json.dumps(value) for value in self.choice]
        except TypeError as error:
            raise ValueError(f"a choice has to be plain data ({error})") from error
        if len(set(texts)) < len(texts):
            raise ValueError("a choice stands there twice")
        return self


class IntRange(Frozen):
    """Whole numbers from the first to the last of ``int``, both included."""

    ends: Annotated[tuple[int, int], Field(alias="int")]
    step: PositiveInt = 1
    log: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> IntRange:
        _check_range(*self.ends, None if self.step == 1 else self.step, self.log)
        return self


class FloatRange(Frozen):
    """Numbers from the first to the last of ``float``, evenly or, with ``log``, by magnitude."""

    ends: Annotated[tuple[FiniteFloat, FiniteFloat], Field(alias="float")]
    step: Positive | None = None
    log: bool = False

    @model_validator(mode="after")
    def _makes_sense(self) -> FloatRange:
        _check_range(*self.ends, self.step, self.log)
        return self


def _check_range(low: float, high: float, step: float | None, log: bool) -> None:
    if not low < high:
        raise ValueError("the first number of a range has to be lower than the second")
    if log and low <= 0:
        raise ValueError("a range with log has to lie above 0")
    if log and step is not None:
        raise ValueError("a range has log or step, not both")
    if step is not None and abs((high - low) / step - round((high - low) / step)) > 1e-6:
        raise ValueError("a range has to be a multiple of its step")


def _kind(value: Any) -> str | None:
    """Which of the three a field's entry is, by its key."""
    if isinstance(value, Categorical | IntRange | FloatRange):
        return {Categorical: "choice", IntRange: "int", FloatRange: "float"}[type(value)]
    keys = [key for key in ("choice", "int", "float") if isinstance(value, dict) and key in value]
    return keys[0] if len(keys) == 1 else None


Space = Annotated[
    Annotated[Categorical, Tag("choice")]
    | Annotated[IntRange, Tag("int")]
    | Annotated[FloatRange, Tag("float")],
    Discriminator(_kind),
]


class Sampler(Frozen):
    """Where the values come from.

    ``tpe`` (tree-structured Parzen estimator; Bergstra et al., NeurIPS 2011) looks at earlier
    trials once there are ``startup_trials``; ``random`` does not.
    """

    kind: Literal["tpe", "random"] = "tpe"
    seed: NonNegativeInt = 0
    startup_trials: NonNegativeInt = 10


class MedianPruner(Frozen):
    """Ends a trial that is worse than half of the others were.

    Compared are its best value so far and the complete trials' values in the same epoch; not
    before ``startup_trials`` are complete and not in the first ``warmup_epochs``.
    """

    kind: Literal["median"]
    startup_trials: PositiveInt = 5
    warmup_epochs: NonNegativeInt = 0


class Search(Frozen):
    """A search file.

    ``metric`` is a score of the validation cases as the training's history has it; losses are
    better when lower, Dice when higher. ``stage`` names the network that it is of; the last one
    when not given. ``fields`` has dotted keys, as ``--set`` of the command line takes them,
    applied in the file's order. ``together`` trials learn nothing from each other, so a cluster can
    work on them at the same time; what is found does not depend on who does the work.
    """

    metric: Literal["val_dice", "val_loss", "low_dice"] = "val_dice"
    stage: str | None = None
    sampler: Sampler = Sampler()
    pruner: Literal["none"] | MedianPruner = "none"
    together: PositiveInt = 1
    fields: Annotated[dict[str, Space], Field(min_length=1)]

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return not self.metric.endswith("loss")

    def known(self, number: int) -> int:
        """How many trials, from the first on, have to be finished before a trial begins."""
        chance = self.sampler.kind == "random" or number < self.sampler.startup_trials
        return 0 if chance and self.pruner == "none" else number - number % self.together

    def to_json(self) -> Any:
        """Plain data that `Search.model_validate` takes."""
        return self.model_dump(mode="json", by_alias=True)


def read_search(path: Path) -> Search:
    """Read a search file.

    Raises
    ------
    InputError
        If it is missing, no YAML, or has a field that is unknown or does not make sense.
    """
    content = read_yaml(path)
    try:
        return Search.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {_sentence(error)}; see docs/explanation/training.md") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"].startswith("union_tag"):
        place = ".".join(str(part) for part in first["loc"])
        return f"field {place}: give one of choice, int and float"
    return first_problem(error)


# Fields that say what is scored, and on what: values of two trials could not be compared. Clean-up
# comes after what validation scores.
_NOT_COMPARABLE = ("dataset", "split", "target")
_NO_EFFECT = ("name", "publication", "postprocessing", "evaluation", "tiny", "switches.postprocess")
_CHANGE_LOSS = ("loss", "sampler", "grids", "optimisation.deep_weights", "switches")


def check_search(search: Search, system: System) -> None:
    """Refuse a search that makes no sense for a recipe, before anything is trained.

    Raises
    ------
    InputError
        If a field or the stage does not exist, the metric is never measured, or a field changes
        what the metric is of.
    """
    names = [stage.name for stage in system.all_stages()]
    if search.stage is not None and search.stage not in names:
        raise InputError(f"the recipe has no stage {search.stage!r}; it has {', '.join(names)}")
    rounds = system.stage(search.stage or names[-1]).optimisation.rounds
    if search.metric == "low_dice" and all("seg" in round.outputs for round in rounds):
        raise InputError(
            "low_dice is measured only while a cascade's coarse network is trained alone"
        )
    if search.metric == "val_dice" and rounds and all("seg" not in s.outputs for s in rounds):
        raise InputError("val_dice is never measured, for no round trains the output seg")
    for key, space in search.fields.items():
        _check_section(key, search)
        before = [other for other in search.fields if key.startswith(f"{other}.")]
        if not before:  # it may be there only with some choices of the section around it
            value = space.choice[0] if isinstance(space, Categorical) else space.ends[0]
            set_field(system.model_dump(mode="json"), f"{key}={json.dumps(value)}")


def _check_section(key: str, search: Search) -> None:
    parts = key.split(".")
    if parts[0] == "stages" and len(parts) > 2:
        parts = parts[2:]
    inside = ".".join(parts) + "."

    def within(sections: tuple[str, ...]) -> bool:
        return any(inside.startswith(f"{section}.") for section in sections)

    if within(_NO_EFFECT):
        raise InputError(f"{key} does not change {search.metric}; leave it out of the search")
    if within(_NOT_COMPARABLE) and not inside.startswith("dataset.synthetic."):
        raise InputError(f"{key} changes what {search.metric} is of; leave it out of the search")
    if search.metric == "val_loss" and within(_CHANGE_LOSS):
        raise InputError(f"{key} changes the loss itself; search it with metric: val_dice")
