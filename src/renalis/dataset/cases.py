"""What a dataset is: cases on disk, by patient, with what their label values mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from renalis.conventions import Convention
from renalis.errors import InputError

__all__ = ["Case", "Dataset", "listed"]

_NAMED = 5


@dataclass(frozen=True)
class Case:
    """One scan and, where there is one, its label map.

    Parameters
    ----------
    id : str
        Name, different from that of every other case, safe as a file name.
    image : Path
        CT: NIfTI file, DICOM folder or zip; or a file of single slices.
    label : Path or None
        Label map (NIfTI) on the grid of the CT; None for scans without reference.
    patient : str
        Whose scan it is. Splits never put one patient on two sides.
    meta : mapping of str to str
        Whatever else the dataset tells, for example the histology; used to stratify splits.
    number : int or None
        Which slice of a file of slices the case is, counted from 0; None: a scan.
    """

    id: str
    image: Path
    label: Path | None
    patient: str
    meta: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    number: int | None = None

    def __reduce__(self) -> tuple[type[Case], tuple[object, ...]]:
        """Pass to another process; a mapping proxy cannot go there itself."""
        return Case, (
            self.id,
            self.image,
            self.label,
            self.patient,
            dict(self.meta),
            self.number,
        )


@dataclass(frozen=True)
class Dataset:
    """Cases in the order of their numbers.

    Parameters
    ----------
    name : str
        Kind of dataset and, where it matters, which annotation: ``"kits21-maj"``.
    convention : Convention
        What the values in the label maps mean.
    cases : tuple of Case
        With different ids.
    root : Path
        Where it lies.
    notes : tuple of str
        What was found and left out, in sentences.

    Raises
    ------
    InputError
        If there is no case or two have the same id.
    """

    name: str
    convention: Convention
    cases: tuple[Case, ...]
    root: Path
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cases:
            raise InputError(f"{self.root} holds no cases; give the folder that holds the scans")
        seen: set[str] = set()
        for case in self.cases:
            if case.id.casefold() in seen:
                raise InputError(
                    f"{self.root} holds two cases named {case.id}; give them different names"
                )
            seen.add(case.id.casefold())

    @property
    def single_slices(self) -> bool:
        """Whether the cases are single slices, which know nothing of their neighbors."""
        return any(case.number is not None for case in self.cases)

    def require_scans(self, what: str) -> None:
        """Refuse single slices for something that needs whole scans.

        Raises
        ------
        InputError
            If the cases are single slices.
        """
        if self.single_slices:
            raise InputError(f"{self.root} holds single slices, and {what} needs whole scans")

    @property
    def labelled(self) -> tuple[Case, ...]:
        """The cases that have a label map."""
        return tuple(case for case in self.cases if case.label is not None)

    def case(self, case_id: str) -> Case:
        """The case of that id; InputError if there is none."""
        for case in self.cases:
            if case.id == case_id:
                return case
        raise InputError(f"{self.name} in {self.root} has no case {case_id}")

    def chosen(self, ids: Iterable[str]) -> tuple[Case, ...]:
        """The cases of those ids, in the order given; InputError names those that are missing."""
        known = {case.id: case for case in self.cases}
        wanted = list(ids)
        missing = [i for i in wanted if i not in known]
        if missing:
            raise InputError(
                f"{self.name} in {self.root} lacks {listed(missing)}; "
                "was the split made for another dataset?"
            )
        return tuple(known[i] for i in wanted)


def listed(names: Iterable[str], most: int = _NAMED) -> str:
    """The first names of many, and how many more there are.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    names = list(names)
    text = ", ".join(names[:most])
    return f"{text} and {len(names) - most} more" if len(names) > most else text
