"""Training and validation cases of a run: stored at training, read for prediction and scoring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from renalis.dataset import Case, load_split
from renalis.dataset.reading import case_content, read_case, read_case_labels
from renalis.disk_failures import check_not_gone
from renalis.errors import InputError
from renalis.io import write_text
from renalis.model import read_any_header
from renalis.model_header import CaseHashes, FoldSides, KnownCases
from renalis.systems.run_folder import fold_folder, fold_numbers
from renalis.voxel_hash import label_hash, voxel_hash

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["keep_training_cases", "known_cases", "run_cases_known", "unnamed"]

_NAME = "cases.json"
_FORMAT = "renalis training cases"
_KEPT = "hashes"


def keep_training_cases(folder: Path, cases: Sequence[Case], cache: Path, fabric: Fabric) -> None:
    """Note in a fold's folder by what its cases can be recognized.

    Parameters
    ----------
    folder : Path
        The fold's.
    cases : sequence of Case
        To learn from and to validate with.
    cache : Path
        Folder of prepared cases, where hashes are kept: folds and later calls do not read the scans
        again.
    fabric : Fabric
        Its processes share the work, the first one writes.

    Raises
    ------
    InputError
        If a case cannot be read.
    OutputError
        If the notes cannot be written.
    """
    for case in cases[fabric.global_rank :: fabric.world_size]:
        check_not_gone(folder)
        _hashes(case, cache)
    fabric.barrier()
    if cases and fabric.global_rank == 0:
        scans = {case.id: _hashes(case, cache).model_dump() for case in cases}
        content = {"format": _FORMAT, "version": 1, "scans": scans}
        write_text(folder / _NAME, json.dumps(content, indent=1))


def known_cases(path: Path) -> KnownCases | None:
    """Whose scans a run's folder, or a model file, learned from; None where that is not known.

    Parameters
    ----------
    path : Path
        Folder of a training or model file.

    Raises
    ------
    InputError
        If what was noted is damaged.
    """
    return run_cases_known(path) if path.is_dir() else read_any_header(path).cases


def run_cases_known(run: Path, folds: Sequence[int] | None = None) -> KnownCases | None:
    """The same of a run's folder alone."""
    sides: list[FoldSides] = []
    hashes: dict[str, CaseHashes] = {}
    for number in fold_numbers(run) if folds is None else folds:
        folder = fold_folder(run, number)
        if not (folder / "split.json").is_file():
            continue
        split = load_split(folder / "split.json")
        sides.append(FoldSides(number=number, train=split.train, val=split.val, test=split.test))
        hashes |= _noted(folder / _NAME)
    return KnownCases(folds=tuple(sides), hashes=hashes) if sides else None


def unnamed(known: KnownCases | None) -> KnownCases | None:
    """The same with numbers in place of names, which may be those of patients."""
    if known is None:
        return None
    everyone = sorted({i for fold in known.folds for i in (*fold.train, *fold.val, *fold.test)})
    # In the order of the hashes: that of the names would tell something about them.
    everyone.sort(key=lambda i: known.hashes.get(i, CaseHashes()).image)
    number = {name: f"{count:05d}" for count, name in enumerate(everyone, 1)}
    folds = tuple(
        FoldSides(
            number=fold.number,
            train=tuple(sorted(number[i] for i in fold.train)),
            val=tuple(sorted(number[i] for i in fold.val)),
            test=tuple(sorted(number[i] for i in fold.test)),
        )
        for fold in known.folds
    )
    hashes = {number[name]: one for name, one in known.hashes.items() if name in number}
    return KnownCases(folds=folds, hashes=dict(sorted(hashes.items())), named=False)


def _noted(path: Path) -> dict[str, CaseHashes]:
    """What `keep_training_cases` wrote; nothing of trainings from before there was such a file."""
    if not path.exists():
        return {}
    try:
        scans = json.loads(path.read_text(encoding="utf-8"))["scans"]
        return {str(name): CaseHashes.model_validate(one) for name, one in scans.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise InputError(
            f"{path} is damaged ({type(error).__name__}); resume the training to make it again, or "
            "delete it"
        ) from error


def _hashes(case: Case, cache: Path) -> CaseHashes:
    """A case's hashes, computed once."""
    kept = cache / _KEPT / f"{case_content(case)[:32]}.json"
    try:
        return CaseHashes.model_validate_json(kept.read_bytes())
    except (OSError, ValidationError):
        pass
    labels = read_case_labels(case, placed=False)
    label = "" if labels is None else label_hash(labels)
    found = CaseHashes(image=voxel_hash(read_case(case)), label=label)
    write_text(kept, found.model_dump_json())
    return found
