"""Parts of a recipe that say how a network learns: losses, optimizer, schedule, stop, rounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from renalis.plugins import TERMS
from renalis.recipes.by_name import ByName
from renalis.recipes.fields import Frozen, NonNegative, Positive, Share

__all__ = [
    "Constant",
    "CrossEntropy",
    "Dice",
    "EmaPlateau",
    "Exponential",
    "Focal",
    "FreezeRound",
    "LossTerm",
    "Optimisation",
    "RenalCrossEntropyDice",
    "Schedule",
    "SquaredError",
    "Step",
    "Stop",
    "TermOptions",
    "Tversky",
    "WarmupLinear",
]


class TermOptions(Frozen):
    """A term of the loss: ``weight`` times what it says about the network's output ``output``.

    ``term`` says which; those of other packages begin with these fields too.
    """

    weight: NonNegative
    output: Literal["seg", "low", "cls"] = "seg"
    term: str


class CrossEntropy(TermOptions):
    """Cross-entropy over voxels: ``ce`` of softmax classes, ``bce`` of one sigmoid channel.

    ``top_k`` is the share of the voxels, those with the largest loss, that count;
    ``ranks`` says whether class weights are applied before ranking or after.
    ``pixel_weights`` multiplies with the grid's weight map.
    """

    term: Literal["ce", "bce"]
    class_weights: tuple[Positive, ...] | None = None
    pixel_weights: bool = False
    top_k: Annotated[float, Field(gt=0, le=1)] | None = None
    ranks: Literal["weighted", "unweighted"] = "weighted"


class Dice(TermOptions):
    """1 - Dice, mean over ``regions``, each a union of classes.

    ``hard`` takes it of the winning classes, as the published code of R3: no gradient.
    ``over``: all voxels of the batch together, or each sample alone.
    """

    term: Literal["dice"]
    regions: tuple[tuple[PositiveInt, ...], ...]
    mode: Literal["soft", "hard"] = "soft"
    smooth: NonNegative
    over: Literal["batch", "sample"] = "batch"


class SquaredError(TermOptions):
    """Mean squared error of the sigmoid of an output."""

    term: Literal["mse"]


class Tversky(TermOptions):
    """1 - Tversky index to the power ``gamma``.

    ``alpha`` weighs false positives, ``beta`` false negatives.
    """

    term: Literal["tversky"]
    regions: tuple[tuple[PositiveInt, ...], ...]
    alpha: NonNegative
    beta: NonNegative
    gamma: Positive = 1.0
    smooth: NonNegative = 1e-5
    over: Literal["batch", "sample"] = "batch"


class Focal(TermOptions):
    """Cross-entropy times (1 - p) to the power ``gamma``."""

    term: Literal["focal"]
    gamma: NonNegative
    class_weights: tuple[Positive, ...] | None = None


class RenalCrossEntropyDice(TermOptions):
    """Where is anything renal, and what is it? Of background, kidney, tumor and cyst.

    See ``renalis.training.losses.renal``; ``class_weights`` of the four in its cross-entropies.
    """

    term: Literal["renal_ce_dice"]
    class_weights: tuple[Positive, Positive, Positive, Positive] = (1.0, 1.0, 1.0, 1.0)


LossTerm = Annotated[
    CrossEntropy | Dice | SquaredError | Tversky | Focal | RenalCrossEntropyDice | TermOptions,
    ByName(TERMS, "term", TermOptions),
]
"""One of renalis's own, or of an installed package."""


class Constant(Frozen):
    """The learning rate stays."""

    kind: Literal["constant"]


class Step(Frozen):
    """Times ``gamma`` every ``epochs`` epochs."""

    kind: Literal["step"]
    epochs: PositiveInt
    gamma: Positive


class Exponential(Frozen):
    """Times ``gamma`` after every epoch."""

    kind: Literal["exponential"]
    gamma: Positive


class EmaPlateau(Frozen):
    """Times ``factor`` when the smoothed training loss has not fallen for ``window`` epochs.

    ``ema`` is the weight of the past in the smoothing; no further fall before ``cooldown`` epochs
    have passed; never below ``minimum``.
    """

    kind: Literal["ema_plateau"]
    window: PositiveInt
    factor: Annotated[float, Field(gt=0, lt=1)]
    ema: Share
    minimum: NonNegative
    cooldown: NonNegativeInt


class WarmupLinear(Frozen):
    """Rises over ``warmup`` steps, stays, and falls linearly to zero over the last ones.

    ``decay_share`` is the part of all steps in which it falls; ``stop.epochs`` says how many there
    are.
    """

    kind: Literal["warmup_linear"]
    warmup: NonNegativeInt
    decay_share: Share


Schedule = Annotated[
    Constant | Step | Exponential | EmaPlateau | WarmupLinear, Field(discriminator="kind")
]


class Stop(Frozen):
    """When training ends: whatever comes first.

    ``epochs``: at most so many. ``rises``: the validation loss rose so many times in a row.
    ``patience``: so many epochs without a better ``monitor``. ``reach``: ``monitor`` got so good.
    ``minutes`` of wall-clock time, for comparisons at equal cost; ``cpu_minutes`` of computing (of
    the training process, all its cores together), for such on a machine that others use too.
    """

    epochs: PositiveInt
    rises: PositiveInt | None = None
    patience: PositiveInt | None = None
    reach: Share | None = None
    minutes: Positive | None = None
    cpu_minutes: Positive | None = None
    monitor: Literal["val_loss", "val_dice", "low_dice"] = "val_loss"


class FreezeRound(Frozen):
    """A part of the training in which some weights stand still.

    ``outputs`` are the network's outputs whose loss terms count. Parameters whose name begins with
    one of ``frozen`` do not learn, and their batch statistics stand still, except those that begin
    with one of ``learning``.
    """

    name: str
    outputs: tuple[Literal["seg", "low", "cls"], ...]
    frozen: tuple[str, ...] = ()
    learning: tuple[str, ...] = ()
    stop: Stop


class Optimisation(Frozen):
    """Optimizer, schedule, stop and what is kept.

    Parameters
    ----------
    batch : int
        Samples (before augmented copies) of one optimizer step.
    micro_batch : int or None
        Samples in memory at once; gradients are averaged over the batch. None: all.
    keep : str
        The weights that are the result.
    validation_cases : int or None
        Cases scored after each epoch; None: all.
    validation_near_mm : float or None
        Of tiles: after each epoch only those are computed that come so near to a label of the
        reference (along each axis; 0: that hold some of it), the rest counts as background. None:
        all that the gate lets through. Predictions are whole in any case.
    gradient_clip : float or None
        Largest norm of the gradient.
    average : float or None
        Weight of the past in a moving average of the weights over the steps, which is validated and
        kept in place of the weights.
    deep_weights : tuple of float
        Weights of the losses of lower resolutions, when the network has deep supervision.
    rounds : tuple of FreezeRound
        None: everything learns from the start and ``stop`` holds. Otherwise one after another;
        ``stop.epochs`` then bounds all together.
    """

    optimizer: Literal["adam", "adamw", "muon"]
    learning_rate: Positive
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    schedule: Schedule
    stop: Stop
    keep: Literal["best_loss", "best_dice", "last"]
    batch: PositiveInt
    micro_batch: PositiveInt | None = None
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_clip: Positive | None = None
    average: Annotated[float, Field(ge=0, lt=1)] | None = None
    validation_cases: PositiveInt | None = None
    validation_near_mm: NonNegative | None = None
    deep_weights: tuple[NonNegative, ...] = ()
    rounds: tuple[FreezeRound, ...] = ()

    @model_validator(mode="after")
    def _micro_divides(self) -> Optimisation:
        if self.micro_batch is not None and self.batch % self.micro_batch:
            raise ValueError("batch must be a multiple of micro_batch")
        return self
