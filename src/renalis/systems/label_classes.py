"""Label mapping: what a system's classes stand for, and how another system's map to them.

A class is described by the KiTS23 labels whose union it is: ``{1, 3}`` is the kidney of KiTS19,
which includes cysts; ``{2, 3}`` the abnormality of the Radboud data.
"""

from __future__ import annotations

from collections.abc import Sequence

from renalis.conventions import REGIONS, Classes, Convention, Label
from renalis.errors import InputError
from renalis.recipes.system import System
from renalis.systems.recipe_grids import target_table

__all__ = ["lesion_classes", "of_count", "regrouping", "remarks", "system_classes"]

_RENAL: Classes = (REGIONS["kidney"],)


def system_classes(system: System) -> Classes:
    """What the classes of `renalis.systems.predict.member` stand for.

    Later stages look inside earlier ones and take their part of them.
    """
    stored = Convention(system.dataset.labels).label_sets
    classes: list[frozenset[int]] = []
    for stage in system.all_stages():
        table = target_table(stage.target)
        own = [
            frozenset().union(*(kits for i, kits in enumerate(stored, 1) if table[i] == number))
            for number in range(1, 1 + len(stage.written))
        ]
        taken = frozenset().union(*own)
        classes = [known - taken for known in classes] + own
    return tuple(classes)


def lesion_classes(system: System) -> tuple[int, ...]:
    """Those of a system's classes, background being 0, that hold lesions alone."""
    return tuple(
        n for n, known in enumerate(system_classes(system), 1) if Label.KIDNEY not in known
    )


def of_count(count: int, own: Classes) -> Classes | None:
    """What so many classes (background included) of another program probably stand for.

    The same as ``own`` when there are as many; otherwise everything renal (2), KiTS19 (3) or
    KiTS23 (4). None for other counts.
    """
    if count == 1 + len(own):
        return own
    return {2: _RENAL, 3: Convention.KITS19.label_sets, 4: Convention.KITS23.label_sets}.get(count)


def regrouping(given: Classes, wanted: Classes, who: str) -> tuple[int, ...]:
    """For each class of a member, background first, the class of the ensemble.

    Parameters
    ----------
    given, wanted : Classes
        Of the member and of the ensemble.
    who : str
        The member's name, for the message.

    Raises
    ------
    InputError
        If a class would have to be divided, or the member does not know one.

    Examples
    --------
    >>> regrouping(Convention.KITS23.label_sets, Convention.RADBOUD.label_sets, "nnU-Net")
    (0, 1, 2, 2)
    """
    unknown = frozenset().union(*wanted) - frozenset().union(*given)
    if unknown:
        raise InputError(
            f"{who} has no class for {_names(unknown)}, which the first system has; leave "
            "it out or make it the first system"
        )
    into = [0]
    for known in given:
        homes = [number for number, want in enumerate(wanted, 1) if want & known]
        if not homes:
            into.append(0)
        elif known <= wanted[homes[0] - 1]:
            into.append(homes[0])
        else:
            raise InputError(
                f"{who} gives {_names(known)} as one class, which cannot be divided as the first "
                "system does; make it the first system"
            )
    return tuple(into)


def remarks(system: System) -> tuple[str, ...]:
    """What a reader of the label maps has to know, in sentences."""
    notes = []
    values = [value for stage in system.all_stages() for value in stage.written]
    for value, known in zip(values, system_classes(system), strict=True):
        if len(known) > 1:
            notes.append(f"{system.name}: label {value} stands for {_names(known)} together")
    every = frozenset().union(*system_classes(system))
    if missing := REGIONS["kidney"] - every:
        notes.append(f"{system.name} does not look for {_names(missing)}")
    return tuple(notes)


def _names(labels: Sequence[int] | frozenset[int]) -> str:
    words = [Label(label).name.lower() for label in sorted(labels)]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
