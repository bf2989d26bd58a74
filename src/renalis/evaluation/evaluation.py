"""A whole evaluation: pair, score, summarize."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from renalis.errors import InputError
from renalis.evaluation.cases import Missing, Outcome, score_cases
from renalis.evaluation.grids import Grid
from renalis.evaluation.lesions import detection_table
from renalis.evaluation.pairing import CasePair, Pairing, pair_cases
from renalis.evaluation.records import METRICS, CaseRecord, limits
from renalis.evaluation.regions import regions
from renalis.evaluation.scores import Options
from renalis.evaluation.statistics import Summary, summary
from renalis.evaluation.training_overlap import seen_in_training
from renalis.io.scan import shown
from renalis.known_cases import KnownModel

__all__ = ["Agreement", "Evaluation", "detected", "evaluate", "summarized"]

_NAMED = 5
_EXPLAINED = 3

DetectionRows = list[dict[str, float | int | str | None]]


@dataclass(frozen=True)
class Agreement:
    """One line of the inter-observer table: who against whom.

    Parameters
    ----------
    first, second : str
        Observers, by the names of their folders; the first is taken as reference.
    summaries : dict
        Summary by region and metric (``dice``, ``surface_dice``, ``hd95_mm``).
    """

    first: str
    second: str
    summaries: dict[str, dict[str, Summary]]


@dataclass(frozen=True)
class Evaluation:
    """Everything that the tables show.

    Parameters
    ----------
    options : Options
        How was scored.
    records : tuple of CaseRecord
        Scored cases, in the order of their numbers.
    summaries : dict
        Summary by region and metric.
    detection : dict
        Rows of detection by region.
    skipped, zeroed : dict of str to str
        Cases without a readable prediction that were left out or count zero, and why.
    unused : tuple of str
        Names of predictions without reference.
    observers : tuple of Agreement
        The inter-observer table; empty with one reference.
    pairs : tuple of CasePair
        Which prediction was scored against which reference, and what made them a pair.
    seen : dict of str to str
        Cases that the predicting model has seen in training, and what is known about that.
    remark : str
        What is known about the model's training in general, where it does not know the cases.
    """

    options: Options
    records: tuple[CaseRecord, ...]
    summaries: dict[str, dict[str, Summary]]
    detection: dict[str, DetectionRows]
    skipped: dict[str, str]
    zeroed: dict[str, str]
    unused: tuple[str, ...]
    observers: tuple[Agreement, ...] = ()
    pairs: tuple[CasePair, ...] = ()
    seen: dict[str, str] = field(default_factory=dict)
    remark: str = ""


def evaluate(
    references: Sequence[Path],
    predictions: Path,
    options: Options,
    *,
    missing: Missing = Missing.ERROR,
    keep: Path | None = None,
    jobs: int = 1,
    seed: int = 0,
    progress: Callable[[Outcome, int], None] = lambda _, __: None,
    model: KnownModel | None = None,
) -> Evaluation:
    """Score a folder of predictions.

    Parameters
    ----------
    references : sequence of Path
        Folder (or file) of references; further ones are further observers.
    predictions : Path
        Folder (or file) of predictions.
    options : Options
        How to score.
    missing : Missing
        What a missing or unreadable prediction counts.
    keep : Path, optional
        Where results of single cases are kept, so that a run that was cut off goes on.
    jobs : int
        Processes.
    seed : int
        Of the bootstrap.
    progress : callable
        Called after each case with its outcome and the number of cases.
    model : KnownModel, optional
        That made the predictions, where nothing next to them says so.

    Raises
    ------
    InputError
        If anything cannot be scored; all such cases are named.
    """

    def run(
        reference: Path, other: Path, rule: Missing, options: Options = options
    ) -> tuple[list[Outcome], Pairing]:
        pairing = pair_cases(reference, other)
        if rule is Missing.ERROR:
            _refuse_missing(pairing.cases, other)
        total = len(pairing.cases)
        outcomes = score_cases(
            pairing.cases,
            options,
            missing=rule,
            keep=keep,
            jobs=jobs,
            progress=lambda outcome: progress(outcome, total),
        )
        _refuse_failed(outcomes)
        return outcomes, pairing

    outcomes, pairing = run(references[0], predictions, missing)
    records = tuple(o.record for o in outcomes if o.record is not None)
    if not records:
        raise InputError(f"none of the {len(outcomes)} cases has a readable prediction")
    observers = []
    if len(references) > 1:
        everyone = [*references, predictions]
        names = _distinct_names(everyone)
        for one, two in combinations(range(len(everyone)), 2):
            last = two == len(references)
            found = outcomes if one == 0 and last else None
            if found is None:
                how = (missing, options) if last else (Missing.SKIP, _among_references(options))
                found, _ = run(everyone[one], everyone[two], *how)
            pairs = tuple(o.record for o in found if o.record is not None)
            observers.append(Agreement(names[one], names[two], summarized(pairs, seed)))
    return Evaluation(
        options=options,
        records=records,
        summaries=summarized(records, seed),
        detection=detected(records, options),
        skipped={o.case_id: o.problem for o in outcomes if o.skipped},
        zeroed={o.case_id: o.problem for o in outcomes if o.record is not None and o.problem},
        unused=tuple(p.name for p in pairing.unused),
        observers=tuple(observers),
        pairs=pairing.cases,
        seen=seen_in_training(pairing.cases, model),
        remark="" if model is None else model.remark,
    )


def _among_references(options: Options) -> Options:
    """How to score one reference against another: what is said of predictions holds for neither."""
    return replace(
        options,
        prediction_labels=options.reference_labels,
        grid=Grid.SAME if options.grid is Grid.VOXEL else options.grid,
    )


def summarized(records: Sequence[CaseRecord], seed: int) -> dict[str, dict[str, Summary]]:
    """Summary of every metric of every region, over the cases where it has a value."""
    names = list(dict.fromkeys(name for r in records for name in r.score.regions))
    return {
        name: {
            metric: summary(
                [getattr(r.score[name], metric) for r in records if name in r.score.regions],
                seed,
                limits(metric),
            )
            for metric in METRICS
        }
        for name in names
    }


def detected(records: Sequence[CaseRecord], options: Options) -> dict[str, DetectionRows]:
    """Detection tables of the regions that consist of lesions."""
    tables = {}
    for region in regions(options.labels):
        found = [r.score.regions[region.name] for r in records if region.name in r.score.regions]
        if region.lesions and found:
            tables[region.name] = detection_table([f.detection for f in found if f.detection])
    return tables


def _refuse_missing(cases: Sequence[CasePair], predictions: Path) -> None:
    """Name the cases without prediction before any work is done."""
    absent = [c for c in cases if c.prediction is None]
    if absent:
        names = ", ".join(c.case_id for c in absent[:_NAMED])
        names += ", …" if len(absent) > _NAMED else ""
        doubt = next((f": {c.doubt}" for c in absent if c.doubt), "")
        raise InputError(
            f"{len(absent)} of {len(cases)} references have no prediction in {shown(predictions)} "
            f"({names}{doubt}); use --missing zero to count them as zero or --missing skip "
            "to leave them out"
        )


def _refuse_failed(outcomes: Sequence[Outcome]) -> None:
    """Name the cases that could not be scored."""
    failed = [o for o in outcomes if o.record is None and not o.skipped]
    if not failed:
        return
    lines = [f"{o.case_id}: {o.problem}" for o in failed[:_EXPLAINED]]
    if len(failed) > _EXPLAINED:
        more = ", ".join(o.case_id for o in failed[_EXPLAINED:])
        lines.append(f"and {len(failed) - _EXPLAINED} more: {more}")
    raise InputError(
        f"{len(failed)} of {len(outcomes)} cases cannot be scored, so no tables were written\n  "
        + "\n  ".join(lines)
    )


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """Names of observers: their folders' names, with more of the path where these are equal."""
    names = [p.name for p in paths]
    if len(set(names)) < len(names):
        names = [f"{p.absolute().parent.name}/{p.name}" for p in paths]
    return [shown(n) if names.count(n) == 1 else f"{shown(n)} ({k})" for k, n in enumerate(names)]
