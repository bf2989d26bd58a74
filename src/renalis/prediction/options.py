"""What can be chosen about a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from renalis.model_header import Stage
    from renalis.preparation import Interpolation

__all__ = ["Mirror", "PredictionOptions", "RuntimeName", "Windows"]

_SHARES = (
    "coarse_weight",
    "large_weight",
    "cyst_at",
    "lesion_at",
    "tumor_sure",
    "large_tumor_sure",
    "cyst_sure",
    "large_cyst_sure",
    "tumor_ball",
    "cyst_ball",
    "lobed_cyst_sure",
    "tumor_outside",
    "lesion_sure",
    "maybe_tumor",
)


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
        What computes the networks.
    mirror : Mirror
        Mirrored predictions to average; the fine pass only.
    windows : Windows
        Where the fine pass's windows lie.
    interpolation : {"average", "linear", "cubic"} or None
        How the fine pass's image is made of the scan; None for the way its network learned from.
    overlap : float
        Share of a window that its neighbour covers as well, 0 to 0.9.
    together : int
        Most windows that a network that normalizes windows together sees at a time; more take more
        memory. Where there is a large mass (``large_mm``) it is 1: windows full of it say nothing
        about the others.
    coarse_weight : float
        Weight of the coarse pass in the final probabilities, 0 to 1.
    large_mm, large_weight : float
        Where a ball of this diameter (mm) fits into what the coarse pass calls renal, it has this
        weight instead: a mass of that size fills a window of the fine pass, which then cannot tell
        what it is.
    find_at : float
        Renal probability in the coarse pass above which a place is looked at closely.
    find_ml : float
        Least volume (ml) of such a place.
    reach_mm : float
        How far (mm) beyond the coarse pass's finding the fine pass may find renal tissue.
    cyst_at : float
        Least probability of anything renal in a voxel that is most likely cyst; below, it is
        fluid that belongs to no label, such as the renal pelvis.
    lesion_at : float
        A renal voxel is tumor or cyst when these have at least this share of its renal
        probability; below, it is kidney.
    tumor_sure, large_tumor_sure, cyst_sure, large_cyst_sure : float
        Least mean share of its kind over a whole lesion, for tumors up to 5 ml, from 60 ml (in
        between it rises), for cysts, and for cysts from 60 ml on; below, a tumor is kidney and a
        cyst is fluid that belongs to no label, unless it is a part of a tumor.
    tumor_ball : float
        Least share of a lesion of less than 60 ml that the largest ball inside fills; below, its
        tumor is kidney.
    cyst_ball, lobed_cyst_sure : float
        A cyst of less than 60 ml of which the largest ball inside fills less than ``cyst_ball`` has
        to be as sure as ``lobed_cyst_sure``: a widened renal pelvis reaches into the calyces.
    tumor_outside : float
        Most mean probability of nothing renal over a whole tumor; above, it gets no label: bowel or
        a vessel beside the kidney looks like that.
    lesion_sure, maybe_tumor, unclear_ml : float
        A lesion that is surely neither tumor nor cyst is called a tumor when its mean probability
        of both together is at least ``lesion_sure``, the tumor's part of that at least
        ``maybe_tumor``, and its volume at least ``unclear_ml`` (ml): small ones are fluid in the
        renal sinus.
    tumor_ml : float
        Least volume (ml) of a tumor; smaller ones are kidney.
    max_ram_mb : float or None
        If more memory (MB) may be needed, ``keep_heap`` is given up; if the coarse pass needs more,
        or what it finds does, the prediction is refused.
    keep_heap : bool
        Keep freed activations in the process's heap (glibc): faster, at the cost of memory.
    threads : int or None
        Threads for the networks; None for all cores.
    """

    runtime: RuntimeName = RuntimeName.AUTO
    mirror: Mirror = Mirror.FOUR
    windows: Windows = Windows.FITTED
    interpolation: Interpolation | None = None
    overlap: float = 0.33
    together: int = 6
    coarse_weight: float = 0.05
    large_mm: float = 70.0
    large_weight: float = 0.5
    find_at: float = 0.4
    find_ml: float = 2.0
    reach_mm: float = 16.0
    cyst_at: float = 0.6
    lesion_at: float = 0.5
    tumor_sure: float = 0.4
    large_tumor_sure: float = 0.55
    cyst_sure: float = 0.8
    large_cyst_sure: float = 0.7
    tumor_ml: float = 2.0
    tumor_ball: float = 0.18
    cyst_ball: float = 0.42
    lobed_cyst_sure: float = 0.92
    tumor_outside: float = 0.25
    lesion_sure: float = 0.7
    maybe_tumor: float = 0.25
    unclear_ml: float = 4.0
    max_ram_mb: float | None = None
    keep_heap: bool = True
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= 0.9:
            raise ValueError(f"overlap is a share from 0 to 0.9, not {self.overlap}")
        if self.together < 1:
            raise ValueError(f"together is a number of windows from 1 on, not {self.together}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")

    def interpolated(self, stage: Stage) -> Interpolation:
        """How a stage's image is made of the scan; ``interpolation`` concerns the fine one only."""
        chosen = self.interpolation if stage.name == "fine" else None
        return chosen or stage.interpolation
