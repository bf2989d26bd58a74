"""Longer training of a finished run: what may change, and what is trained anew when masks change.

Schedules, stopping rules and what is kept are functions of the finished epochs alone, so a training
that goes on ends with the same bits as one that was that long from the start. Not so where a
schedule is stretched over all epochs, or where a round began from one that would now end later:
these are refused. Stages that look through another stage's masks are trained anew when its weights
have changed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from renalis.errors import InputError
from renalis.recipes.system import System
from renalis.recipes.train_fields import Optimisation, Stop, WarmupLinear
from renalis.training.checkpoint import read_weights

__all__ = ["dependents", "drop_dependents", "same_weights", "stopping_text", "with_longer_training"]

_MORE = ("epochs", "rises", "patience", "minutes", "cpu_minutes")
"""Rules that end a training later when their number is larger, or when there is none."""


def with_longer_training(stored: System, wanted: System) -> System:
    """The stored recipe with the ends of training that are wanted now.

    The stored one where the recipes differ in anything else.

    Raises
    ------
    InputError
        If an end would come sooner, or the same bits as of a training that was that long from the
        start cannot be reached from here.
    """
    if [change.name for change in stored.stages] != [change.name for change in wanted.stages]:
        return stored
    same = _with_ends(stored, wanted)
    if same is None or same.model_copy(update={"evaluation": wanted.evaluation}) != wanted:
        return stored
    for place, old, new in _sections(stored, wanted):
        _require_later(place, old, new)
    return same


def stopping_text(optimisation: Optimisation) -> str:
    """The stopping rules of a training and its rounds as text, to be stored with weights."""
    rules = {"all": optimisation.stop, **{one.name: one.stop for one in optimisation.rounds}}
    return json.dumps({name: stop.model_dump(mode="json") for name, stop in rules.items()})


def dependents(system: System, stage: str) -> list[str]:
    """The stages whose input masks a stage predicts, and those that depend on these in turn."""
    found = [stage]
    for one in system.all_stages():
        if one.input_mask is not None and one.input_mask.stage in found:
            found.append(one.name)
    return found[1:]


def drop_dependents(
    system: System,
    stage: str,
    path: Path,
    weights: Mapping[str, Tensor],
    fold: Path,
    report: Callable[[str], None],
) -> None:
    """Before a stage's new weights are written: remove stages that were trained with its old ones.

    Parameters
    ----------
    system : System
    stage : str
        Whose weights they are.
    path : Path
        The file that they will be written to; nothing happens if it is not there, or holds the
        same weights.
    weights : mapping of str to Tensor
        The new ones.
    fold : Path
        Folder of the fold's stages.
    report : callable
        Takes progress lines.
    """
    if not path.exists() or same_weights(path, weights):
        return
    for name in dependents(system, stage):
        network, training = fold / f"{name}.safetensors", fold / name
        if network.exists() or training.exists():
            report(f"stage {name} is trained anew, since its input masks have changed")
        network.unlink(missing_ok=True)
        shutil.rmtree(training, ignore_errors=True)


def same_weights(path: Path, weights: Mapping[str, Tensor]) -> bool:
    """Whether a file holds these weights, bit for bit."""
    known = read_weights(path)
    return known.keys() == weights.keys() and all(
        torch.equal(value, weights[name].detach().cpu()) for name, value in known.items()
    )


def _with_ends(stored: System, wanted: System) -> System | None:
    """The stored recipe with the other's rules to stop; None where they have other rounds."""
    for _, old, new in _sections(stored, wanted):
        if [one.name for one in old.rounds] != [one.name for one in new.rounds]:
            return None
    main = _of(stored.optimisation, wanted.optimisation)
    stages = []
    for ours, theirs in zip(stored.stages, wanted.stages, strict=True):
        own = ours.optimisation
        if own is not None and theirs.optimisation is not None:
            own = _of(own, theirs.optimisation)
        stages.append(ours.model_copy(update={"optimisation": own}))
    return stored.model_copy(update={"optimisation": main, "stages": tuple(stages)})


def _of(optimisation: Optimisation, other: Optimisation) -> Optimisation:
    rounds = tuple(
        one.model_copy(update={"stop": its.stop})
        for one, its in zip(optimisation.rounds, other.rounds, strict=True)
    )
    return optimisation.model_copy(update={"stop": other.stop, "rounds": rounds})


def _sections(stored: System, wanted: System) -> Iterator[tuple[str, Optimisation, Optimisation]]:
    """Each ``optimisation`` section, with its place in the recipe."""
    yield "optimisation", stored.optimisation, wanted.optimisation
    for ours, theirs in zip(stored.stages, wanted.stages, strict=True):
        if ours.optimisation is not None and theirs.optimisation is not None:
            yield f"stages.{ours.name}.optimisation", ours.optimisation, theirs.optimisation


def _require_later(place: str, old: Optimisation, new: Optimisation) -> None:
    """Refuse what does not end later, or is another training from its first epoch on."""
    _require_no_sooner(f"{place}.stop", old.stop, new.stop)
    changed = old.stop.epochs != new.stop.epochs
    for number, (before, after) in enumerate(zip(old.rounds, new.rounds, strict=True)):
        where = f"{place}.rounds.{before.name}.stop"
        _require_no_sooner(where, before.stop, after.stop)
        changed = changed or before.stop.epochs != after.stop.epochs
        if before.stop != after.stop and number + 1 < len(old.rounds):
            raise InputError(
                f"{where} cannot come later: round {old.rounds[number + 1].name} begins from the "
                "weights with which this one ended; train with it in another folder"
            )
    if changed and isinstance(new.schedule, WarmupLinear):
        raise InputError(
            f"{place}.stop.epochs cannot grow: the learning rate falls to zero over all epochs "
            f"({place}.schedule), so that a longer training is another one from its first epoch "
            "on; train it in another folder"
        )


def _require_no_sooner(place: str, old: Stop, new: Stop) -> None:
    for name in type(old).model_fields:
        before, after = getattr(old, name), getattr(new, name)
        later = name in _MORE and (after is None or (before is not None and after > before))
        if before != after and not later:
            raise InputError(
                f"{place}.{name} was {_word(before)} when the run was started, another recipe than "
                f"one with {_word(after)}; an end of training may only come later, by larger "
                f"{', '.join(_MORE)}, so choose another folder"
            )


def _word(value: object) -> str:
    return "not set" if value is None else str(value)
