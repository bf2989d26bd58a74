"""Make ``docs/comparison.md`` from the results of ``benchmarks/recipes.py``."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import in_words
from small_recipes import ENTRIES, Entry, small_system

from renalis.evaluation.statistics import FEWEST, Difference, Summary, difference, summary
from renalis.io.natural_order import by_number
from renalis.recipes import load_system
from renalis.recipes.difference import differences

Result = Mapping[str, Any]
REGIONS = ("kidney", "tumor", "abnormality")
HEAD = """# Recipes compared on synthetic scans

Made by `python benchmarks/recipes.py`; do not edit. **Everything here is synthetic**: the scans are
what `renalis synthesize` makes, and the networks are small variants of the published ones, trained
for minutes on a CPU. The figures compare systems with each other under equal conditions. They say
nothing about how well a published system, at full size, segments patients.

"""
METHOD = """Every system learns from the same scans for the same wall-clock time, validation
included, preparation of the scans excluded; a training ends with the epoch in which the time is
over. Stages and their rounds share the time. Other work on the machine slows a training: where
systems of the same kind differ in *steps*, the one with fewer was disturbed. There is one training
of each, so that differences between trainings of the same system are not in the intervals: these
are 95 % intervals of the mean over the held-out scans (studentized bootstrap, 10 000 resamples),
and differences are paired by scan. *Kidney* counts everything renal, *tumor* is label 2,
*abnormality* tumor or cyst. Scans whose reference lacks a region do not count for it; *false ml* is
the mean volume of tumor (of abnormality) in these. *Made* names the commit and the day; a row in
brackets was made from changed files and does not count until it is repeated.

In R4 and R5 the coarse half decides alone where the fine one may speak: as published, the result is
empty while it stays below its threshold, whatever the fine network says. A 0.000 of theirs in the
first three tables may be a closed gate and no verdict on the network: see the last section.

"""
ANEW = """The rows that a closed gate may have decided, once more, with others to hold them against.
Where the coarse half finds nothing, the fine network looks everywhere
(`prediction.gate.closed: everywhere`); *gate closed* counts the held-out scans in which that was
so. The time is what a training computes on its core, and not what passes meanwhile. **Not to be
compared with the rows above**: the synthesis was widened in between, so that these are other scans
around the same label maps. What stands under *what is smaller than published* is that of these
rows; those above had as many minutes that passed, and a gate as published.

"""
ABLATION = """Base, one part at a time, and all: the recipe's switches. *Clean-up's part* is Dice
after the recipe's rules minus Dice before them, on the same predictions.

"""


def write_page(results: Path, page: Path) -> Path:
    """Write the page from all results there are; those of ``open-gate`` in it stand apart."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text(_read(results), _read(results / "open-gate")), encoding="utf-8")
    return page


def _read(results: Path) -> dict[str, Result]:
    found: dict[str, Result] = {}
    for path in sorted(results.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        found[content["entry"]] = content
    return found


def text(found: Mapping[str, Result], anew: Mapping[str, Result] | None = None) -> str:
    """The whole page."""
    parts = [HEAD, conditions(found), METHOD]
    again = anew or {}
    for title, part in (
        ("Recipes and MONAI", recipes_table(found)),
        ("R5's ablation", ablation_table(found)),
        ("Options that the publications wish for", options_table(found)),
        ("What is smaller than published", changes_table(found)),
    ):
        if part:
            parts.append(f"## {title}\n\n{part}\n")
    if again:
        parts.append(f"## With an open gate, made anew\n\n{ANEW}{conditions(again)}")
        tables = (recipes_table(again), ablation_table(again), options_table(again))
        parts += [f"{part}\n" for part in tables if part]
    return "".join(parts).rstrip() + "\n"


def conditions(found: Mapping[str, Result]) -> str:
    """Cohort, budget and machine, where all results share them; each of them otherwise."""
    lines: list[str] = []
    for result in found.values():
        cohort = result.get("cohort")
        if not cohort:
            continue
        sizes = cohort["split"]
        source = "label maps of KiTS23" if cohort["label_maps"] else "invented kidneys"
        spacing = " × ".join(f"{mm:g}" for mm in cohort["spacing"])
        threads = f"{result['threads']} thread" + "s" * (result["threads"] != 1)
        line = (
            f"{cohort['number']} synthetic scans from {source} "
            f"({spacing} mm, {cohort['matrix']} × {cohort['matrix']}, {cohort['phase']} phase), "
            f"{sizes['patients']} patients: {sizes['train']} scans to learn from, "
            f"{sizes['val']} to choose the epoch, {sizes['test']} held out. "
            f"{result['minutes']:g} minutes for each system with {threads}. "
            f"{in_words(result['machine'])}.\n\n"
        )
        if line not in lines:
            lines.append(line)
    return "".join(lines)


def recipes_table(found: Mapping[str, Result]) -> str:
    """All recipes and the rivals, and who wins."""
    shown = [e for e in ENTRIES if e.group in ("recipes", "rivals") and e.name in found]
    if not shown:
        return ""
    heads = (
        "system",
        "parameters",
        "minutes",
        "steps",
        "s a scan",
        *(f"{r} Dice" for r in REGIONS),
        "false ml",
        "made",
    )
    lines = table(heads)
    for one in shown:
        result = found[one.name]
        lines.append(
            row(
                [
                    f"{one.name}: {one.about}{gate(result)}",
                    *costs(result),
                    *dices(result),
                    false_ml(result),
                    made(result),
                ]
            )
        )
    return "\n".join(lines) + "\n" + rivals(found)


def costs(result: Result) -> list[str]:
    """Parameters, minutes, steps, seconds to predict a scan."""
    training = result["training"]
    return [
        f"{result['parameters']:,}",
        minutes(result),
        f"{sum(t['steps'] for t in training)}",
        f"{statistics.median(result['predict_s'].values()):.1f}",
    ]


def minutes(result: Result) -> str:
    """How long the training was, and by which clock."""
    spent = f"{sum(t['minutes'] for t in result['training']):.1f}"
    return f"{spent} {result['clock']}" if "clock" in result else spent


def gate(result: Result) -> str:
    """In how many of the held-out scans the coarse half of a cascade found nothing."""
    notes = result.get("notes", {})
    closed = sum(any("found no kidney anywhere" in note for note in n) for n in notes.values())
    return f"; gate closed in {closed} of {len(result['predict_s'])}" if closed else ""


def made(result: Result) -> str:
    """Commit and day; in brackets where files differed from the commit."""
    commit = str(result.get("commit", "unknown"))
    day = str(result.get("date", ""))
    words = f"{commit.rstrip('+')} {day}".rstrip()
    return f"({words}: changed files)" if commit.endswith("+") else words


def dices(result: Result, which: str = "scores") -> list[str]:
    """A cell for each region; empty where the system does not segment it."""
    return [cell(region_summary(result, region, which)) for region in REGIONS]


def false_ml(result: Result) -> str:
    """Mean volume of tumor (or abnormality) in scans that have none."""
    if 2 not in result["values"]:
        return "–"
    region = result["scores"].get("tumor") or result["scores"]["abnormality"]
    found = [v for v in region.get("false_positive_ml", {}).values() if v is not None]
    return f"{statistics.mean(found):.1f} (n {len(found)})" if found else "–"


def region_summary(result: Result, region: str, which: str = "scores") -> Summary | None:
    values = result[which].get(region)
    if values is None or (region != "kidney" and 2 not in result["values"]):
        return None
    return summary(numbers(values["dice"]), limits=(0, 1))


def numbers(values: Mapping[str, float | None]) -> list[float]:
    """Values by case in order of cases, NaN where there is none."""
    return [
        math.nan if values[k] is None else float(values[k] or 0)
        for k in sorted(values, key=by_number)
    ]


def cell(found: Summary | None) -> str:
    if found is None or not found.n:
        return "–"
    limits = f"{found.low:.3f}–{found.high:.3f}, " if found.has_interval else ""
    return f"{found.mean:.3f} ({limits}n {found.n})"


def rivals(found: Mapping[str, Result]) -> str:
    """Ours against MONAI's, paired by scan."""
    theirs = [e.name for e in ENTRIES if e.group == "rivals" and e.name in found]
    ours = [e.name for e in ENTRIES if e.group == "recipes" and e.name in found]
    lines = []
    for rival in theirs:
        for region in ("kidney", "tumor"):
            able = [n for n in ours if region_summary(found[n], region) is not None]
            if not able:
                continue
            best = max(able, key=lambda n, r=region: mean(found[n], r))
            change = compared(found[rival], found[best], region)
            if change is not None and change.n:
                words = f"- {region}: our best, {best}, minus {rival}: {signed(change)}"
                lines.append(f"{words}; {verdict(change)}")
    if not lines:
        return ""
    return (
        "\nThe best of ours is chosen among several by these same scans, which favors it.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def mean(result: Result, region: str) -> float:
    found = region_summary(result, region)
    return -1.0 if found is None or not found.n else found.mean


def compared(
    first: Result, second: Result, region: str, which: tuple[str, str] = ("scores", "scores")
) -> Difference | None:
    """Second minus first over the cases of both; None where one does not segment the region."""
    if region_summary(first, region) is None or region_summary(second, region) is None:
        return None
    one, two = (r[w][region]["dice"] for r, w in zip((first, second), which, strict=True))
    both = sorted(set(one) & set(two), key=by_number)
    return difference(*(numbers({k: v[k] for k in both}) for v in (one, two)))


def signed(change: Difference) -> str:
    if change.n < FEWEST:
        return f"{change.mean:+.3f}"
    return f"{change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})"


def verdict(change: Difference) -> str:
    """In words, by the interval; resamples of a handful of scans say nothing."""
    if change.n < FEWEST:
        return "too few scans"
    if change.low > 0:
        return "better"
    if change.high < 0:
        return "worse"
    return "no difference seen"


def ablation_table(found: Mapping[str, Result]) -> str:
    """Six runs, before and after the clean-up, against the base."""
    shown = [e for e in ENTRIES if e.group == "ablation" and e.name in found]
    if not shown:
        return ""
    regions = ("kidney", "abnormality")
    heads = ("parts", "minutes", "steps", *(f"{r} Dice" for r in regions),
             *(f"{r}, minus base" for r in regions), "abnormality, clean-up's part",
             "made")  # fmt: skip
    lines = table(heads)
    for one in shown:
        result = found[one.name]
        cells = [f"{one.about}{gate(result)}", *costs(result)[1:3]]
        cells += [cell(region_summary(result, r)) for r in regions]
        cells += [against(one, found, region) for region in regions]
        part = compared(result, result, "abnormality", ("scores_raw", "scores"))
        cells.append(signed(part) if part is not None and part.n else "–")
        cells.append(made(result))
        lines.append(row(cells))
    return ABLATION + "\n".join(lines) + "\n"


def against(one: Entry, found: Mapping[str, Result], region: str) -> str:
    """Difference to the entry that it is compared with."""
    if not one.against or one.against not in found:
        return "–"
    change = compared(found[one.against], found[one.name], region)
    if change is None or not change.n:
        return "–"
    return f"{signed(change)}: {verdict(change)}"


def options_table(found: Mapping[str, Result]) -> str:
    """Which wishes helped."""
    shown = [e for e in ENTRIES if e.group == "options" and e.name in found]
    if not shown:
        return ""
    heads = ("option", "of", "minutes", "kidney Dice", "tumor Dice", "kidney, minus without",
             "tumor, minus without", "made")  # fmt: skip
    lines = table(heads)
    for one in shown:
        result = found[one.name]
        cells = [f"{one.name}: {one.about}{gate(result)}", one.recipe, costs(result)[1]]
        cells += [cell(region_summary(result, r)) for r in ("kidney", "tumor")]
        cells += [against(one, found, region) for region in ("kidney", "tumor")]
        cells.append(made(result))
        lines.append(row(cells))
    return "\n".join(lines) + "\n"


def changes_table(found: Mapping[str, Result]) -> str:
    """Every field in which a small variant differs from its recipe."""
    parts = []
    for one in ENTRIES:
        if one.group != "recipes" or one.name not in found:
            continue
        lines = table(("field", "published", "here"))
        small = small_system(one, float(found[one.name]["minutes"]))
        for each in differences(load_system(one.recipe), small):
            lines.append(row([f"`{each.field}`", written(each.left), written(each.right)]))
        parts.append(f"### {one.name}\n\n" + "\n".join(lines) + "\n")
    for name, result in found.items():
        if "recipe" in result:
            parts.append(f"### {name}\n\n{result['recipe']}.\n")
    return "\n".join(parts)


def written(value: Any) -> str:
    """A value of a recipe in a cell."""
    return json.dumps(value) if not isinstance(value, str) else value


def table(heads: Sequence[str]) -> list[str]:
    return [row(heads), "|---" * len(heads) + "|"]


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
