"""The page and the plot of `synthesis_against_real`, from its result file alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

GROUPS: dict[str, tuple[tuple[str, str, str], ...]] = {
    # heading: (measure, in words, unit)
    "CT numbers": (
        ("parenchyma_hu", "parenchyma", "HU"),
        ("cortex_minus_medulla", "cortex − medulla", "HU"),
        ("tumor_hu", "tumor", "HU"),
        ("tumor_rim", "tumor, rim", "HU"),
        ("tumor_core", "tumor, core", "HU"),
        ("tumor_rim_minus_core", "tumor, rim − core", "HU"),
        ("tumor_dark", "tumor, darkest 5 %", "HU"),
        ("tumor_bright", "tumor, brightest 5 %", "HU"),
        ("tumor_minus_parenchyma", "tumor − parenchyma", "HU"),
        ("cyst_hu", "cyst", "HU"),
        ("cyst_minus_parenchyma", "cyst − parenchyma", "HU"),
        ("liver_hu", "liver", "HU"),
        ("spleen_hu", "spleen", "HU"),
        ("muscle_hu", "muscle beside the spine", "HU"),
        ("aorta_hu", "aorta", "HU"),
    ),
    "Texture": tuple(
        (f"{name}_{kind}", f"{name}, {words}", unit)
        for kind, words, unit in (
            ("texture", "fine", "HU"),
            ("slow", "slow", "HU"),
            ("grain_mm", "grain", "mm"),
        )
        for name in ("parenchyma", "tumor", "cyst", "liver", "spleen", "muscle")
        if name != "cyst" or kind == "texture"
    ),
    "Edges and surroundings": (
        ("kidney_edge_mm", "kidney to fat, width of the edge", "mm"),
        ("outline_to_edge_mm", "edge outside (+) or inside (−) the outline", "mm"),
        ("fat_around_share", "fat 3 to 8 mm around kidneys", "share"),
        ("sinus_fat_share", "open sinus: fat", "share"),
        ("sinus_fluid_share", "open sinus: fluid", "share"),
        ("sinus_bright_share", "open sinus: above 80 HU", "share"),
    ),
}
"""What the table and the plot show, in their order."""

_TEXT = """# Synthetic against real slices

Made by

    python benchmarks/synthesis_against_real.py --slices FILE.npz [FILE.npz ...] --labels DIR

from {real} real axial slices and {synthetic} synthetic ones. **Real**: single slices of KiTS
scans with their KiTS23 masks, of patients whose number is not divisible by five (the others are
kept for choosing). **Synthetic**: bodies composed around label maps of the same patients and
scanned in the corticomedullary and nephrographic phase, clipped and rounded to the same greys,
−79 to 304 HU in steps of 1.5. The same code measures both (`benchmarks/slice_measures.py`).

![Percentiles of real and synthetic slices](synthesis-against-real.svg)

Median and, in brackets, the 5th and 95th percentile over slices. **Inside**: share of the real
values between the 5th and 95th percentile of the synthetic ones; 0.90 is what two equal
distributions have; – where fewer than 10 synthetic slices show it.{before}

{tables}

**How it is measured.** Pixels within 2 mm of a border are left out of means and textures. Rim:
1.5 to 4 mm inside of the outline; core: deeper than 0.6 of the deepest place; darkest and
brightest: 5th and 95th percentile after a Gaussian of 2 mm. Cortex: 2.5 to 6 mm below the
surface, medulla: below 10 mm. Fine texture: robust standard deviation (from the median distance
to the median) of what a Gaussian of 4 mm leaves; slow: standard deviation of what it keeps;
grain: distance over which the autocorrelation of the fine texture falls to a half. Textures and
edges are measured in slices that were not resampled along the body. Edge: along the outline's
normals that end in fat, distance between 80 % and 20 % of the kidney's height above fat (−100 HU
is taken), each profile by its own crossings.

**Organs without labels** (`benchmarks/slice_organs.py`): muscle behind the transverse processes;
liver: largest even region at the right wall; spleen: even region at the left wall beside or
behind the spine, 15 HU brighter than muscle; aorta: round spot of 12 to 35 mm before the spine,
45 HU brighter than muscle, so it is not found without contrast. On synthetic slices, whose
tissues are known, the masks were mostly something else in {wrong}.

**What cannot be said.** Fat is clipped at −79 HU: its mean and texture cannot be measured, only
how much of a kidney's surroundings is fat. Bone and dense vessels are clipped at 304 HU. The
greys of the real files are HU within about 10. The edge between tumor and kidney cannot be told
from inaccuracy of the outline, so only the contrast is measured. Bowel is left out: one slice
does not show what it is. The contrast phase is not recorded; parenchyma, cortex − medulla and
aorta show it as far as it can be told. Stones, fat in tumors and cysts beside each other are too
few to measure.
"""


def write(result: Mapping[str, Any], path: Path) -> None:
    """Write the page, and the plot beside it with the ending ``.svg``."""
    before = result["before"]
    most = max((row["slices"] for row in before.values()), default=0) if before else 0
    words = (
        " *Before* is the synthesis before it was widened to what was measured here"
        f" ({most} slices)."
        if before
        else ""
    )
    wrong = ", ".join(
        f"{row['slices_mostly_wrong']:.0%} ({name}, {row['slices']} slices)"
        for name, row in result["organs_right_on_synthetic"].items()
    )
    text = _TEXT.format(
        **result["slices"],
        before=words,
        tables="\n\n".join(_table(result, heading) for heading in GROUPS),
        wrong=wrong,
    )
    path.write_text(text, "utf-8")
    path.with_suffix(".svg").write_text(plot(result), "utf-8")


def _rows(result: Mapping[str, Any], heading: str) -> list[tuple[str, str, str]]:
    return [row for row in GROUPS[heading] if row[0] in result["real"]]


def _table(result: Mapping[str, Any], heading: str) -> str:
    columns = [name for name in ("real", "before", "synthetic") if result[name]]
    shares = [f"inside {name}" for name in columns[1:]]
    head = [heading, "unit", "real slices", *columns, *shares]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for key, words, unit in _rows(result, heading):
        cells = [words, unit, str(result["real"][key]["slices"])]
        cells += [_cell(result[name].get(key)) for name in columns]
        cells += [_share(result[f"real_inside_{name}"].get(key)) for name in columns[1:]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[str, float] | None) -> str:
    if row is None:
        return "–"
    return f"{_number(row['p50'])} ({_number(row['p5'])} to {_number(row['p95'])})"


def _number(value: float) -> str:
    text = (
        f"{value:.0f}"
        if abs(value) >= 10
        else f"{value:.1f}"
        if abs(value) >= 2
        else f"{value:.2f}"
    )
    return text.replace("-", "−")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


_ROW, _NAME, _WIDTH = 34, 250, 420
_COLORS = {"real": "#222222", "before": "#b0b0b0", "synthetic": "#2b6cb0"}
_FONT = 'font-family="system-ui, sans-serif" font-size="12"'


def plot(result: Mapping[str, Any]) -> str:
    """An ``<svg>``: for every measure the 5 to 95 % range, quartiles and median of each column."""
    names = [name for name in _COLORS if result[name]]
    rows = [row for heading in GROUPS for row in _rows(result, heading)]
    height = 30 + _ROW * len(rows)
    parts = [
        f'<text x="{_NAME + 150 * k}" y="16" {_FONT} fill="{_COLORS[name]}">▬ {name}</text>'
        for k, name in enumerate(names)
    ]
    for number, (key, words, unit) in enumerate(rows):
        top = 30 + number * _ROW
        tables = {name: result[name][key] for name in names if key in result[name]}
        parts += _strip(tables, top, names)
        parts.append(f'<text x="4" y="{top + 18}" {_FONT}>{escape(words)} ({unit})</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_NAME + _WIDTH + 60} {height}" '
        f'role="img" aria-label="Percentiles of real and synthetic slices">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _strip(tables: Mapping[str, Mapping[str, float]], top: int, names: Sequence[str]) -> list[str]:
    """Bars of one measure on an axis of its own, with its ends in numbers."""
    low = min(table["p5"] for table in tables.values())
    high = max(table["p95"] for table in tables.values())
    size = max(high - low, 1e-6)

    def x(value: float) -> float:
        return _NAME + 45 + (_WIDTH - 45) * (value - low) / size

    parts = [
        f'<text x="{_NAME + 38}" y="{top + 18}" text-anchor="end" {_FONT}>{_number(low)}</text>',
        f'<text x="{_NAME + _WIDTH + 8}" y="{top + 18}" {_FONT}>{_number(high)}</text>',
    ]
    for place, name in enumerate(names):
        if name not in tables:
            continue
        table, y, color = tables[name], top + 5 + 8 * place, _COLORS[name]
        ends = (x(table["p5"]), x(table["p95"]))
        box = (x(table["p25"]), x(table["p75"]))
        parts += [
            f'<path d="M{ends[0]:.1f} {y}H{ends[1]:.1f}" stroke="{color}" stroke-width="1.5"/>',
            f'<path d="M{box[0]:.1f} {y}H{box[1]:.1f}" stroke="{color}" stroke-width="5"/>',
            f'<circle cx="{x(table["p50"]):.1f}" cy="{y}" r="3.4" fill="white" stroke="{color}" '
            'stroke-width="1.6"/>',
        ]
    return parts
