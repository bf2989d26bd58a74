"""The tidying rules: what each one does, its numbers, and why.

Each rule is a small frozen configuration with its own switch. Numbers are in mm, ml and HU and
never in voxels, so that a rule means the same on every grid. ``docs/explanation/tidying.md`` says
what the rules do to real label maps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

__all__ = [
    "DEFAULT",
    "NONE",
    "AttachedRule",
    "BodyRule",
    "DensityRule",
    "HolesRule",
    "ImpossibleRule",
    "LateralRule",
    "MinimumVolumeRule",
    "Rules",
    "VoteRule",
]


@dataclass(frozen=True)
class BodyRule:
    """Labels outside the body, or in air, are dropped.

    Why: no tissue is there. Networks that saw only abdomens predict kidney on the table, on arms'
    edges and in lung; the publications' crops hid this, a scan from practice does not.

    Attributes
    ----------
    on : bool
        Whether the rule runs.
    air_hu : float
        Voxels below this are air (HU). Fat in an angiomyolipoma (about -100 HU) stays.
    """

    on: bool = True
    air_hu: float = -500.0


@dataclass(frozen=True)
class DensityRule:
    """Kidney that is as dense as bone or as fat is dropped.

    Why: mean parenchyma lies between about 20 HU unenhanced and 250 HU in the corticomedullary
    phase (Birnbaum et al., Radiology 1996); a network trained on synthetic bones takes a real
    femur for a kidney now and then. Judged component by component, by the median.

    Attributes
    ----------
    on : bool
        Whether the rule runs.
    low_hu, high_hu : float
        Medians outside this range (HU) are no parenchyma.
    """

    on: bool = True
    low_hu: float = -30.0
    high_hu: float = 320.0


@dataclass(frozen=True)
class ImpossibleRule:
    """Components that cannot be a kidney are dropped: bone, and what lies above most of the lungs.

    Why: a network trained on abdomens takes a humeral head in a chest CT for a kidney, marrow as
    dense as enhanced parenchyma in a shell of bone. Bone is dense in the component and around it. A
    kidney with stones, a stent or excreted contrast medium is dense inside alone, one next to a
    rib around alone. No kidney has half of the lungs below it, not even one that slipped through
    the diaphragm; one that is as large as a kidney, and of which the network is sure, is only
    called doubtful, because the scan may be upside down. `renalis.postprocessing.kidney_check` says
    how sure it is that what stays is a kidney.

    Attributes
    ----------
    on : bool
        Whether the rule runs.
    mineral_inside, mineral_around : float
        From these shares above 300 HU on, of the component and of what lies within 4 mm around it
        outside its convex hull, it is bone.
    lungs_below, lungs_below_ml : float
        From this share of the lungs, and this volume (ml), below its lowest point on, it lies too
        high.
    safe_ml, safe_at : float
        From this volume (ml) and this mean probability on, a component stays.
    least_ml : float
        Smaller components (ml) are left to the other rules.
    """

    on: bool = True
    mineral_inside: float = 0.15
    mineral_around: float = 0.1
    lungs_below: float = 0.5
    lungs_below_ml: float = 100.0
    safe_ml: float = 60.0
    safe_at: float = 0.85
    least_ml: float = 0.5


@dataclass(frozen=True)
class HolesRule:
    """Small cavities that are closed on all sides get the label around them.

    Why: a pinhole is noise, a larger enclosed cavity is renal sinus: in the reference label maps
    of KiTS23 enclosed sinus fat reaches several ml, so filling everything would be wrong.

    Attributes
    ----------
    on : bool
        Whether the rule runs.
    max_ml : float
        Cavities up to this volume (ml) are filled.
    """

    on: bool = True
    max_ml: float = 0.02


@dataclass(frozen=True)
class VoteRule:
    """One lesion gets one kind, tumor or cyst; two lesions that touch stay two.

    A part of one kind is taken over by the other kind around it when it is the smaller of the two
    and shares more than ``contact`` of its surface with it. Why that measure: a plane cut through
    one convex lesion gives the smaller part at least a third of its surface as contact, whereas
    two convex lesions that touch share less; of the touching tumor-cyst pairs above 2 ml in the
    KiTS23 references all stay below 0.3.

    Attributes
    ----------
    on : bool
        Whether the rule runs.
    contact : float
        Share of the smaller part's surface, 0 to 1.
    """

    on: bool = True
    contact: float = 0.3


@dataclass(frozen=True)
class AttachedRule:
    """A lesion belongs to a kidney: components of lesion far from every kidney are dropped.

    Why: the cascade of Humpire-Mamani et al. (KiTS19) drops tumors that touch no kidney; their
    group's later program keeps them within 4 mm, or above 100 ml, because a tumor can replace its
    kidney. Here a large one stays only where a kidney is missing: lateral, on a side without one.
    Otherwise any large cystic mass in the pelvis would pass.

    Attributes
    ----------
    on : bool
        Whether the rule runs.
    within_mm : float
        Largest distance between voxel centers of lesion and kidney (mm); touching always counts.
    alone_ml : float
        A lesion of at least this volume (ml) may stand for a kidney that is missing on its side.
    alone_lateral_mm : float
        Such a lesion's center lies at least this far (mm) from the midline.
    """

    on: bool = True
    within_mm: float = 4.0
    alone_ml: float = 100.0
    alone_lateral_mm: float = 30.0


@dataclass(frozen=True)
class MinimumVolumeRule:
    """Components too small to be a kidney, and lesions too small to be told apart, go.

    Why: the smallest kidney (with its lesions) in the KiTS23 references has 44 ml and the smallest
    parenchyma 18 ml; shrunken kidneys are smaller than anything in that data. A kidney that the
    scan's border cuts may show only a slice. A component close to a kidney is part of it. Lesions
    below 0.1 ml (6 mm across) that lie in a kidney become kidney again.

    Attributes
    ----------
    on : bool
        Whether the rule runs.
    kidney_ml : float
        Least volume (ml) of a component with its lesions to stand as a kidney.
    parenchyma_ml : float
        Least parenchyma (ml) for a component to count as a kidney and not as a lesion.
    border_ml : float
        The same as ``kidney_ml`` for components cut by the scan's border.
    lesion_ml : float
        Least volume (ml) of a lesion.
    fragment_mm : float
        Components within this distance (mm) of a kidney belong to it and stay.
    """

    on: bool = True
    kidney_ml: float = 15.0
    parenchyma_ml: float = 3.0
    border_ml: float = 1.0
    lesion_ml: float = 0.1
    fragment_mm: float = 4.0


@dataclass(frozen=True)
class LateralRule:
    """Small components on the midline, and small second ones on a side, are dropped.

    Why: kidneys lie next to the spine; what lies on it is vertebra, great vessel or bowel. The
    cascade of Humpire-Mamani et al. (KiTS19) keeps the largest component on each side of the scan's
    middle, which loses transplants and cuts horseshoe kidneys.
    So size protects here: whatever is as large as a kidney stays, wherever it lies and however
    many there are, and is called "other" when the side is unclear. It has to be parenchyma,
    though: a cystic mass in the pelvis with a rim of kidney label is none.

    Attributes
    ----------
    on : bool
        Whether the rule runs.
    midline_mm : float
        A component that stays within this distance (mm) of the midline on both sides lies on it.
    midline_ml : float
        Components on the midline of at least this volume (ml) stay (a pelvic kidney).
    second_ml : float
        On a side that has a larger kidney, components of at least this volume (ml) stay.
    parenchyma_share : float
        Size protects only components of which at least this share is parenchyma.
    """

    on: bool = True
    midline_mm: float = 25.0
    midline_ml: float = 40.0
    second_ml: float = 40.0
    parenchyma_share: float = 0.4


@dataclass(frozen=True)
class Rules:
    """All rules, in the order in which they run.

    ``Rules().without("holes", "vote")`` switches rules off by name.
    """

    body: BodyRule = field(default_factory=BodyRule)
    density: DensityRule = field(default_factory=DensityRule)
    impossible: ImpossibleRule = field(default_factory=ImpossibleRule)
    holes: HolesRule = field(default_factory=HolesRule)
    vote: VoteRule = field(default_factory=VoteRule)
    minimum_volume: MinimumVolumeRule = field(default_factory=MinimumVolumeRule)
    lateral: LateralRule = field(default_factory=LateralRule)
    attached: AttachedRule = field(default_factory=AttachedRule)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all rules, in the order in which they run."""
        return tuple(entry.name for entry in fields(cls))

    def without(self, *names: str) -> Rules:
        """The same rules with some of them switched off.

        Raises
        ------
        ValueError
            If there is no rule of that name.
        """
        unknown = sorted(set(names) - set(self.names()))
        if unknown:
            raise ValueError(f"no rule is called {unknown[0]!r}; rules: {', '.join(self.names())}")
        return replace(self, **{name: replace(getattr(self, name), on=False) for name in names})


DEFAULT = Rules()
"""Every rule on, with the documented numbers."""

NONE = DEFAULT.without(*Rules.names())
"""Every rule off: labels come back as they went in."""
