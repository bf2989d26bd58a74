"""What can be chosen about a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from renalis.compute_device import Device
from renalis.thresholds import RETIRED, Thresholds

if TYPE_CHECKING:
    from renalis.model_header import ModelHeader, Stage
    from renalis.preparation import Interpolation

__all__ = ["ON_CUDA", "Mirror", "PredictionOptions", "RuntimeName", "Windows"]


class RuntimeName(StrEnum):
    """What computes the networks."""

    AUTO = "auto"
    """The fastest on this machine whose labels agree with torch in float32; measured once."""
    TORCH = "torch"
    TORCH_BF16 = "torch-bf16"
    OPENVINO = "openvino"
    OPENVINO_BF16 = "openvino-bf16"
    ONNX = "onnx"
    """ONNX Runtime, in float32."""


ON_CUDA = (RuntimeName.AUTO, RuntimeName.TORCH, RuntimeName.TORCH_BF16)
"""Runtimes that can compute on a CUDA device."""


class Mirror(StrEnum):
    """Mirrored predictions that are averaged with the plain one."""

    NONE = "none"
    LEFT_RIGHT = "left-right"
    """Twice the time."""
    FOUR = "four"
    """Left and right, the body turned upside down (half a turn about its left-right axis), both;
    four times the time."""
    ALL = "all"
    """All eight combinations of flips; eight times the time."""


class Windows(StrEnum):
    """Where the fine pass's windows lie."""

    FITTED = "fitted"
    """As few as cover what the coarse pass found."""
    LATTICE = "lattice"
    """Where nnU-Net and MONAI lay them, half a window apart over the whole scan; only those with
    something renal near their middle. To compare labels with theirs."""


@dataclass(frozen=True)
class PredictionOptions:
    """How to predict.

    Attributes
    ----------
    runtime : RuntimeName
        What computes the networks; on CUDA torch does, so ``auto`` is ``torch``.
    device : {"cpu", "cuda"}
        Where it computes them.
    mirror : Mirror
        Mirrored predictions to average; the fine pass only.
    windows : Windows
        Where the fine pass's windows lie.
    interpolation : {"average", "linear", "cubic"} or None
        How the fine pass's image is made of the scan; None for the way its network learned from.
    overlap : float
        Share of a window that its neighbour covers as well, 0 to 0.9.
    longer : float
        By how much of its length each side of the fine pass's windows may grow, in whole strides of
        the network, where fewer voxels are computed then; 0 for windows as in the model's file, as
        they are where there is a large mass (``large_mm``) and with `Windows.LATTICE`.
    together : int
        Most windows that a network that normalizes windows together sees at a time, fewer of longer
        ones; more take more memory. Where there is a large mass (``large_mm``) it is 1: windows
        full of it say nothing about the others.
    thresholds : mapping of str to float
        By name, fields of `renalis.thresholds.Thresholds` to use in place of the model's.
    max_ram_mb : float or None
        If more memory (MB) may be needed, ``keep_heap`` is given up; if the coarse pass needs more,
        or what it finds does, the prediction is refused.
    keep_heap : bool
        Keep freed activations in the process's heap (glibc): faster, at the cost of memory.
    threads : int or None
        Threads for the networks; None for all cores.
    """

    runtime: RuntimeName = RuntimeName.AUTO
    device: Device = "cpu"
    mirror: Mirror = Mirror.FOUR
    windows: Windows = Windows.FITTED
    interpolation: Interpolation | None = None
    overlap: float = 0.33
    longer: float = 0.0
    together: int = 6
    thresholds: Mapping[str, float] = field(default_factory=dict)
    max_ram_mb: float | None = None
    keep_heap: bool = True
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 0.9:
            raise ValueError(f"overlap is a share from 0 to 0.9, not {self.overlap}")
        if not 0 <= self.longer <= 1:
            raise ValueError(f"longer is a share from 0 to 1, not {self.longer}")
        if self.together < 1:
            raise ValueError(f"together is a number of windows from 1 on, not {self.together}")
        if self.device == "cuda" and self.runtime not in ON_CUDA:
            raise ValueError(f"{self.runtime} computes on the CPU alone, not on {self.device}")
        Thresholds(**self.thresholds)  # refuses names and numbers that cannot be
        for name in RETIRED.keys() & self.thresholds.keys():
            raise ValueError(f"{name} decides nothing any more: {RETIRED[name]}")

    def decided_by(self, header: ModelHeader) -> Thresholds:
        """The model's thresholds with those that were chosen instead."""
        return header.thresholds.model_copy(update=dict(self.thresholds))

    def interpolated(self, stage: Stage) -> Interpolation:
        """How a stage's image is made of the scan; ``interpolation`` concerns the fine one only."""
        chosen = self.interpolation if stage.name == "fine" else None
        return chosen or stage.interpolation
