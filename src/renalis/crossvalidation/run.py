"""A whole cross-validation: predict out of fold, score, compare, write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from renalis.choices import EmptyRule
from renalis.cluster.connection import RayPlace
from renalis.compute_device import DeviceChoice
from renalis.conventions import Convention
from renalis.crossvalidation.files import cases_csv, crossvalidation_json, folds_csv
from renalis.crossvalidation.out_of_fold import (
    LABELS,
    Made,
    Predicted,
    Report,
    Wanted,
    keep_label_maps,
    predicted_here,
)
from renalis.crossvalidation.page import crossvalidation_page
from renalis.crossvalidation.ray_predictions import predicted_on_ray
from renalis.crossvalidation.runs import CrossRun, held_out, open_cross_run, refuse_equal_names
from renalis.crossvalidation.scores import RunScores, score_run
from renalis.dataset import Dataset, open_dataset
from renalis.dataset.cases import Case
from renalis.disk_failures import check_not_gone
from renalis.errors import InputError, UsageError
from renalis.evaluation.comparison import Comparison, compare, strata
from renalis.evaluation.comparison_page import comparison_csv
from renalis.evaluation.evaluated_systems import System, common_cases, read_system
from renalis.evaluation.scores import Options
from renalis.evaluation.tables import metrics_json, write_json
from renalis.io import write_text
from renalis.pipeline.folder import make_output
from renalis.systems.recipe_cases import chosen_cases

__all__ = ["CrossOptions", "CrossValidation", "crossvalidate"]


@dataclass(frozen=True)
class CrossOptions:
    """How to cross-validate.

    Attributes
    ----------
    kind : str
        Of the dataset; ``auto`` finds out.
    labels : Convention or None
        Convention that is scored; that of the runs by default.
    empty : EmptyRule
        What empty masks count.
    device : {"auto", "cpu", "cuda"}
        Where to predict.
    jobs : int
        Processes that score.
    seed : int
        Of the bootstrap.
    overwrite : bool
        Make label maps anew that were made from another scan or by other networks.
    cluster : RayPlace or None
        Predict on a Ray cluster whose nodes see runs, data and output.
    """

    kind: str = "auto"
    labels: Convention | None = None
    empty: EmptyRule = EmptyRule.KITS
    device: DeviceChoice = "auto"
    jobs: int = 1
    seed: int = 0
    overwrite: bool = False
    cluster: RayPlace | None = None


@dataclass(frozen=True)
class CrossValidation:
    """What came of it: scores of every run, and the runs against each other if they are several."""

    scores: tuple[RunScores, ...]
    comparison: Comparison | None

    @property
    def complete(self) -> bool:
        """Whether no case is missing."""
        return all(one.complete for one in self.scores)


def crossvalidate(
    runs: Sequence[str],
    data: Path,
    output: Path,
    options: CrossOptions | None = None,
    report: Report = print,
) -> CrossValidation:
    """Predict each fold's held-out cases with the fold's networks, and score them.

    Writes ``OUT/RUN/labels/CASE.nii.gz`` and ``OUT/RUN/metrics.json`` (for ``renalis compare``);
    of all runs ``folds.csv``, ``cases.csv``, ``crossvalidation.json`` and
    ``crossvalidation.html``; of several ``comparison.csv``. Called again, only what is missing is
    made.

    Parameters
    ----------
    runs : sequence of str
        Folders of trainings or model files, with ``NAME=`` in front to name them. The first is the
        baseline of the comparison.
    data : Path
        The dataset that they were trained on.
    output : Path
        Folder for the results.
    options : CrossOptions, optional
        How.
    report : callable
        Takes progress lines.

    Raises
    ------
    InputError
        If a run or the data cannot be used, or no case could be scored.
    UsageError
        If two runs have the same name, or are of different conventions and none is chosen.
    OutputError
        If something cannot be written, or other results are there.
    """
    options = options or CrossOptions()
    opened = [open_cross_run(given) for given in runs]
    refuse_equal_names(opened)
    scoring = Options(labels=options.labels or _common_labels(opened), empty=options.empty)
    dataset = open_dataset(data, options.kind)
    dataset.require_scans("cross-validation")
    scoring = _with_reference(scoring, dataset)
    plans = [(run, held_out(run, dataset, _cases(run, dataset))) for run in opened]
    make_output(output)
    scores = []
    for run, plan in plans:
        folder = output / run.name
        predicted = _predicted(run, options, report)
        kept = keep_label_maps(
            run, plan, folder, predicted, overwrite=options.overwrite, report=report
        )
        report(f"{run.name}: {len(plan.cases) - len(kept.problems)} label maps are scored")
        check_not_gone(folder / LABELS)
        one = score_run(run, plan, kept, scoring, folder, jobs=options.jobs, seed=options.seed)
        check_not_gone(folder / LABELS)
        if not one.records:
            why = next(iter(one.problems.values()), "there are none")
            raise InputError(f"no case of {run.name} could be scored: {why}")
        write_json(folder / "metrics.json", metrics_json(one.evaluation()))
        scores.append(one)
    systems = [read_system(f"{one.run.name}={output / one.run.name}") for one in scores]
    comparison = _compared(systems, options.seed) if len(systems) > 1 else None
    found = CrossValidation(tuple(scores), comparison)
    check_not_gone(folder / LABELS)
    _write(output, found)
    return found


def _predicted(run: CrossRun, options: CrossOptions, report: Report) -> Predicted:
    """Where the run's cases are predicted."""
    place = options.cluster

    def predicted(wanted: Sequence[Wanted], folder: Path) -> Iterator[Made]:
        if place is None or not wanted:
            return predicted_here(run, wanted, folder, options.device, report)
        return predicted_on_ray(run, wanted, folder, place, report)

    return predicted


def _write(output: Path, found: CrossValidation) -> None:
    write_text(output / "folds.csv", folds_csv(found.scores))
    write_text(output / "cases.csv", cases_csv(found.scores))
    if found.comparison is not None:
        write_text(output / "comparison.csv", comparison_csv(found.comparison))
    write_json(
        output / "crossvalidation.json", crossvalidation_json(found.scores, found.comparison)
    )
    page = crossvalidation_page(found.scores, found.comparison)
    write_text(output / "crossvalidation.html", page)


def _compared(systems: Sequence[System], seed: int) -> Comparison:
    """Runs against each other on the cases that all of them have."""
    cases = common_cases(systems, only_common=True)
    return compare(systems, cases, strata(systems, cases, {}), seed)


def _cases(run: CrossRun, dataset: Dataset) -> Sequence[Case]:
    if run.system is None:
        return dataset.labelled
    return chosen_cases(dataset, run.system.dataset)


def _common_labels(runs: Sequence[CrossRun]) -> Convention:
    found = sorted({run.labels for run in runs})
    if len(found) > 1:
        raise UsageError(
            f"the runs write labels of different conventions ({', '.join(found)}); choose by "
            "--labels in which to score"
        )
    return found[0]


def _with_reference(options: Options, dataset: Dataset) -> Options:
    return Options(options.labels, dataset.convention, None, empty=options.empty)
