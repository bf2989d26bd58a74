"""Foreground oversampling: patches of scans, most of them near a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.preparation import PreparedGrid
from renalis.sampling.sample import Sample, cut
from renalis.sampling.targets import IDENTITY, LabelTable

__all__ = ["ForegroundOversampling", "ForegroundPatchSampler"]

_MOST_PLACES = 2000
"""Voxels per case that are remembered as centers; a kidney has ten times as many."""


@dataclass(frozen=True)
class ForegroundOversampling:
    """Where patches lie; see ``renalis.recipes.sample_fields.Patches``."""

    near: float
    lesion: float
    jitter: float


class ForegroundPatchSampler:
    """Patches of any size around labelled places, one drawn at a time.

    Parameters
    ----------
    cases : sequence of PreparedGrid
        Labelled; at least one.
    nearness : ForegroundOversampling
        How often a patch lies near a label, and how near.
    lesions : tuple of int
        Label values of lesions.
    table : LabelTable
        From the dataset's labels to training labels.
    """

    def __init__(
        self,
        cases: Sequence[PreparedGrid],
        nearness: ForegroundOversampling,
        lesions: tuple[int, ...],
        table: LabelTable = IDENTITY,
    ) -> None:
        self._cases, self._nearness, self._table = cases, nearness, table
        self._renal: list[NDArray[np.int16]] = []
        self._lesion: list[NDArray[np.int16]] = []
        for number, case in enumerate(cases):
            assert case.label is not None, "cases to learn from are labelled"
            rng = np.random.default_rng(number)
            self._renal.append(_places(case.label > 0, rng))
            self._lesion.append(_places(np.isin(case.label, lesions), rng))

    def draw(self, size: tuple[int, int, int], rng: np.random.Generator) -> Sample:
        """A patch of one of the cases.

        Parameters
        ----------
        size : tuple of int
            Voxels (Z, Y, X).
        rng : Generator
            Source of everything random.

        Returns
        -------
        Sample
            ``image`` (1, Z, Y, X) in HU and ``seg`` (Z, Y, X). Beyond the scan its last slices go
            on along Z, and there is air in-plane, as in prediction.
        """
        number = int(rng.integers(len(self._cases)))
        case = self._cases[number]
        assert case.label is not None
        center = self._center(number, size, rng)
        start = np.round(center - (np.asarray(size) - 1) / 2).astype(int)
        slices = np.clip(np.arange(start[0], start[0] + size[0]), 0, case.shape[0] - 1)
        first, last = int(slices[0]), int(slices[-1]) + 1
        plane = (last - first, size[1], size[2])
        place = (first, int(start[1]), int(start[2]))
        image = cut(case.image, place, plane, case.spec.fill_hu)[slices - first]
        label = cut(case.label, place, plane, 0)[slices - first]
        return Sample(
            {"image": image[None].astype(np.float32)},
            {"seg": self._table[label]},
            {"case": number, "start": start.tolist()},
            {"image": case.spacing, "seg": case.spacing},
            {"image": case.spec.fill_hu},
        )

    def _center(
        self, number: int, size: tuple[int, int, int], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        how, places = self._nearness, self._renal[number]
        if len(places) and rng.random() < how.near:
            if len(self._lesion[number]) and rng.random() < how.lesion:
                places = self._lesion[number]
            place = places[rng.integers(len(places))].astype(float)
            return np.asarray(place + rng.uniform(-1, 1, 3) * how.jitter * np.asarray(size))
        shape = np.asarray(self._cases[number].shape)
        # Anywhere in the body, in-plane not too far from the middle.
        return np.asarray(shape * rng.uniform([0.05, 0.25, 0.15], [0.95, 0.75, 0.85]))


def _places(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int16]:
    """Indices (N, 3) of some voxels of a mask."""
    index = np.argwhere(mask).astype(np.int16)
    return index[rng.permutation(len(index))[:_MOST_PLACES]]
