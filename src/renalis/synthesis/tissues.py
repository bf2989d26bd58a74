"""Tissues of the synthetic body and their CT numbers in four contrast phases.

Ranges are means over patients from which one value per scan is drawn; the texture inside a tissue
is added on top. They reach as far as what real slices show (``docs/synthesis-against-real.md``),
and start from these sources:

- unenhanced organs: Lamba et al., AJR 2014;203:1013-1020 (liver 40-65, spleen 40-55, kidney 25-40,
  pancreas 25-50, muscle 45-65 HU);
- kidney and renal tumor enhancement by phase: Birnbaum et al., Radiology 1996;200:753-758; Kim et
  al., AJR 2002;178:1499-1506; Silverman et al., Radiology 2008;249:16-31 (simple cyst below 20 HU,
  hyperdense cyst above 70 HU before contrast);
- fat, lung, bone, air: Schneider et al., Phys Med Biol 1996;41:111-124.

Bone, metal, bowel content and vessels are wide on purpose: a network that has seen more than
happens is not surprised by what does.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import numpy as np

__all__ = ["BOWEL_SLOTS", "HU_RANGES", "LABEL_OF_TISSUE", "RENAL", "TEXTURE", "Phase", "Tissue"]


class Phase(StrEnum):
    """When after the injection the scan was made."""

    UNENHANCED = "unenhanced"
    CORTICOMEDULLARY = "corticomedullary"
    NEPHROGRAPHIC = "nephrographic"
    EXCRETORY = "excretory"


class Tissue(IntEnum):
    """Voxel values of a tissue map (uint8)."""

    AIR = 0
    SKIN = 1
    FAT = 2
    VISCERAL_FAT = 3
    MUSCLE = 4
    CORTICAL_BONE = 5
    SPONGY_BONE = 6
    DISC = 7
    SPINAL_CANAL = 8
    LUNG = 9
    LIVER = 10
    SPLEEN = 11
    STOMACH_CONTENT = 12
    GAS = 13
    GALLBLADDER = 14
    PANCREAS = 15
    ADRENAL = 16
    BOWEL_WALL = 17
    COLLAPSED_BOWEL = 18
    ARTERY = 19
    VEIN = 20
    PORTAL_VEIN = 21
    HEART = 22
    BLADDER = 23
    PELVIC_ORGAN = 24
    CARTILAGE = 25
    CALCIFICATION = 26
    METAL = 27
    TABLE = 28
    FLUID = 29
    MASS_WALL = 30
    MASS_CONTENT = 31
    ORGAN_LESION = 32
    LYMPH_NODE = 33
    CORTEX = 40
    MEDULLA = 41
    SINUS_FAT = 42
    COLLECTING_SYSTEM = 43
    STONE = 44
    TUMOR_A = 45
    TUMOR_B = 46
    NECROSIS = 47
    CYST_A = 48
    CYST_B = 49
    TUMOR_WALL = 50
    CYST_WALL = 51
    PERIRENAL_STRAND = 52
    CALYX = 53
    INNER_VESSEL = 54
    BOWEL_0 = 60
    BOWEL_1 = 61
    BOWEL_2 = 62
    BOWEL_3 = 63
    BOWEL_4 = 64
    BOWEL_5 = 65


BOWEL_SLOTS = tuple(range(Tissue.BOWEL_0, Tissue.BOWEL_5 + 1))
"""Contents of bowel loops; what is in a slot is drawn anew for every scan."""

_T = Tissue
RENAL = {
    _T.CORTEX: 1,
    _T.MEDULLA: 1,
    _T.CALYX: 1,
    _T.INNER_VESSEL: 1,
    _T.TUMOR_A: 2,
    _T.TUMOR_B: 2,
    _T.NECROSIS: 2,
    _T.TUMOR_WALL: 2,
    _T.CYST_A: 3,
    _T.CYST_B: 3,
    _T.CYST_WALL: 3,
}
"""Label (KiTS23) of the tissues that are annotated.

The annotators left out fat alone: calyces and vessels inside of a kidney are labelled kidney. Fat
of the sinus, and the pelvis and vessels outside of the outline, are not."""

LABEL_OF_TISSUE = np.zeros(256, np.uint8)
"""KiTS23 label of every tissue code."""
for _tissue, _label in RENAL.items():
    LABEL_OF_TISSUE[_tissue] = _label

Range = tuple[float, float]

HU_RANGES: dict[Tissue, tuple[Range, Range, Range, Range]] = {
    # tissue: unenhanced, corticomedullary, nephrographic, excretory
    _T.AIR: ((-1005, -985),) * 4,
    _T.SKIN: ((-10, 60),) * 4,
    _T.FAT: ((-118, -88),) * 4,
    _T.VISCERAL_FAT: ((-115, -82),) * 4,
    _T.MUSCLE: ((25, 66), (25, 68), (27, 70), (27, 70)),
    _T.CORTICAL_BONE: ((220, 1000),) * 4,
    _T.SPONGY_BONE: ((30, 300),) * 4,
    _T.DISC: ((50, 115),) * 4,
    _T.SPINAL_CANAL: ((5, 45),) * 4,
    _T.LUNG: ((-900, -720),) * 4,
    _T.LIVER: ((38, 70), (36, 95), (55, 130), (55, 115)),
    _T.SPLEEN: ((38, 58), (60, 160), (70, 145), (65, 115)),
    _T.STOMACH_CONTENT: ((-10, 60), (-10, 60), (-10, 60), (-10, 60)),
    _T.GAS: ((-1000, -930),) * 4,
    _T.GALLBLADDER: ((-2, 25), (-2, 25), (-2, 25), (0, 40)),
    _T.PANCREAS: ((20, 52), (65, 125), (70, 115), (50, 90)),
    _T.ADRENAL: ((0, 40), (40, 100), (45, 95), (30, 75)),
    _T.BOWEL_WALL: ((22, 52), (40, 115), (50, 115), (40, 85)),
    _T.COLLAPSED_BOWEL: ((20, 52), (35, 110), (45, 110), (35, 80)),
    _T.ARTERY: ((32, 52), (130, 380), (95, 190), (80, 140)),
    _T.VEIN: ((32, 52), (45, 150), (100, 175), (80, 135)),
    _T.PORTAL_VEIN: ((32, 52), (60, 180), (120, 190), (85, 130)),
    _T.HEART: ((34, 52), (130, 320), (100, 170), (80, 130)),
    _T.BLADDER: ((-5, 15), (-5, 15), (-2, 40), (30, 600)),
    _T.PELVIC_ORGAN: ((30, 58), (60, 130), (75, 135), (60, 105)),
    _T.CARTILAGE: ((60, 180),) * 4,
    _T.CALCIFICATION: ((250, 1100),) * 4,
    _T.METAL: ((2000, 3071),) * 4,
    _T.TABLE: ((-850, 50),) * 4,
    _T.FLUID: ((-5, 25),) * 4,
    _T.MASS_WALL: ((25, 55), (45, 110), (55, 115), (45, 90)),
    _T.MASS_CONTENT: ((-5, 60), (-5, 80), (-5, 95), (-5, 80)),
    _T.ORGAN_LESION: ((0, 45), (0, 110), (0, 90), (0, 80)),
    _T.LYMPH_NODE: ((25, 50), (45, 100), (55, 110), (45, 85)),
    _T.CORTEX: ((24, 44), (85, 250), (85, 215), (75, 170)),
    _T.MEDULLA: ((24, 44), (45, 110), (75, 205), (70, 170)),
    _T.SINUS_FAT: ((-110, -60),) * 4,
    _T.COLLECTING_SYSTEM: ((-3, 18), (-3, 25), (-2, 60), (120, 1100)),
    _T.CALYX: ((-3, 18), (-3, 25), (-2, 60), (120, 1100)),
    _T.INNER_VESSEL: ((32, 52), (45, 150), (100, 175), (80, 135)),
    _T.STONE: ((250, 1500),) * 4,
    _T.TUMOR_A: ((18, 52), (25, 190), (25, 140), (25, 110)),
    _T.TUMOR_B: ((18, 55), (25, 160), (25, 130), (25, 110)),
    _T.NECROSIS: ((0, 32), (0, 50), (0, 50), (0, 45)),
    _T.CYST_A: ((-6, 18), (-6, 20), (-6, 22), (-6, 24)),
    _T.CYST_B: ((-5, 90), (-5, 90), (-5, 90), (-5, 90)),
    _T.TUMOR_WALL: ((22, 52), (50, 170), (55, 140), (45, 110)),
    _T.CYST_WALL: ((0, 40), (0, 70), (5, 75), (5, 65)),
    _T.PERIRENAL_STRAND: ((-70, 10),) * 4,
    **{Tissue(slot): ((0, 40),) * 4 for slot in BOWEL_SLOTS},
}
"""Range of the mean CT number in HU, for each phase. Bowel slots are set by ``appearance``."""

TEXTURE: dict[Tissue, tuple[float, float]] = {
    # tissue: (fine, coarse) standard deviation in HU; others have (3, 2)
    _T.AIR: (0, 0),
    _T.FAT: (5, 3),
    _T.VISCERAL_FAT: (9, 7),
    _T.MUSCLE: (8, 6),
    _T.CORTICAL_BONE: (120, 60),
    _T.SPONGY_BONE: (50, 30),
    _T.LUNG: (70, 30),
    _T.STOMACH_CONTENT: (15, 15),
    _T.PANCREAS: (14, 8),
    _T.MEDULLA: (9, 10),
    _T.CORTEX: (9, 10),
    _T.SINUS_FAT: (20, 10),
    _T.TUMOR_A: (8, 14),
    _T.TUMOR_B: (14, 24),
    _T.NECROSIS: (5, 8),
    _T.CYST_A: (1, 1),
    _T.CYST_B: (2, 2),
    _T.TABLE: (60, 30),
    _T.HEART: (8, 12),
    _T.PELVIC_ORGAN: (6, 8),
    _T.MASS_CONTENT: (4, 6),
}
