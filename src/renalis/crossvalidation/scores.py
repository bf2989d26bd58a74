"""Score label maps out of fold, and take means over folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renalis.conventions import REGIONS, Classes, Convention
from renalis.crossvalidation.out_of_fold import Kept, label_map
from renalis.crossvalidation.runs import CrossRun, HeldOut
from renalis.evaluation.cases import score_cases
from renalis.evaluation.evaluation import Evaluation, detected, summarized
from renalis.evaluation.pairing import CasePair, How
from renalis.evaluation.records import METRICS, CaseRecord, limits
from renalis.evaluation.regions import regions
from renalis.evaluation.scores import Options
from renalis.evaluation.statistics import Summary, summary

__all__ = ["RunScores", "expressible", "score_run"]

Summaries = dict[str, dict[str, Summary]]


@dataclass(frozen=True)
class RunScores:
    """What came of one run.

    Attributes
    ----------
    run : CrossRun
    held_out : HeldOut
    options : Options
        How was scored.
    records : dict
        Scored cases by fold.
    problems : dict
        Case and reason, where there are no scores.
    notes : dict
        By case.
    by_fold : dict
        Summaries over the cases of each fold.
    over_folds : dict
        Summaries by region and metric of the folds' means: one number for each fold.
    over_cases : dict
        Summaries over all cases.
    """

    run: CrossRun
    held_out: HeldOut
    options: Options
    records: dict[int, tuple[CaseRecord, ...]]
    problems: dict[str, str]
    notes: dict[str, tuple[str, ...]]
    by_fold: dict[int, Summaries]
    over_folds: Summaries
    over_cases: Summaries

    @property
    def everyone(self) -> tuple[CaseRecord, ...]:
        """Scored cases of all folds."""
        return tuple(record for records in self.records.values() for record in records)

    @property
    def complete(self) -> bool:
        """Whether every case that a fold should hold out has its scores."""
        return not self.problems and not self.held_out.left

    def evaluation(self) -> Evaluation:
        """The same as one evaluation of all cases, for `renalis compare`."""
        return Evaluation(
            options=self.options,
            records=self.everyone,
            summaries=self.over_cases,
            detection=detected(self.everyone, self.options),
            skipped=self.problems,
            zeroed={},
            unused=(),
        )


def score_run(
    run: CrossRun,
    held_out: HeldOut,
    kept: Kept,
    options: Options,
    folder: Path,
    *,
    jobs: int,
    seed: int,
) -> RunScores:
    """Score a run's label maps; those that were scored before are not scored again.

    Parameters
    ----------
    run : CrossRun
    held_out : HeldOut
    kept : Kept
        From `renalis.crossvalidation.out_of_fold.keep_label_maps`.
    options : Options
        How to score; ``reference_labels`` is the dataset's convention.
    folder : Path
        Of the run's results.
    jobs : int
        Processes.
    seed : int
        Of the bootstrap.
    """
    options = replace(options, prediction_labels=run.labels)
    problems = dict(kept.problems)
    wanted = [
        CasePair(case.id, case.label, label_map(folder, case.id), How.GIVEN)
        for case in held_out.cases
        if case.label is not None and case.id not in problems
    ]
    outcomes = score_cases(wanted, options, keep=folder / ".cases", jobs=jobs)
    names = expressible(run.classes, options.labels)
    records: dict[str, CaseRecord] = {}
    for outcome in outcomes:
        if outcome.record is None:
            problems[outcome.case_id] = outcome.problem
        else:
            records[outcome.case_id] = _only(outcome.record, names)
    by_id = {
        fold: tuple(records[case.id] for case in cases if case.id in records)
        for fold, cases in held_out.folds.items()
    }
    scored = {fold: found for fold, found in by_id.items() if found}
    by_fold = {fold: summarized(found, seed) for fold, found in scored.items()}
    everyone = [record for found in scored.values() for record in found]
    return RunScores(
        run=run,
        held_out=held_out,
        options=options,
        records=scored,
        problems=problems,
        notes=kept.notes,
        by_fold=by_fold,
        over_folds=_over_folds(by_fold, seed),
        over_cases=summarized(everyone, seed),
    )


def expressible(classes: Classes, scored: Convention) -> frozenset[str]:
    """Regions that a system tells apart: others would score what it never looked for.

    Parameters
    ----------
    classes : Classes
        The KiTS23 labels of each of the system's classes.
    scored : Convention
    """
    found = set()
    for region in regions(scored):
        wanted = REGIONS["kidney" if region.side else region.name]
        inside = [known for known in classes if known & wanted]
        if all(known <= wanted for known in inside) and wanted <= frozenset().union(*inside):
            found.add(region.name)
    return frozenset(found)


def _only(record: CaseRecord, names: frozenset[str]) -> CaseRecord:
    kept = {name: one for name, one in record.score.regions.items() if name in names}
    return replace(record, score=replace(record.score, regions=kept))


def _over_folds(by_fold: dict[int, Summaries], seed: int) -> Summaries:
    """Mean and standard deviation of the folds' means, as cross-validations are published."""
    names: Sequence[str] = list(dict.fromkeys(n for found in by_fold.values() for n in found))
    return {
        name: {
            metric: summary(
                [found[name][metric].mean for found in by_fold.values() if name in found],
                seed,
                limits(metric),
            )
            for metric in METRICS
        }
        for name in names
    }
