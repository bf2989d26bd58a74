"""CT numbers for a tissue map: what a patient's tissues look like in one contrast phase.

An anatomy is expensive and its appearance is cheap, so one tissue map is rendered many times, each
time with other CT numbers, textures and bowel contents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from renalis.synthesis.annotated_border import OUTLINE_MM, mix_border
from renalis.synthesis.random_fields import Array, smooth_field
from renalis.synthesis.tissues import BOWEL_SLOTS, HU_RANGES, TEXTURE, Phase, Tissue

__all__ = ["PHASE_SHARE", "Appearance", "draw_appearance", "mottled", "render"]

_PHASES = tuple(Phase)
PHASE_SHARE = (0.32, 0.3, 0.28, 0.1)
"""How often each contrast phase is drawn, in the order of `Phase`."""
_WEAK_SHARE = 0.2
# Name of the content: (HU range, fine texture, coarse texture, share).
_BOWEL_CONTENTS = {
    "fluid": ((-5, 30), 3, 4, 0.27),
    "soft": ((22, 50), 5, 6, 0.2),
    "food": ((-20, 65), 22, 22, 0.13),
    "stool": ((-110, 60), 90, 50, 0.18),
    "dilute contrast": ((45, 150), 10, 15, 0.1),
    "contrast": ((150, 600), 30, 40, 0.1),
    "milk": ((-60, 5), 8, 8, 0.02),
}


@dataclass(frozen=True)
class Appearance:
    """Look-up tables by tissue code, each of shape (256,), float32, in HU.

    ``mean`` is the CT number; ``fine`` and ``coarse`` are the standard deviations of two textures
    that vary over about 3 mm and 10 mm. ``outline_mm``: how far outside of the kidneys' edge their
    outlines lie (`renalis.synthesis.annotated_border`). ``towards_next``: how far the scan lies on
    the way to the next phase, 0 to 1; ``dose``: by what part of its phase all is enhanced.
    """

    phase: Phase
    mean: Array
    fine: Array
    coarse: Array
    outline_mm: float = 0.0
    towards_next: float = 0.0
    dose: float = 1.0


def draw_appearance(
    rng: np.random.Generator,
    phase: Phase | None = None,
    shares: tuple[float, ...] = PHASE_SHARE,
) -> Appearance:
    """Draw the CT numbers of one scan.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    phase : Phase, optional
        Contrast phase; drawn when not given.
    shares : tuple of float
        How often each phase is drawn, in the order of `Phase`; the sum is 1.

    Returns
    -------
    Appearance
        One value per tissue. A third of the enhanced scans lie between two phases.
    """
    index = _PHASES.index(phase) if phase else int(rng.choice(4, p=shares))
    towards = min(index + 1, 3)
    blend = float(rng.random()) if index and rng.random() < 0.35 else 0.0
    mean = np.full(256, -1000.0)
    fine = np.full(256, 3.0)
    coarse = np.full(256, 2.0)
    wide = rng.uniform(0.0, 0.12)  # some patients lie outside the textbook
    # A small dose in a large patient, or an early scan, enhances everything less.
    dose = float(rng.uniform(0.3, 0.9)) if rng.random() < _WEAK_SHARE else 1.0
    for tissue, ranges in HU_RANGES.items():
        share = rng.uniform(-wide, 1 + wide)
        values = [low + share * (high - low) for low, high in ranges]
        enhanced = (1 - blend) * values[index] + blend * values[towards]
        mean[tissue] = values[0] + dose * (enhanced - values[0])
    for tissue, (small, large) in TEXTURE.items():
        fine[tissue], coarse[tissue] = small, large
    _relate_kidney(mean, index, rng)
    _relate_lesions(mean, index, rng)
    if rng.random() < 0.15:  # fatty liver
        mean[Tissue.LIVER] -= rng.uniform(15, 55)
    if index == 0 and rng.random() < 0.3:  # unenhanced blood is as dense as the rest
        mean[[Tissue.ARTERY, Tissue.VEIN, Tissue.PORTAL_VEIN, Tissue.HEART]] = rng.uniform(30, 48)
    _fill_bowel(mean, fine, coarse, rng)
    scale, shift = rng.normal(1, 0.015), rng.normal(0, 4)
    mean = np.where(mean > -500, mean * scale + shift, mean)
    strength = rng.uniform(0.4, 1.5)
    return Appearance(
        _PHASES[index],
        mean.astype(np.float32),
        (fine * strength).astype(np.float32),
        (coarse * strength).astype(np.float32),
        float(np.clip(rng.normal(*OUTLINE_MM[:2]), 0, OUTLINE_MM[2])),
        blend,
        dose,
    )


def mottled(appearance: Appearance, rng: np.random.Generator) -> Appearance:
    """The same scan with uneven parenchyma, as an uneven perfusion or partial volumes make it."""
    coarse = appearance.coarse.copy()
    coarse[[Tissue.CORTEX, Tissue.MEDULLA]] *= np.float32(rng.uniform(1.5, 3.0))
    return replace(appearance, coarse=coarse)


def _relate_kidney(mean: NDArray[np.float64], phase: int, rng: np.random.Generator) -> None:
    """Cortex and medulla differ by the phase, not independently."""
    if phase == 0:
        mean[Tissue.MEDULLA] = mean[Tissue.CORTEX] + rng.uniform(-4, 3)
    elif phase >= 2:
        mean[Tissue.MEDULLA] = mean[Tissue.CORTEX] + rng.uniform(-30, 12)
    else:
        mean[Tissue.MEDULLA] = min(mean[Tissue.MEDULLA], mean[Tissue.CORTEX] - 10)
    mean[Tissue.CALYX] = mean[Tissue.COLLECTING_SYSTEM]
    mean[Tissue.INNER_VESSEL] = mean[Tissue.VEIN] if rng.random() < 0.7 else mean[Tissue.ARTERY]


def _relate_lesions(mean: NDArray[np.float64], phase: int, rng: np.random.Generator) -> None:
    """Tumors mostly differ from the parenchyma once contrast is given; some contain fat."""
    if phase == 0:
        mean[Tissue.TUMOR_A] = mean[Tissue.CORTEX] + rng.normal(0, 9)
    elif rng.random() < 0.5:
        mean[Tissue.TUMOR_A] = mean[Tissue.CORTEX] * rng.uniform(0.3, 0.85)
    if rng.random() < 0.04:  # angiomyolipoma
        mean[Tissue.TUMOR_B] = rng.uniform(-90, 0)


def _fill_bowel(
    mean: NDArray[np.float64],
    fine: NDArray[np.float64],
    coarse: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    kinds = list(_BOWEL_CONTENTS.values())
    shares = np.array([kind[3] for kind in kinds])
    if rng.random() < 0.55:  # no oral contrast given
        shares[4:6] = 0
    shares = shares / shares.sum()
    for slot in (*BOWEL_SLOTS, Tissue.STOMACH_CONTENT):
        (low, high), small, large, _ = kinds[int(rng.choice(len(kinds), p=shares))]
        mean[slot] = rng.uniform(low, high)
        fine[slot] = small * rng.uniform(0.5, 1.5)
        coarse[slot] = large * rng.uniform(0.5, 1.5)
    mean[Tissue.COLLAPSED_BOWEL] = mean[Tissue.BOWEL_WALL] - rng.uniform(0, 12)


def render(
    tissue: NDArray[np.uint8],
    appearance: Appearance,
    rng: np.random.Generator,
    spacing: float,
    reduction: int = 1,
) -> Array:
    """CT numbers without the scanner's blur and noise.

    Parameters
    ----------
    tissue : ndarray, shape (Z, Y, X), uint8
        ``Tissue`` codes.
    appearance : Appearance
        Look-up tables.
    rng : Generator
        Source of the textures.
    spacing : float
        Isotropic voxel size of the tissue map in mm.
    reduction : int
        Blocks of so many voxels along each axis are averaged.

    Returns
    -------
    ndarray, shape (Z, Y, X) // reduction, float32
        HU.
    """
    tables = np.stack([appearance.mean, appearance.fine, appearance.coarse])
    layers = []
    for number, table in enumerate(tables):
        layer = np.take(table, tissue)
        if number == 0:
            mix_border(layer, tissue, min(appearance.outline_mm / spacing, 1.0))
        if reduction > 1:
            layer = functional.avg_pool3d(torch.from_numpy(layer)[None, None], reduction)[
                0, 0
            ].numpy()
        layers.append(layer)
    size = spacing * reduction
    image, fine, coarse = layers
    fine *= smooth_field(rng, image.shape, max(1.2, 2.5 / size))
    coarse *= smooth_field(rng, image.shape, max(2.0, 9 / size))
    image += fine
    image += coarse
    return np.asarray(image, np.float32)
