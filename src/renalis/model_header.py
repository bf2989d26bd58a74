"""What a model file says about its model: the stages, how they see a scan, and where it came from.

Read and checked without torch. A header may come from anywhere, so every number has its bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from renalis.conventions import ScoredName
from renalis.plugins import Need
from renalis.thresholds import Thresholds

if TYPE_CHECKING:
    from renalis.preparation import Interpolation

__all__ = [
    "CaseHashes",
    "FoldFacts",
    "FoldSides",
    "KnownCases",
    "ModelHeader",
    "Stage",
    "SystemHeader",
]

_STAGES = ["coarse", "fine"]

Positive = Annotated[float, Field(gt=0.2, lt=50, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=8, le=512)]
Hu = Annotated[float, Field(ge=-2000, le=5000, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=20_000)]
CaseId = Annotated[str, Field(min_length=1, max_length=200)]
Hash = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


_CHANNELS = {"in_channels": 1, "out_channels": 4}
"""The windowed image in; background, kidney, tumor and cyst out."""


class Stage(_Frozen):
    """What one network sees.

    Attributes
    ----------
    name : str
        ``"coarse"`` or ``"fine"``; its tensors are called ``<name>.*``.
    spacing_mm, patch : tuple
        Grid (mm) and window (voxels) along the canonical axes Z, Y, X.
    window_hu : tuple of float
        HU that become -1 and 1.
    network : dict
        Configuration for `renalis.networks.build`.
    """

    name: Literal["coarse", "fine"]
    spacing_mm: tuple[Positive, Positive, Positive]
    patch: tuple[Side, Side, Side]
    window_hu: tuple[Hu, Hu]
    network: dict[str, JsonValue]

    @property
    def pooled(self) -> bool:
        """Whether windows are normalized together (`renalis.networks.unet.PooledNorm3d`)."""
        return self.network.get("pooled") is True

    @property
    def interpolation(self) -> Interpolation:
        """How the scan is brought to the stage's grid.

        To find kidneys, all of the scan is averaged; the fine network sees edges and noise about
        as they are, as in the synthetic CT that it learned from.
        """
        return "average" if self.name == "coarse" else "linear"

    @property
    def stem(self) -> int:
        """Voxels along each side that one voxel of the network's finest level stands for."""
        stem = self.network.get("stem", 1)
        return max(1, stem) if isinstance(stem, int) else 1

    @property
    def stride(self) -> int:
        """All strides of the network together, in voxels; 1 where its configuration hides them."""
        channels = self.network.get("channels")
        return self.stem << max(0, len(channels) - 1) if isinstance(channels, list) else 1

    @model_validator(mode="after")
    def _possible(self) -> Stage:
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError("the HU window is empty")
        for name, count in _CHANNELS.items():
            if (given := self.network.get(name, count)) != count:
                raise ValueError(f"the network has {name} {given}, and a pass needs {count}")
        values = list(self.network.values())
        lists = [value for value in values if isinstance(value, list)]
        flat = values + [item for some in lists for item in some]
        numbers = [n for n in flat if not isinstance(n, str | list | bool)]
        if any(len(x) > 8 for x in lists) or any(
            not isinstance(n, int | float) or not 0 <= n <= 1024 for n in numbers
        ):
            raise ValueError("the network is larger than any that renalis makes")
        return self


class CaseHashes(_Frozen):
    """By what a case is recognized under another name (`renalis.voxel_hash`).

    Attributes
    ----------
    image, label : str
        Of the scan's voxels and of the label map's; empty where not known, and of empty maps.
    """

    image: Hash = ""
    label: Hash = ""


class FoldSides(_Frozen):
    """Who was on which side of a fold, by case id.

    Attributes
    ----------
    number : int
        The fold's.
    train, val, test : tuple of str
        Learned from, validated with, and kept for testing.
    """

    number: Annotated[int, Field(ge=0, lt=1000)]
    train: tuple[CaseId, ...]
    val: tuple[CaseId, ...] = ()
    test: tuple[CaseId, ...] = ()


class KnownCases(_Frozen):
    """Whose scans a model learned from.

    Attributes
    ----------
    folds : tuple of FoldSides
    hashes : dict
        By case id; of trainings before there were any, empty.
    named : bool
        Whether ids are those of the dataset; otherwise mere numbers.
    """

    folds: Annotated[tuple[FoldSides, ...], Field(max_length=1000)]
    hashes: dict[CaseId, CaseHashes] = {}
    named: bool = True


class ModelHeader(_Frozen):
    """Everything that is known about a model; the metadata of its file.

    Attributes
    ----------
    format : int
        Version of this header's layout.
    name, version, created : str
        Which model; ``created`` is an ISO 8601 date.
    labels : str
        Label convention, see `renalis.conventions`.
    stages : tuple of Stage
        Coarse, then fine.
    thresholds : Thresholds
        What decides between labels; files of version 10 of the model and before have the defaults.
    postprocessing : tuple of str
        Names of the tidying rules that belong to the model.
    needs : tuple of Need
        What renalis does not have, with the packages that do.
    training : dict
        How it was trained, for people to read.
    cases : KnownCases or None
        Whose scans it learned from; None where that is not known case by case.
    licence, data_credit : str
        Terms of the weights (SPDX), and whom to credit for the training data.
    commercial_use : bool
        Whether the licence allows commercial use.
    scores : dict
        What was measured, and on what.
    sha256 : str
        Of the tensors, as stored in the file.
    """

    format: Literal[1] = 1
    name: Name
    version: Text
    created: Text
    labels: Literal["kits23"] = "kits23"
    stages: tuple[Stage, ...]
    thresholds: Thresholds = Thresholds()
    postprocessing: tuple[Text, ...] = ()
    needs: tuple[Need, ...] = ()
    training: dict[str, JsonValue] = {}
    cases: KnownCases | None = None
    licence: Text
    commercial_use: bool
    data_credit: Text
    scores: dict[str, JsonValue] = {}
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")

    @model_validator(mode="after")
    def _complete(self) -> ModelHeader:
        if [stage.name for stage in self.stages] != _STAGES:
            raise ValueError("a model has the stages coarse and fine")
        return self

    def stage(self, name: str) -> Stage:
        """The stage called ``name``."""
        return next(stage for stage in self.stages if stage.name == name)


class FoldFacts(_Frozen):
    """What one fold of a published system knows besides its weights, ``fold_N.STAGE.*``.

    Attributes
    ----------
    number : int
        The fold's.
    statistics : dict
        Mean and standard deviation (HU) by stage and grid, where the recipe asks for them.
    """

    number: Annotated[int, Field(ge=0, lt=1000)]
    statistics: dict[Text, dict[Text, tuple[float, float]]]


class SystemHeader(_Frozen):
    """Everything that is known about a packed run of a published system; see `ModelHeader`.

    Attributes
    ----------
    labels : str
        Label convention of the dataset that it was trained on.
    recipe : dict
        All fields of the recipe, for `renalis.recipes.System`.
    needs : tuple of Need
        What it names that renalis does not have, with the packages that do.
    folds : tuple of FoldFacts
        Their predictions are averaged.
    """

    format: Literal[2] = 2
    name: Name
    version: Text
    created: Text
    labels: ScoredName
    recipe: dict[str, JsonValue]
    needs: tuple[Need, ...] = ()
    folds: Annotated[tuple[FoldFacts, ...], Field(min_length=1)]
    training: dict[str, JsonValue] = {}
    cases: KnownCases | None = None
    licence: Text
    commercial_use: bool
    data_credit: Text
    scores: dict[str, JsonValue] = {}
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
