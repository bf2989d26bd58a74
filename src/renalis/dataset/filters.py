"""Case filters: the tumor-size filter of Halili et al., and lists of exclusions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from renalis.child_processes import map_cases
from renalis.conventions import Convention
from renalis.dataset.case_facts import case_volumes_ml
from renalis.dataset.cases import Case, listed
from renalis.errors import InputError, UsageError
from renalis.io.natural_order import by_number

__all__ = ["CaseFilter", "label_volumes", "tumor_ratio"]

Volumes = Mapping[str, Mapping[str, float]]

_TUMOR = ("tumor", "abnormality")


@dataclass(frozen=True)
class CaseFilter:
    """Rules that a case must satisfy; those that are None do not apply.

    Halili et al. (recipe ``quicknat-2d``) left out cases with large tumors by eye: 210 cases of
    KiTS19 became 136, and the list is not published. ``tumor_ml_max=51.9`` keeps 136 of them;
    ``tumor_ratio_max=0.122`` and ``keep_smallest=136`` do as well.

    Parameters
    ----------
    tumor_ml_max : float or None
        Largest volume of all tumor in ml (abnormality in the Radboud convention).
    tumor_ratio_max : float or None
        Largest share of tumor in everything renal (see `tumor_ratio`).
    keep_smallest : int or None
        Keep this many cases with the smallest tumors; of equal ones the lower number.
    exclude : tuple of str
        Ids to leave out.

    Raises
    ------
    UsageError
        If a value makes no sense.
    """

    tumor_ml_max: float | None = None
    tumor_ratio_max: float | None = None
    keep_smallest: int | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tumor_ml_max is not None and not self.tumor_ml_max >= 0:
            raise UsageError("the largest tumor volume is a number of ml, 0 or more")
        if self.tumor_ratio_max is not None and not 0 <= self.tumor_ratio_max <= 1:
            raise UsageError("the largest tumor ratio lies between 0 and 1")
        if self.keep_smallest is not None and self.keep_smallest < 1:
            raise UsageError("the number of cases to keep is at least 1")

    @property
    def needs_volumes(self) -> bool:
        """Whether `kept` needs volumes."""
        return any(
            rule is not None
            for rule in (self.tumor_ml_max, self.tumor_ratio_max, self.keep_smallest)
        )

    def kept(self, ids: Sequence[str], volumes: Volumes) -> tuple[str, ...]:
        """The cases that satisfy all rules, in the order given.

        Parameters
        ----------
        ids : sequence of str
            Cases.
        volumes : mapping
            ml by case and label; may be empty where `needs_volumes` is False.

        Raises
        ------
        InputError
            If a case that is excluded does not exist, a volume is missing, or no case remains.
        """
        unknown = sorted(set(self.exclude) - set(ids))
        if unknown:
            raise InputError(f"there is no case {listed(unknown)} to exclude; check the names")
        left = [i for i in ids if i not in self.exclude]
        if self.needs_volumes:
            missing = [i for i in left if i not in volumes]
            if missing:
                raise InputError(
                    f"the volumes of {listed(missing)} are not known; "
                    "make the fingerprint again, or leave it out to read the label maps"
                )
        if self.tumor_ml_max is not None:
            left = [i for i in left if _tumor(volumes[i]) <= self.tumor_ml_max]
        if self.tumor_ratio_max is not None:
            left = [i for i in left if tumor_ratio(volumes[i]) <= self.tumor_ratio_max]
        if self.keep_smallest is not None:
            ordered = sorted(left, key=lambda i: (_tumor(volumes[i]), by_number(i)))
            smallest = set(ordered[: self.keep_smallest])
            left = [i for i in left if i in smallest]
        if not left:
            raise InputError("the filter leaves no case; choose milder rules")
        return tuple(left)


def tumor_ratio(ml: Mapping[str, float]) -> float:
    """Share of tumor in the volume of everything renal; 0 where nothing is labelled.

    Cysts count as kidney, as they do in KiTS19, so that KiTS23 labels give the same ratio.

    Examples
    --------
    >>> tumor_ratio({"kidney": 80.0, "tumor": 10.0, "cyst": 10.0})
    0.1
    """
    everything = sum(ml.values())
    return _tumor(ml) / everything if everything else 0.0


def label_volumes(
    cases: Iterable[Case],
    convention: Convention,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda _, __: None,
) -> dict[str, dict[str, float]]:
    """Volumes in ml by case and label, read from the label maps.

    Raises
    ------
    InputError
        If a label map cannot be read or does not fit the convention.
    """
    labelled = [case for case in cases if case.label is not None]
    work = partial(case_volumes_ml, convention=convention)
    found = map_cases(work, labelled, jobs, progress)
    return {case.id: ml for case, ml in zip(labelled, found, strict=True)}


def _tumor(ml: Mapping[str, float]) -> float:
    return sum(ml.get(name, 0.0) for name in _TUMOR)
