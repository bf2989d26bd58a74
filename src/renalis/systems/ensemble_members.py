"""The other members of an ensemble: further runs, and folders of what other programs wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from renalis.conventions import Classes, Convention
from renalis.errors import InputError
from renalis.io import Scan, ScanSource
from renalis.io.scan import shown
from renalis.known_cases import KnownModel
from renalis.plugins import installed_packages
from renalis.prediction.ensemble import Member, Regrouped, open_member
from renalis.preparation import file_hash
from renalis.recipes import needs_of
from renalis.recipes.system import System
from renalis.systems.label_classes import (
    of_count,
    regrouping,
    system_classes,
)
from renalis.systems.predict import member, stage_predictions
from renalis.systems.run_folder import fold_folder
from renalis.systems.runs import Run, open_run

__all__ = ["EnsembleMember", "fold_files", "is_run", "open_ensemble_member", "run_hash"]

_CHANNEL = "_0000"


class EnsembleMember(Protocol):
    """A member of an ensemble, for any scan."""

    @property
    def by_case_name(self) -> bool:
        """Whether it is looked up by the case's name."""

    @property
    def known(self) -> tuple[KnownModel, ...]:
        """The model that predicts, with what is known about its training, if there is one."""

    def key(self, source: ScanSource) -> Sequence[str]:
        """Changes whenever the member's prediction of a scan may change."""

    def facts(self) -> dict[str, object]:
        """For ``provenance.json``."""

    def of(self, scan: Scan, wanted: Classes) -> Member:
        """Its prediction of a scan, in the ensemble's classes.

        Raises
        ------
        InputError
            If it has no prediction of the scan, or its classes cannot be mapped to these.
        """


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a training, or a model file that one was packed into."""
    packed = path.suffix == ".safetensors" and path.is_file()
    return (path / "recipe.json").is_file() or packed


def open_ensemble_member(path: Path, device: str = "cpu") -> EnsembleMember:
    """A run, or a folder of ``CASE.npz`` (nnU-Net's probabilities) or label maps.

    Raises
    ------
    InputError
        If the path is neither.
    """
    if is_run(path):
        run = open_run(path, device=device)
        return _RunMember(run, run_hash(path, run))
    if not path.is_dir():
        raise InputError(
            f"{path} is neither the folder of a training nor a folder of nnU-Net's CASE.npz or "
            "of label maps"
        )
    return _FolderMember(path)


def run_hash(path: Path, run: Run) -> str:
    """Hash of a run's recipe and weights, of the folds that are used."""
    if path.is_file():
        return file_hash([path])
    return file_hash(fold_files(path, run.system, run.numbers))


def fold_files(run: Path, system: System, numbers: Sequence[int]) -> list[Path]:
    """The files of a run's folder on which the predictions of some folds depend."""
    files = [run / "recipe.json"]
    for number in numbers:
        folder = fold_folder(run, number)
        for stage in system.all_stages():
            files += [folder / f"{stage.name}.safetensors", folder / f"{stage.name}.plan.json"]
    return files


@dataclass(frozen=True, eq=False)
class _RunMember:
    run: Run
    sha256: str

    by_case_name = False

    @property
    def known(self) -> tuple[KnownModel, ...]:
        return (self.run.known,)

    def key(self, source: ScanSource) -> Sequence[str]:
        del source
        packages = installed_packages(needs_of(self.run.system))
        versions = (f"{name} {version}" for name, version in sorted(packages.items()))
        return [self.sha256, *map(str, self.run.numbers), *versions]

    def facts(self) -> dict[str, object]:
        return {
            "system": self.run.system.name,
            "folds": list(self.run.numbers),
            "sha256": self.sha256,
            "packages": installed_packages(needs_of(self.run.system)),
        }

    def of(self, scan: Scan, wanted: Classes) -> Member:
        known = system_classes(self.run.system)
        into = regrouping(known, wanted, f"the run of {self.run.system.name}")
        other = member(self.run, stage_predictions(self.run, scan.volume), scan.volume)
        return _regrouped(other, into, wanted)


@dataclass(frozen=True, eq=False)
class _FolderMember:
    folder: Path

    by_case_name = True
    known = ()

    def key(self, source: ScanSource) -> Sequence[str]:
        status = self._file(source.case_id).stat()
        return [str(status.st_size), str(status.st_mtime_ns)]

    def facts(self) -> dict[str, object]:
        return {"system": "files of another program"}

    def of(self, scan: Scan, wanted: Classes) -> Member:
        path = self._file(scan.case_id)
        if path.suffix != ".npz":
            return self._votes(path, scan, wanted)
        # The axes of a DICOM series are our own choice; those that nnU-Net saw were converted by
        # some other program, and nothing in the file says how.
        if scan.source.kind == "dicom" and not any(
            path.with_suffix(ending).is_file() for ending in (".nii.gz", ".nii")
        ):
            raise InputError(
                f"{shown(path)} says nothing about its axes, and {scan.case_id} is DICOM; give "
                "the NIfTI file that nnU-Net read, or its label maps"
            )
        other = open_member(path, scan.volume, 1 + len(wanted))
        known = of_count(other.classes, wanted)
        if known is None:
            raise InputError(
                f"{shown(path)} holds {other.classes} classes, the first system has "
                f"{1 + len(wanted)}; give label maps (1 kidney, 2 tumor, 3 cyst) instead"
            )
        return _regrouped(other, regrouping(known, wanted, shown(path)), wanted)

    def _votes(self, path: Path, scan: Scan, wanted: Classes) -> Member:
        other = open_member(path, scan.volume, 1 + len(Convention.KITS23.label_sets))
        # Label maps hold KiTS23 labels or coarser ones; value 2 then is what the ensemble's
        # tumor or abnormality is, and value 1 its kidney.
        classes = regrouping(Convention.KITS23.label_sets, wanted, shown(path))
        return _regrouped(other, classes, wanted)

    def _file(self, case_id: str) -> Path:
        for name in (case_id, case_id.removesuffix(_CHANNEL)):
            for ending in (".npz", ".nii.gz", ".nii", "/segmentation.nii.gz"):
                path = self.folder / f"{name}{ending}"
                if path.is_file():
                    return path
        raise InputError(
            f"{self.folder} says nothing about {case_id}: there is no {case_id}.npz, "
            f"{case_id}.nii.gz or {case_id}/segmentation.nii.gz"
        )


def _regrouped(other: Member, into: tuple[int, ...], wanted: Classes) -> Member:
    if into == tuple(range(1 + len(wanted))):
        return other
    return Regrouped(other, into, 1 + len(wanted))
