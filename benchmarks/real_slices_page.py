"""The page of `real_slices_table`, from its result files alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from real_slices_trainings import CHANGES, LEARNED, Training, trainings

SHIPPED = "renalis-kidney"
NAMES: dict[str, tuple[str, ...]] = {
    "simple-unet-2d": ("kidney",),
    "quicknat-2d": ("kidney",),
    "resnet34-2d": ("kidney", "tumor"),
    SHIPPED: ("kidney", "tumor", "cyst"),
}
"""What each names; *kidney* is everything renal, as in the publications."""

_TEXT = """# 2D recipes on real slices

A published training has some 60 slices of each patient, this one **two**, and a core's minutes
in place of a GPU's days: the publications' Dice of 0.961 and 0.811 (R1) and 0.926 (R2) are **no
target here**. What the page is for: how much of what real slices teach do synthetic ones teach
too? That is (b) against (a).

Made by

    python benchmarks/real_slices_table.py --slices DATA/kits-slices \\
        --labels DATA/kits23-labels --output FOLDER

from result files in `benchmarks/results/real-slices`, which say commit, date and machine (`.json`)
and every slice's Dice (`.csv`). Pictures of the best, the median and the worst slices are
written to `FOLDER/pictures`; they show real CT and stay out of this repository.

"""

_RULES = """## What was done

- **Learned from**: (a) real axial slices of KiTS with their KiTS23 masks; (b) slices of
  synthetic scans (`renalis synthesize`, then `renalis dataset cut-slices`) around label maps of
  the same patients, in the same greys, {scans}; (c) half of the time the slices of (b), then
  half of it those of (a), from where (b) was after half of its time: the learning rates of
  these recipes do not change within a training of this length.
- **Tested with** all real slices of the patients whose number 5 divides. No training, no choice
  of an epoch and no label map of a synthetic scan saw them. The rule and the code are those of
  `benchmarks/real_slices.py`: a region is scored in slices that hold it, in files whose masks
  hold it anywhere. In brackets 95 % bootstrap intervals over slices.
- **Greys**: HU where the window of the slices holds them; what is darker than its lower end is
  fat inside of the body and air outside (`renalis.dataset.slices`), in training and in testing
  alike.
- **Time**: {minutes:g} minutes of computing of one core for each row (what the process
  computed, not how long it waited), validation included, preparation of the slices not; it ends
  with the epoch whose end is nearest. `resnet34-2d` halves them between its two stages; the first
  names nothing for some 3500 steps, in (b) for more than half of its time, so that in (c) the
  second stage begins anew.
- **The recipes** are as published but for what a core cannot do in the time; with the recipes'
  own numbers the minutes are about {own} optimizer steps. With all numbers but the publications'
  as below and batches of 128 they are 306; after 66 of these `simple-unet-2d` had a loss of
  0.52 on real slices and named next to nothing, so that the batch had to give way too:

"""

_OWN_STEPS = "5 (`simple-unet-2d`), 13 and 13 (`resnet34-2d`) and 21 (`quicknat-2d`)"


def write_page(results: Path, page: Path, progress: Mapping[str, float]) -> Path:
    """Write the page.

    Parameters
    ----------
    results : Path
        Folder of the result files.
    page : Path
        Where to.
    progress : mapping of str to float
        Minutes that trainings without a result have computed.
    """
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in results.glob("*.json")}
    page.write_text(_TEXT + text(found, progress), encoding="utf-8")
    return page


def text(found: Mapping[str, Any], progress: Mapping[str, float]) -> str:
    """All below the first lines."""
    done = [content for name, content in found.items() if name != SHIPPED]
    scans, minutes = "", 40.0
    if done:
        made = done[0]["about"]["synthetic"]
        scans = f"{made['per_scan']} of each of {made['scans']} scans"
        minutes = done[0]["about"]["minutes"]
    parts = ["## Dice\n\n", *_lines(dice_rows(found, progress))]
    parts += ["\n", compass(found), "\n## Tumors\n\n", *_lines(tumor_rows(found))]
    parts += ["\n", "Touched: a pixel of the tumor is named tumor; found: a tenth of it is.\n\n"]
    rules = _RULES.format(scans=scans or "see the command", minutes=minutes, own=_OWN_STEPS)
    parts += [rules, *_lines(change_rows()), "\n## Trainings\n\n", *_lines(training_rows(found))]
    return "".join(parts)


def dice_rows(found: Mapping[str, Any], progress: Mapping[str, float]) -> list[Sequence[str]]:
    """Dice of each region: mean, interval, median."""
    rows: list[Sequence[str]] = [("recipe", "learned from", "kidney", "tumor", "cyst")]
    for one in trainings():
        content = found.get(one.name)
        if content is None:
            minutes = progress.get(one.name, 0.0)
            begun = f" ({minutes:.0f} minutes so far)" if minutes else ""
            rows.append((f"`{one.recipe}`", _learned(one), f"not trained yet{begun}", "", ""))
        else:
            learned = _learned(one) + _part(one, content)
            rows.append((f"`{one.recipe}`", learned, *_dice(one.recipe, content["table"])))
    if SHIPPED in found:
        version = found[SHIPPED]["about"]["version"]
        what = f"*shipped model {version}*", "*synthetic bodies, real slices of the same patients*"
        rows.append((*what, *_dice(SHIPPED, found[SHIPPED]["table"])))
    return rows


def _learned(one: Training) -> str:
    letter = "abc"[list(LEARNED).index(one.learned)]
    return f"({letter}) {LEARNED[one.learned]}"


def _part(one: Training, content: Mapping[str, Any]) -> str:
    """How much of its time a training has computed that has not ended."""
    if not content["about"].get("so_far"):
        return ""
    done = sum(stage["minutes"] for stage in content["training"].values())
    # The first half of the third row is the second row's.
    minutes = content["about"]["minutes"]
    done += minutes / 2 if one.learned == "both" else 0
    return f", **after {done:.0f} of {minutes:g} minutes**"


def _dice(name: str, table: Mapping[str, Any]) -> list[str]:
    cells = []
    for region in ("kidney", "tumor", "cyst"):
        if region not in NAMES[name] or table[f"{region}_dice"] is None:
            cells.append("–")
            continue
        limits = table[f"{region}_dice_interval"]
        interval = f" ({limits[0]:.3f}–{limits[1]:.3f})" if limits else ""
        median = f", median {table[f'{region}_dice_median']:.3f}"
        cells.append(f"{table[f'{region}_dice']:.3f}{interval}{median}")
    return cells


def compass(found: Mapping[str, Any]) -> str:
    """(b) against (a), of each recipe where both are there."""
    lines = []
    for recipe in CHANGES:
        both = [found.get(Training(recipe, kind).name) for kind in ("real", "synthetic")]
        if None in both:
            continue
        for region in NAMES[recipe]:
            real, made = (one["table"][f"{region}_dice"] for one in both)  # type: ignore[index]
            if region == "tumor" and _names_none(both[1]["table"]):  # type: ignore[index]
                lines.append(
                    f"- `{recipe}`, {region}: (b) names none anywhere; its stage had not begun to "
                    f"when its minutes were over, while (a) has {real:.3f}. This says nothing yet "
                    "about what synthetic tumors teach.\n"
                )
            elif real:
                lines.append(
                    f"- `{recipe}`, {region}: synthetic slices alone give **{made / real:.0%}** of "
                    f"the Dice that real ones give ({made:.3f} against {real:.3f}).\n"
                )
    return "".join(lines) or "(b) against (a) follows when both rows of a recipe are there.\n"


def _names_none(table: Mapping[str, Any]) -> bool:
    return not table["tumor_slices_touched"] and not table["false_tumor_slices"]


def tumor_rows(found: Mapping[str, Any]) -> list[Sequence[str]]:
    """False tumors, and sensitivity by size, of what names tumors."""
    rows: list[Sequence[str]] = []
    named = [one for one in trainings() if "tumor" in NAMES[one.recipe]]
    entries = [(f"`{one.recipe}`", _learned(one), found.get(one.name)) for one in named]
    if SHIPPED in found:
        entries.append(("*shipped model*", "", found[SHIPPED]))
    for name, learned, content in entries:
        if content is None:
            rows.append((name, learned, "not trained yet"))
            continue
        table = content["table"]
        sizes = table["by_size_mm"]
        if not rows or rows[0][0] != "recipe":
            head = [_size(size) for size in sizes]
            rows.insert(0, ("recipe", "learned from", "slices with a false tumor", *head))
        false = f"{table['false_tumor_slices']} of {table['slices_without_tumor']}"
        cells = [f"{size['touched']} / {size['found']} of {size['slices']}" for size in sizes]
        rows.append((name, learned, false, *cells))
    if not rows or rows[0][0] != "recipe":
        rows.insert(0, ("recipe", "learned from", "slices with a false tumor"))
    width = len(rows[0])
    return [(*row, *[""] * (width - len(row))) for row in rows]


def _size(size: Mapping[str, Any]) -> str:
    if size["to"] is None:
        return f"from {size['from']:g} mm, touched / found"
    return f"{size['from']:g} to {size['to']:g} mm"


def change_rows() -> list[Sequence[str]]:
    """What was changed of the recipes."""
    rows: list[Sequence[str]] = [("recipe", "field", "value", "why")]
    for recipe, changes in CHANGES.items():
        for change in changes:
            rows.append((f"`{recipe}`", f"`{change.key}`", change.value, change.why))
    return rows


def training_rows(found: Mapping[str, Any]) -> list[Sequence[str]]:
    """How long each took and how far it came."""
    rows: list[Sequence[str]] = [
        ("recipe", "learned from", "stage", "minutes", "epochs", "steps", "commit", "date")
    ]
    for one in trainings():
        content = found.get(one.name)
        for stage, done in ({} if content is None else content["training"]).items():
            figures = (f"{done['minutes']:.1f}", str(done["epochs"]), str(done["steps"]))
            made = (content["commit"], content["date"])
            rows.append((f"`{one.recipe}`", _learned(one), stage, *figures, *made))
    return rows if len(rows) > 1 else [rows[0], ("none yet", *[""] * (len(rows[0]) - 1))]


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = rows
    return [
        f"| {' | '.join(head)} |\n",
        f"|{'---|' * len(head)}\n",
        *(f"| {' | '.join(row)} |\n" for row in rest),
    ]
