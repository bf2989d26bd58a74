"""What a recipe names that renalis does not have, so that files say which packages they need."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from renalis.plugins import NETWORKS, RULES, SAMPLERS, TERMS, Need
from renalis.recipes.system import System

__all__ = ["needs_of"]


def needs_of(system: System) -> tuple[Need, ...]:
    """What others offer of a recipe's networks, samplers, loss terms and rules; none twice.

    Raises
    ------
    InputError
        If two installed packages offer one of them.
    """
    return tuple(dict.fromkeys(_needs(system)))


def _needs(system: System) -> Iterator[Need]:
    for stage in system.all_stages():
        if _foreign(stage.network):
            yield NETWORKS.need(stage.network.name)
        if _foreign(stage.sampler):
            yield SAMPLERS.need(stage.sampler.kind)
        yield from (TERMS.need(term.term) for term in stage.loss if _foreign(term))
    yield from (RULES.need(rule.rule) for rule in system.postprocessing if _foreign(rule))


def _foreign(section: BaseModel) -> bool:
    return not type(section).__module__.startswith("renalis.")
