"""Random changes of training samples, each a pure function of the sample and a generator.

Inputs are HU until `Normalize`; put transforms of HU (`HuShift`, `MaskInput`) and of places
(`Spatial`, `Flip`) before it, and those that count in the network's units (`Noise`,
`BrightnessContrast`) after it.
"""

from __future__ import annotations

from renalis.augmentation.compose import Compose, Sometimes, Transform, expand
from renalis.augmentation.derived_targets import MaskInput, Presence
from renalis.augmentation.intensity import (
    BrightnessContrast,
    HuShift,
    Noise,
    Normalize,
    brightness_contrast,
)
from renalis.augmentation.spatial import Flip, Spatial, flip
from renalis.augmentation.warp import Warp, rotation, warp_array

__all__ = [
    "BrightnessContrast",
    "Compose",
    "Flip",
    "HuShift",
    "MaskInput",
    "Noise",
    "Normalize",
    "Presence",
    "Sometimes",
    "Spatial",
    "Transform",
    "Warp",
    "brightness_contrast",
    "expand",
    "flip",
    "rotation",
    "warp_array",
]
