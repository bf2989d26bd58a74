"""Training data: scans with label maps, or label maps alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renalis.conventions import Convention
from renalis.dataset import Case, Dataset, Split, open_dataset
from renalis.dataset.slices import SliceSet
from renalis.errors import InputError
from renalis.recipes.sample_fields import Patches
from renalis.recipes.system import System
from renalis.systems.recipe_cases import chosen_cases
from renalis.systems.single_slices import require_slices_fit, slices_to_train_with
from renalis.systems.split_check import (
    SplitCases,
    require_masks,
    split_cases,
    split_for,
    synthetic_cases,
)
from renalis.systems.synthetic_bodies import training_maps

__all__ = ["TrainingData", "check_training_data", "open_training_data"]


@dataclass(frozen=True)
class TrainingData:
    """What ``--data`` holds for a recipe.

    Attributes
    ----------
    dataset : Dataset or None
        None of label maps alone.
    cases : sequence of Case
        Those that the recipe uses.
    maps, held_back : sequence of Path
        Label maps alone: to compose synthetic bodies of, and kept back for testing.
    """

    dataset: Dataset | None
    cases: Sequence[Case] = ()
    maps: Sequence[Path] = ()
    held_back: Sequence[Path] = ()

    @property
    def name(self) -> str:
        """Of the dataset."""
        return "label maps" if self.dataset is None else self.dataset.name

    def split(self, system: System, fold: int, stored: Path | None) -> Split:
        """Training, validation and test cases.

        Raises
        ------
        InputError
            See `renalis.systems.split_check.split_for`.
        """
        if self.dataset is not None:
            return split_for(self.dataset, self.cases, system, fold, stored)
        if fold or stored is not None:
            raise InputError(
                f"{system.name} learns from label maps alone here, which bodies.held_back divides; "
                "leave --fold and --split out"
            )
        return Split(_names(self.maps), (), _names(self.held_back))

    def split_cases(self, split: Split) -> SplitCases:
        """The cases of a split that training uses; none of label maps alone."""
        return split_cases(split, self.cases)

    def body_maps(self, split: Split) -> list[Path]:
        """Label maps that bodies may be composed of."""
        own = [case.label for case in self.split_cases(split).train if case.label is not None]
        return [*self.maps, *own]


def open_training_data(system: System, data: Path, kind: str) -> TrainingData:
    """Find a recipe's training data; no voxels are read.

    Parameters
    ----------
    system : System
        The recipe. One whose patches are all synthetic takes a folder of label maps too.
    data : Path
        A dataset, or a folder of label maps.
    kind : str
        Of the dataset; ``auto`` finds out.

    Raises
    ------
    InputError
        If there is nothing to train with, labels have another meaning than the recipe's, or it
        needs whole scans and these are single slices.
    """
    if system.synthetic_alone and kind == "auto" and any(data.glob("*.nii*")):
        assert system.bodies is not None, "a recipe with synthetic patches has bodies"
        maps, held_back = training_maps(system.bodies, data)
        if not maps:
            raise InputError(f"{data} holds no label maps to train with")
        return TrainingData(None, (), maps, held_back)
    dataset = open_dataset(data, kind)
    if system.coarse_to_fine and dataset.convention is not Convention.KITS23:
        raise InputError(
            f"{system.name} learns kidney, tumor and cyst, and in {dataset.root} labels mean those "
            f"of {dataset.convention}; give a dataset with KiTS23's labels"
        )
    if dataset.single_slices:
        require_slices_fit(system)
    return TrainingData(dataset, chosen_cases(dataset, system.dataset))


def check_training_data(
    system: System, training_data: TrainingData, split: Split, slices: Sequence[SliceSet] = ()
) -> None:
    """Refuse data that does not fit the recipe while nothing is stored that would have to go.

    Raises
    ------
    InputError
        See `renalis.systems.split_check` and `renalis.systems.single_slices`.
    """
    synthetic_cases(system)
    for stage in system.all_stages():
        if isinstance(stage.sampler, Patches) and stage.sampler.mix.slices:
            slices_to_train_with(stage, stage.sampler, slices)
    if training_data.dataset is not None:
        require_masks(system, training_data.split_cases(split))


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(path.name.split(".")[0] for path in paths)
