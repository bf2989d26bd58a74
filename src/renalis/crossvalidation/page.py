"""``crossvalidation.html``: mean ± sd over folds, each fold, each case, runs against each other."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from renalis.charts.distributions import box_plot
from renalis.crossvalidation.scores import RunScores
from renalis.dataset.cases import listed
from renalis.evaluation import comparison_page
from renalis.evaluation.comparison import Comparison
from renalis.evaluation.page import Plot, Table, number, rendered, with_interval
from renalis.evaluation.statistics import Summary

__all__ = ["crossvalidation_page", "main_table", "remarks"]


def crossvalidation_page(scores: Sequence[RunScores], comparison: Comparison | None) -> str:
    """The page."""
    tables = [main_table(scores), main_table(scores, "surface_dice"), _cases_mean(scores)]
    tables += [_fold_table(scores)]
    if comparison is not None:
        tables += comparison_page.tables(comparison)
    tables += [_case_table(one) for one in scores]
    options = scores[0].options
    return rendered(
        title="Cross-validation",
        how=(
            "Each case was predicted by the networks that did not learn from it, on its own grid, "
            f"and scored as {options.labels.value}, empty masks by the rule "
            f"'{options.empty.value}'. Runs: "
            + ", ".join(f"{one.run.name} ({one.run.recipe})" for one in scores)
            + "."
        ),
        warnings=remarks(scores, comparison),
        tables=tables,
        plots=_plots(scores),
    )


def remarks(scores: Sequence[RunScores], comparison: Comparison | None) -> list[str]:
    """What must not go unnoticed: cases without scores, splits that hold out only a part."""
    notes = []
    most = max(len(one.everyone) for one in scores)
    if comparison is not None and len(comparison.cases) < most:
        notes.append(
            f"runs are compared on the {len(comparison.cases)} cases that all of them have; means "
            "over folds are those of each run's own cases"
        )
    for one in scores:
        run, left = one.run, one.held_out.left
        if left:
            folds = ", ".join(map(str, run.unfinished)) or "none"
            notes.append(
                f"{run.name}: {len(left)} cases are left out of the means, since no finished fold "
                f"holds them out (not finished: {folds}): {listed(left, most=len(left))}"
            )
        if not run.by_folds:
            notes.append(
                f"{run.name} has one split and no folds: only the {len(one.held_out.cases)} cases "
                f"that it held out are predicted, not the {one.held_out.learned} others"
            )
        if run.chooses_weights and one.held_out.validated:
            notes.append(
                f"{run.name} keeps the weights that were best on the cases held out here, so its "
                "scores are a little too good"
            )
        notes += [f"{run.name}: {case} is left out: {why}" for case, why in one.problems.items()]
        cases_of: dict[str, list[str]] = {}
        for case, found in one.notes.items():
            for note in found:
                cases_of.setdefault(note, []).append(case)
        for note, cases in cases_of.items():
            everyone = 1 < len(cases) == len(one.notes)
            who = f"all {len(cases)} cases" if everyone else listed(cases)
            notes.append(f"{run.name}, {who}: {note}")
    return notes


def main_table(scores: Sequence[RunScores], metric: str = "dice") -> Table:
    """Mean ± standard deviation over folds, a row per run, as cross-validations are published."""
    names = _regions(scores)
    rows = [
        [
            one.run.name,
            one.run.recipe,
            str(len(one.by_fold)),
            str(len(one.everyone)),
            *(_plus_minus(one.over_folds[n][metric] if n in one.over_folds else None)
              for n in names),
        ]
        for one in scores
    ]  # fmt: skip
    title = {"dice": "Dice", "surface_dice": "Surface Dice"}[metric]
    return Table(
        f"{title}, mean ± standard deviation over folds",
        ["run", "recipe", "folds", "cases", *(n.replace("_", " ") for n in names)],
        rows,
        "Each fold counts as the mean of its cases. The standard deviation is that of a sample "
        "(n - 1) of the folds' means.",
    )


def _cases_mean(scores: Sequence[RunScores]) -> Table:
    rows = [
        [
            one.run.name,
            name.replace("_", " "),
            str(found["dice"].n),
            with_interval(found["dice"]),
            number(found["dice"].sd),
            number(found["dice"].median),
            with_interval(found["surface_dice"]),
            with_interval(found["hd95_mm"], 1),
            with_interval(found["volume_error_ml"], 1),
        ]
        for one in scores
        for name, found in one.over_cases.items()
    ]
    header = ("run", "region", "cases", "Dice", "SD", "median", "surface Dice", "HD95 (mm)")
    return Table(
        "Over all cases, with 95 % confidence intervals", [*header, "volume error (ml)"], rows
    )


def _fold_table(scores: Sequence[RunScores]) -> Table:
    names = _regions(scores)
    rows = [
        [
            one.run.name,
            str(fold),
            str(len(one.records[fold])),
            *(number(found[n]["dice"].mean, 4) if n in found else "–" for n in names),
        ]
        for one in scores
        for fold, found in one.by_fold.items()
    ]
    header = ["run", "fold", "cases", *(f"Dice {n.replace('_', ' ')}" for n in names)]
    return Table("Folds", header, rows, "Everything else is in folds.csv.")


def _case_table(one: RunScores) -> Table:
    names = _regions([one])
    rows = []
    for fold, records in one.records.items():
        for record in records:
            row = [record.case_id, str(fold)]
            for name in names:
                region = record.score.regions.get(name)
                row += [number(region.dice), number(region.surface_dice)] if region else ["–", "–"]
            rows.append(row)
    header = [h for n in names for h in (f"Dice {n.replace('_', ' ')}", "surface Dice")]
    title = f"Cases of {one.run.name}"
    return Table(title, ["case", "fold", *header], rows, "Everything else is in cases.csv.")


def _plots(scores: Sequence[RunScores]) -> list[Plot]:
    plots = []
    for name in _regions(scores):
        groups = {
            one.run.name: [r.score[name].dice for r in one.everyone if name in r.score.regions]
            for one in scores
        }
        plots.append(Plot(f"Dice, {name.replace('_', ' ')}", Markup(box_plot(groups, "Dice"))))
    return plots


def _regions(scores: Sequence[RunScores]) -> list[str]:
    """Regions that any run has, without single kidneys."""
    names = dict.fromkeys(name for one in scores for name in one.over_folds)
    return [name for name in names if not name.endswith("_kidney")]


def _plus_minus(found: Summary | None) -> str:
    """As in publications; a single fold has no spread."""
    if found is None or not found.n:
        return "–"
    return f"{found.mean:.4f}" + (f" ± {found.sd:.4f}" if found.n > 1 else "")
