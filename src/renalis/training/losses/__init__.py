"""Terms of a loss, and their weighted sum over a network's outputs."""

from renalis.training.losses.overlap import Dice, Tversky
from renalis.training.losses.registry import Term, build_term, register_term
from renalis.training.losses.renal import RenalCrossEntropyDice
from renalis.training.losses.total import LossTerm, total_loss
from renalis.training.losses.voxels import (
    BinaryCrossEntropy,
    CrossEntropy,
    Focal,
    SquaredError,
    voxel_mean,
)

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Dice",
    "Focal",
    "LossTerm",
    "RenalCrossEntropyDice",
    "SquaredError",
    "Term",
    "Tversky",
    "build_term",
    "register_term",
    "total_loss",
    "voxel_mean",
]
