"""The runs that are cross-validated, and the held-out cases of each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renalis.conventions import Classes, Convention
from renalis.dataset import Dataset
from renalis.dataset.cases import Case, listed
from renalis.errors import InputError, UsageError
from renalis.io.scan import case_id_from
from renalis.model import read_any_header
from renalis.model_header import KnownCases, ModelHeader
from renalis.recipes import stored_system
from renalis.recipes.data_fields import KFold
from renalis.recipes.system import System
from renalis.systems.label_classes import system_classes
from renalis.systems.run_folder import fold_numbers, is_finished
from renalis.systems.runs import packed_system
from renalis.systems.training_cases import known_cases

__all__ = ["CrossRun", "HeldOut", "held_out", "open_cross_run", "refuse_equal_names"]


@dataclass(frozen=True)
class CrossRun:
    """A run, and what there is to know without its networks.

    Attributes
    ----------
    name : str
        What tables and the folder of its label maps call it.
    path : Path
        The run's folder, or a model file.
    model : Path or None
        Model file of a system that predicts coarse to fine; None of all others.
    system : System or None
        The recipe; None where a model file has no whole one.
    recipe : str
        Its name.
    known : KnownCases
        Who was on which side of each fold.
    finished, unfinished : tuple of int
        Folds whose training has, and has not, ended.
    labels : Convention
        What the values of its label maps mean.
    classes : Classes
        The KiTS23 labels of each class.
    """

    name: str
    path: Path
    model: Path | None
    system: System | None
    recipe: str
    known: KnownCases
    finished: tuple[int, ...]
    unfinished: tuple[int, ...]
    labels: Convention
    classes: Classes

    @property
    def by_folds(self) -> bool:
        """Whether its folds together hold every case out once; a holdout does not."""
        kfold = self.system is not None and isinstance(self.system.split, KFold)
        return kfold or len(self.known.folds) > 1

    @property
    def chooses_weights(self) -> bool:
        """Whether the cases to validate with choose the weights of a network."""
        stages = () if self.system is None else self.system.all_stages()
        return any(stage.optimisation.keep != "last" for stage in stages)


@dataclass(frozen=True)
class HeldOut:
    """Cases that a run can predict without having been trained on them.

    Attributes
    ----------
    folds : dict
        The cases of each finished fold.
    left : tuple of str
        Cases that only unfinished folds hold out.
    learned : int
        Training and validation cases of a single split, which therefore cannot be scored.
    validated : bool
        Whether these cases were validated with in training.
    """

    folds: dict[int, tuple[Case, ...]]
    left: tuple[str, ...]
    learned: int
    validated: bool

    @property
    def cases(self) -> tuple[Case, ...]:
        """Of all folds."""
        return tuple(case for cases in self.folds.values() for case in cases)


def open_cross_run(given: str) -> CrossRun:
    """Read a run's facts; no networks are loaded.

    Parameters
    ----------
    given : str
        Folder of a training or model file, with ``NAME=`` in front to name it.

    Raises
    ------
    InputError
        If it is neither, or does not name its folds' held-out cases.
    """
    name, separator, rest = given.partition("=")
    named = bool(separator) and not Path(given).exists()
    path = Path(rest) if named else Path(given)
    label = case_id_from(name if named else path.absolute().name.removesuffix(".safetensors"))
    if (path / "recipe.json").is_file():
        return _of_folder(label, path)
    if path.is_dir() or not path.exists():
        raise InputError(
            f"{path} is neither the folder of a training nor a model file; give what `renalis "
            "train -o` or `renalis model pack` wrote"
        )
    return _of_file(label, path)


def refuse_equal_names(runs: Sequence[CrossRun]) -> None:
    """Refuse runs whose label maps would lie in one folder.

    Raises
    ------
    UsageError
        If two have the same name.
    """
    names = [run.name.casefold() for run in runs]
    for run in runs:
        if names.count(run.name.casefold()) > 1:
            raise UsageError(f"two runs have the name {run.name}; name them with NAME=RUN")


def held_out(run: CrossRun, dataset: Dataset, cases: Sequence[Case]) -> HeldOut:
    """The held-out cases of each finished fold.

    Of a fold these are its test cases, if they are no other fold's as well, else those it was
    validated with.

    Parameters
    ----------
    run : CrossRun
    dataset : Dataset
    cases : sequence of Case
        Those that the recipe uses; others are left out, as in the training.

    Raises
    ------
    InputError
        If the data lacks cases of the split, or folds hold out the same ones.
    """
    known = {case.id: case for case in cases}
    by_fold = _folds_held_out(run)
    everyone = {i for fold in run.known.folds for i in (*fold.train, *fold.val, *fold.test)}
    dataset.chosen(sorted(everyone & {i for ids in by_fold.values() for i in ids}))
    folds = {
        number: tuple(known[i] for i in ids if i in known)
        for number, ids in by_fold.items()
        if number in run.finished
    }
    told = {case.id for some in folds.values() for case in some}
    if not told:
        raise InputError(f"{run.path} has no finished fold that holds cases out")
    rest = sorted((everyone & known.keys()) - told)
    validated = any(
        told.intersection(fold.val) & set(by_fold[fold.number]) for fold in run.known.folds
    )
    if run.by_folds:
        return HeldOut(folds, tuple(rest), 0, validated)
    return HeldOut(folds, (), len(rest), validated)


def _folds_held_out(run: CrossRun) -> dict[int, tuple[str, ...]]:
    """Ids that each fold holds out."""
    for side in ("test", "val"):
        found = {fold.number: tuple(getattr(fold, side)) for fold in run.known.folds}
        ids = [i for some in found.values() for i in some]
        if ids and len(set(ids)) == len(ids):
            return found
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if not twice:
        raise InputError(f"{run.path} held no cases out of its training")
    raise InputError(
        f"several folds of {run.path} hold out the same cases ({listed(twice)}); for a "
        "cross-validation each case is held out once"
    )


def _of_folder(name: str, path: Path) -> CrossRun:
    system = stored_system(path)
    model = path / f"{system.name}.safetensors" if system.coarse_to_fine else None
    there = fold_numbers(path)
    done = [n for n in there if is_finished(system, path, n)]
    if model is not None:  # the file holds the first fold, and exists when that is finished
        done = [0] if model.is_file() else []
    known = known_cases(path)
    if known is None or not done:
        rest = "; resume its training" if there else ""
        raise InputError(f"{path} holds no trained fold{rest}")
    expected = range(system.split.k) if isinstance(system.split, KFold) else ()
    missing = {*there, *expected} - {*done}
    return CrossRun(
        name,
        path,
        model,
        system,
        system.name,
        known,
        tuple(done),
        tuple(sorted(missing)),
        Convention.KITS23 if model is not None else Convention(system.dataset.labels),
        Convention.KITS23.label_sets if model is not None else system_classes(system),
    )


def _of_file(name: str, path: Path) -> CrossRun:
    header = read_any_header(path)
    if header.cases is None:
        raise InputError(
            f"{path} does not name its training cases, so nobody knows which it has not "
            "seen; give the folder of its training, or pack that again"
        )
    if not header.cases.named:
        raise InputError(f"{path} does not name its cases; give the folder of its training")
    if isinstance(header, ModelHeader):
        numbers = tuple(fold.number for fold in header.cases.folds)
        return CrossRun(
            name, path, path, None, header.name, header.cases, numbers, (),
            Convention.KITS23, Convention.KITS23.label_sets,
        )  # fmt: skip
    system = packed_system(path, header)
    numbers = tuple(fold.number for fold in header.folds)
    expected = range(system.split.k) if isinstance(system.split, KFold) else ()
    return CrossRun(
        name, path, None, system, header.name, header.cases, numbers,
        tuple(sorted({*expected} - {*numbers})), Convention(header.labels),
        system_classes(system),
    )  # fmt: skip
