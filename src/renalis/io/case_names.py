"""Names of cases that follow from the study, not from the order in which files come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from renalis.io.archive import folder_of
from renalis.io.patient import hashed, tells_patient
from renalis.io.scan import case_id_from

__all__ = ["Study", "distinct", "study_hash", "study_names"]


@dataclass(frozen=True)
class Study:
    """What a study's name may follow from.

    Parameters
    ----------
    uid, group : str
        StudyInstanceUID, and what tells apart studies with the same one or without any.
    patient : frozenset of str
        Hashes of the patient's identifiers.
    files : set of str
        Paths of its files below the input, with ``/`` between folders.
    """

    uid: str
    group: str
    patient: frozenset[str]
    files: set[str]


def study_hash(uid: str, group: str = "") -> str:
    """Eight digits for a study: the same wherever it lies."""
    return hashed(uid or group)[:8]


def study_names(own: str, studies: Sequence[Study]) -> list[str]:
    """A case id for each study of one place.

    A study alone in its place is named after the place. Of several, each is named after the
    outermost folder that holds its files and those of no other study, folders above it included;
    one without such a folder, after the folder that it shares, with a hash of its UID. A name
    that tells who the patient is becomes ``case_`` and that hash.

    Parameters
    ----------
    own : str
        Case id after the name of the place.
    studies : sequence of Study
        All studies there.

    Returns
    -------
    list of str
        In the same order; all different, unless two studies share everything.
    """
    if len(studies) == 1:
        return [_told(own, studies[0])]
    names = []
    shared = _shared([study.files for study in studies])
    for study in studies:
        folder = _own_folder(study.files, shared)
        if folder:
            name = case_id_from(folder.replace("/", "_"))
        else:
            above = case_id_from(folder_of(study.files).replace("/", "_") or own)
            name = f"{above}_{study_hash(study.uid, study.group)}"
        names.append(_told(name, study))
    others = [f"{n}_{hashed(s.uid + s.group)[:8]}" for n, s in zip(names, studies, strict=True)]
    return distinct(names, others)


def _told(name: str, study: Study) -> str:
    """Another name where it tells the patient, as folders exported to a disc often do."""
    if tells_patient(name, study.patient):
        return f"case_{study_hash(study.uid, study.group)}"
    return name


def _shared(files: Sequence[set[str]]) -> set[PurePosixPath]:
    """The folders in which files of several studies lie, at any depth."""
    seen: set[PurePosixPath] = set()
    shared: set[PurePosixPath] = set()
    for group in files:
        above = {parent for name in group for parent in PurePosixPath(name).parents}
        shared |= seen & above
        seen |= above
    return shared


def _own_folder(files: set[str], shared: set[PurePosixPath]) -> str:
    """The outermost folder with all of a study's files and no other study's; empty: none."""
    folder = PurePosixPath(folder_of(files))
    if folder in shared:
        return ""
    while folder.parent not in shared:
        folder = folder.parent
    return str(folder)


def distinct(ids: Iterable[str], *others: Iterable[str]) -> list[str]:
    """Case ids made different: by other ones for those that are equal, at last by a number.

    Parameters
    ----------
    ids : iterable of str
        Wanted names.
    *others : iterable of str
        For each what to take instead if it is not the only one of its name; empty: keep it.
    """
    names = list(ids)
    for instead in others:
        times = Counter(name.casefold() for name in names)
        names = [
            other if other and times[name.casefold()] > 1 else name
            for name, other in zip(names, instead, strict=True)
        ]
    result: list[str] = []
    taken: set[str] = set()
    reached: dict[str, int] = {}  # numbers below are taken; thousands may have one name
    for name in names:
        candidate, number = name, reached.get(name.casefold(), 1)
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{name}_{number}"
        reached[name.casefold()] = number
        taken.add(candidate.casefold())
        result.append(candidate)
    return result
