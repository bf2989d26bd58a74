"""Segment a scan with a trained run: all folds, all stages, the system's own clean-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from renalis.look_spread import LookSpread
from renalis.postprocessing.context import Context
from renalis.postprocessing.steps import make_step, run_steps
from renalis.postprocessing.tidy import Tidied
from renalis.prediction.ensemble import Ensembled, Member, average
from renalis.prediction.restore_probabilities import OnScan, restore_labels
from renalis.preparation import prepare_case
from renalis.recipes.system import Stage
from renalis.systems.fold_spread import compared_regions, fold_spread, variance_over
from renalis.systems.gate import gate_notes, rules_in_force
from renalis.systems.inference import (
    LowResolutionPrediction,
    Regions,
    StagePrediction,
    likeliest_labels,
    predict_stage,
)
from renalis.systems.label_classes import lesion_classes
from renalis.systems.runs import Run
from renalis.volume import Kind, Volume

__all__ = [
    "SystemPrediction",
    "member",
    "predict_scan",
    "stage_predictions",
]


@dataclass(frozen=True, eq=False)
class SystemPrediction:
    """A system's prediction of a scan.

    Attributes
    ----------
    raw : Volume
        Labels as likeliest_labels, in the dataset's convention, on the scan's own grid.
    tidied : Tidied
        After the system's own clean-up, and what each step changed.
    classes : OnScan
        Class probabilities of this system alone, background first, on its grid.
    together : Ensembled or None
        What an ensemble says, on the scan's grid.
    notes : tuple of str
        What a reader of the result should know.
    spread : LookSpread or None
        How much the folds of this system alone differ, where there are several.
    """

    raw: Volume
    tidied: Tidied
    classes: OnScan
    together: Ensembled | None = None
    notes: tuple[str, ...] = ()
    spread: LookSpread | None = None


def predict_scan(
    run: Run, scan: Volume, others: Sequence[Member] = (), weights: Sequence[float] | None = None
) -> SystemPrediction:
    """Segment a scan, alone or averaged with other programs' predictions.

    Parameters
    ----------
    run : Run
        From `open_run`.
    scan : Volume
        HU, any orientation.
    others : sequence of Member
        Further members of the ensemble, such as nnU-Net's probabilities
        (`renalis.prediction.ensemble.open_member`), with this system's classes.
    weights : sequence of float, optional
        Of this system and of the others; equal by default.
    """
    predicted = stage_predictions(run, scan, () if others else compared_regions(run))
    stages = run.system.all_stages()
    last = stages[-1]
    own = member(run, predicted, scan)
    together = None
    if others or last.prediction.restore == "prob_linear":
        values = _values(stages)

        def decide(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
            if len(stages) == 1:
                return likeliest_labels(last, probability)
            return np.asarray(values[probability.argmax(0)])

        together = average(
            [own, *others], scan, weights=weights, lesions=lesion_classes(run.system), decide=decide
        )
        raw = together.labels
    else:
        grid = np.zeros(predicted[last.name].probability.shape[1:], np.uint8)
        for stage in stages:
            labels = likeliest_labels(stage, predicted[stage.name].probability)
            grid[labels > 0] = labels[labels > 0]
        raw = restore_labels(grid, predicted[last.name].affine, scan)
    notes = gate_notes(run.system, predicted[last.name])
    tidied = _tidied(run, raw, scan, predicted)
    spread = fold_spread(predicted[last.name], len(run.folds))
    return SystemPrediction(raw, tidied, own, together if others else None, notes, spread)


def stage_predictions(run: Run, scan: Volume, regions: Regions = ()) -> dict[str, StagePrediction]:
    """Every stage's mean prediction over the folds.

    Parameters
    ----------
    run : Run
        From `open_run`.
    scan : Volume
        HU, any orientation.
    regions : sequence of sequence of int
        Classes each, of which to know how the folds differ.
    """
    result: dict[str, StagePrediction] = {}
    for stage in run.system.all_stages():
        per_fold = []
        shared = all(fold.specs[stage.name] == run.folds[0].specs[stage.name] for fold in run.folds)
        groups = [run.folds] if shared else [(fold,) for fold in run.folds]
        for group in groups:
            specs = group[0].specs[stage.name]
            case = prepare_case(scan, None, list(specs.values()))
            region = None
            if stage.input_mask is not None:
                before = result[stage.input_mask.stage].probability
                region = before[1:].sum(0) > stage.input_mask.threshold
            networks = [fold.networks[stage.name] for fold in group]
            per_fold.append(
                predict_stage(
                    stage,
                    networks,
                    case,
                    specs,
                    region=region,
                    device=run.device,
                    regions=regions if len(group) > 1 else (),
                )
            )
        result[stage.name] = per_fold[0] if shared else _mean(per_fold, regions)
    return result


def _mean(predicted: Sequence[StagePrediction], regions: Regions) -> StagePrediction:
    """Of folds whose grids differ in intensities alone."""
    first = predicted[0]
    probability = _averaged([one.probability for one in predicted])
    lows = [one.low for one in predicted if one.low is not None]
    low = (
        LowResolutionPrediction(_averaged([one.probability for one in lows]), lows[0].affine)
        if lows
        else None
    )
    # What any fold's coarse half let through is in the mean.
    opened = [one for one in predicted if one.gate == "open"]
    gate = (opened or predicted)[0].gate
    return StagePrediction(probability, first.affine, low, gate, variance_over(predicted, regions))


def _averaged(arrays: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    total = sum(arrays[1:], arrays[0])
    return np.asarray(total / np.float32(len(arrays)), np.float32)


def member(run: Run, predicted: dict[str, StagePrediction], scan: Volume) -> OnScan:
    """The system as a member of an ensemble: probabilities of background and its label values."""
    stages = run.system.all_stages()
    last = predicted[stages[-1].name]
    if len(stages) == 1:
        return OnScan(last.probability, last.affine, scan)
    # Later stages look inside earlier ones: what they leave is shared as the earlier ones say.
    classes = predicted[stages[0].name].probability
    for stage in stages[1:]:
        inside = predicted[stage.name].probability[1:]
        rest = 1 - inside.sum(0)
        classes = np.concatenate([classes * rest, inside])
    return OnScan(classes, last.affine, scan)


def _values(stages: Sequence[Stage]) -> NDArray[np.uint8]:
    """Label value of each class of `member`."""
    return np.array([0, *(value for stage in stages for value in stage.written)], np.uint8)


def _tidied(run: Run, raw: Volume, scan: Volume, predicted: dict[str, StagePrediction]) -> Tidied:
    stages = run.system.all_stages()
    last = predicted[stages[-1].name]
    steps = []
    for rule in rules_in_force(run.system, last):
        numbers = rule.model_dump()
        steps.append(make_step(numbers.pop("rule"), **numbers))
    rois = {}
    for stage in stages[:-1]:
        stage_prediction = predicted[stage.name]
        grid = (stage_prediction.probability[1:].sum(0) > stage.prediction.threshold).astype(
            np.uint8
        )
        rois[stage.name] = restore_labels(grid, stage_prediction.affine, scan)
    low = fine = None
    if last.low is not None:
        low = Volume(last.low.probability, last.low.affine, Kind.PROBABILITY)
        fine = Volume(last.probability[0], last.affine, Kind.PROBABILITY)
    lesions = tuple(sorted({2, *(v for v in _values(stages).tolist() if v > 2)}))
    return run_steps(
        raw, steps, Context(image=scan, low=low, fine=fine, rois=rois, lesions=lesions)
    )
