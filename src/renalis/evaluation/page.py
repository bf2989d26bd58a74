"""``metrics.html``: one self-contained page with tables, plots and the worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from renalis.charts.distributions import bland_altman, box_plot
from renalis.evaluation.evaluation import DetectionRows, Evaluation
from renalis.evaluation.pairing import CasePair, How
from renalis.evaluation.pictures import COLORS
from renalis.evaluation.records import CaseRecord
from renalis.evaluation.regions import regions
from renalis.evaluation.statistics import FEWEST, Summary
from renalis.evaluation.training_overlap import seen_sentences

__all__ = ["Picture", "Plot", "Table", "metrics_page", "rendered", "warnings"]

_WORST = 6
_SUMMARY_HEADER = (
    "region",
    "cases",
    "Dice",
    "SD",
    "median",
    "surface Dice",
    "HD95 (mm)",
    "mean surface distance (mm)",
    "volume error (ml)",
    "slice-wise Dice",
    "smoothed Dice",
)


@dataclass(frozen=True)
class Table:
    """A table of words."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """An SVG with its caption."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Picture:
    """A base64 PNG with its caption."""

    title: str
    png: str


def metrics_page(evaluation: Evaluation) -> str:
    """The page of an evaluation."""
    options, records = evaluation.options, evaluation.records
    names = [r.name for r in regions(options.labels) if r.name in evaluation.summaries]
    read = (options.written(options.reference_labels), options.written(options.prediction_labels))
    how = (
        f"{len(records)} cases, scored as {options.labels.value} (references read as "
        f"{read[0].value}, predictions as {read[1].value}), empty masks by the rule "
        f"'{options.empty.value}', grids '{options.grid.value}'."
    )
    tables = [_summary_table(evaluation, names)]
    tables += [_observer_table(evaluation)] if evaluation.observers else []
    tables += [_detection_table(name, rows) for name, rows in evaluation.detection.items()]
    tables += [_case_table(evaluation, names), _pair_table(evaluation.pairs)]
    return rendered(
        title="Segmentation scores",
        how=how,
        warnings=warnings(evaluation),
        tables=tables,
        plots=_plots(records, names),
        pictures=_pictures(records, [n for n in names if n in _headline(evaluation)]),
    )


def rendered(
    *,
    title: str,
    how: str,
    warnings: Sequence[str],
    tables: Sequence[Table],
    plots: Sequence[Plot],
    pictures: Sequence[Picture] = (),
) -> str:
    """Fill the page's template. Everything is escaped except the SVG made here."""
    folder = files("renalis.evaluation") / "templates"
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string((folder / "metrics.html").read_text("utf-8"))
    return template.render(
        title=title,
        how=how,
        warnings=warnings,
        tables=tables,
        plots=plots,
        pictures=pictures,
        css=Markup((folder / "metrics.css").read_text("utf-8")),
        legend=[(name, f"rgb{color}") for name, color in list(COLORS.items())[1:]],
        version=version("renalis"),
    )


def number(value: float, digits: int = 3) -> str:
    """A number for a table; a dash where there is none."""
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def with_interval(s: Summary, digits: int = 3) -> str:
    """Mean with its confidence interval, if there are enough cases for one."""
    if not s.n:
        return "–"
    if not s.has_interval:
        return f"{s.mean:.{digits}f} (n {s.n})"
    return f"{s.mean:.{digits}f} ({s.low:.{digits}f} to {s.high:.{digits}f})"


def _summary_table(evaluation: Evaluation, names: Sequence[str]) -> Table:
    rows = []
    for name in names:
        found = evaluation.summaries[name]
        dice = found["dice"]
        rows.append(
            [
                name.replace("_", " "),
                str(dice.n),
                with_interval(dice),
                number(dice.sd),
                number(dice.median),
                with_interval(found["surface_dice"]),
                with_interval(found["hd95_mm"], 1),
                with_interval(found["mean_surface_mm"], 2),
                with_interval(found["volume_error_ml"], 1),
                number(found["slice_dice"].mean),
                number(found["smooth_dice"].mean),
            ]
        )
    return Table(
        "Means with 95 % confidence intervals",
        _SUMMARY_HEADER,
        rows,
        "Distances have no value where reference or prediction is empty; such cases are left out "
        "of their means and count in Dice and surface Dice. Intervals are those of the "
        f"studentized bootstrap; below {FEWEST} cases there is none.",
    )


def _observer_table(evaluation: Evaluation) -> Table:
    names = list(dict.fromkeys(n for a in evaluation.observers for n in a.summaries))
    rows = [
        [
            f"{a.first} / {a.second}",
            *(with_interval(a.summaries[n]["dice"]) if n in a.summaries else "–" for n in names),
        ]
        for a in evaluation.observers
    ]
    header = ["who against whom", *(f"Dice {n.replace('_', ' ')}" for n in names)]
    return Table("Observers", header, rows, "Every observer against every other.")


def _detection_table(name: str, rows: DetectionRows) -> Table:
    def shown(value: float | int | str | None) -> str:
        if value is None:
            return "–"
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    header = [key.replace("_", " ") for key in rows[0]]
    return Table(
        f"Lesions one by one: {name}",
        ["diameter (mm)", *header[1:]],
        [[shown(v) for v in row.values()] for row in rows],
    )


def _case_table(evaluation: Evaluation, names: Sequence[str]) -> Table:
    rows = []
    for record in evaluation.records:
        seen = " (seen in training)" if record.case_id in evaluation.seen else ""
        row = [record.case_id + (" (no prediction)" if record.missing else seen)]
        for name in names:
            region = record.score.regions.get(name)
            row += [number(region.dice), number(region.surface_dice)] if region else ["–", "–"]
        rows.append(row)
    header = [h for n in names for h in (f"Dice {n.replace('_', ' ')}", "SD")]
    return Table("Cases", ["case", *header], rows, "Everything else is in details.csv.")


def _pair_table(pairs: Sequence[CasePair]) -> Table:
    rows = [
        [p.case_id, p.names[0], *(p.names[1:] or ("–",)), p.how.value or p.doubt or "–"]
        for p in pairs
    ]
    header = ["case", "reference", "prediction", "what made them a pair"]
    return Table("Files", header, rows, "Which file was scored against which.")


def warnings(evaluation: Evaluation) -> list[str]:
    """What must not go unnoticed: cases left out, counted as zero, learned from, resampled."""
    found = [f"{case} was left out: {why}" for case, why in evaluation.skipped.items()]
    found += [f"{case} counts as zero: {why}" for case, why in evaluation.zeroed.items()]
    if evaluation.unused:
        found.append("predictions without reference: " + ", ".join(evaluation.unused))
    alone = [" with ".join(p.names) for p in evaluation.pairs if p.how is How.NUMBER]
    if alone:
        more = f" and {len(alone) - 3} more" if len(alone) > 3 else ""
        found.append(
            f"paired by {How.NUMBER.value}, look whether it is right: "
            f"{', '.join(alone[:3])}{more} (all in the table of files)"
        )
    found += seen_sentences(evaluation.seen, len(evaluation.records))
    found += [evaluation.remark] if evaluation.remark else []
    notes: dict[str, list[str]] = {}
    for record in evaluation.records:
        for note in record.score.notes:
            notes.setdefault(note, []).append(record.case_id)
    for note, cases in notes.items():
        everyone = 1 < len(cases) == len(evaluation.records)
        found.append(f"{f'all {len(cases)} cases' if everyone else ', '.join(cases)}: {note}")
    return found


def _plots(records: Sequence[CaseRecord], names: Sequence[str]) -> list[Plot]:
    plots = []
    for metric, title in (("dice", "Dice"), ("surface_dice", "Surface Dice")):
        groups = {
            n.replace("_", " "): [
                getattr(r.score[n], metric) for r in records if n in r.score.regions
            ]
            for n in names
        }
        plots.append(Plot(title, Markup(box_plot(groups, title))))
    for name in names:
        found = [(r.case_id, r.score[name]) for r in records if name in r.score.regions]
        svg = bland_altman(
            [s.reference_ml for _, s in found],
            [s.prediction_ml for _, s in found],
            [case for case, _ in found],
            "ml",
        )
        plots.append(Plot(f"Volume of {name.replace('_', ' ')}", Markup(svg)))
    return plots


def _headline(evaluation: Evaluation) -> list[str]:
    return [r.name for r in regions(evaluation.options.labels) if r.headline]


def _pictures(records: Sequence[CaseRecord], names: Sequence[str]) -> list[Picture]:
    """The cases with the lowest mean Dice over the headline regions that they have."""

    def mean_dice(record: CaseRecord) -> float:
        values = [record.score[n].dice for n in names if n in record.score.regions]
        values = [v for v in values if np.isfinite(v)]
        return float(np.mean(values)) if values else 1.0

    worst = sorted((r for r in records if r.picture), key=mean_dice)[:_WORST]
    return [
        Picture(
            f"{r.case_id}, slice {r.score.worst_slice}, mean Dice {mean_dice(r):.3f}", r.picture
        )
        for r in worst
    ]
