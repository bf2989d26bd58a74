"""Score many cases: in parallel, each result kept, so that a run that was cut off goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np

from renalis.child_processes import done_by_processes
from renalis.disk_failures import check_not_gone, is_of_a_disk, make_folder
from renalis.errors import InputError
from renalis.evaluation.grids import Grid
from renalis.evaluation.label_pair import paired_maps
from renalis.evaluation.label_sources import LabelMap, read_pair, source_hash
from renalis.evaluation.pairing import CasePair
from renalis.evaluation.pictures import difference_picture
from renalis.evaluation.records import CaseRecord, as_json, from_json, plain
from renalis.evaluation.scores import CaseScore, Options, RegionScore
from renalis.evaluation.scoring import score_pair
from renalis.io.write import write_text

__all__ = ["Missing", "Outcome", "score_cases"]

_VERSION = "4"
"""Part of the key of kept results; raise it when a number or a note would come out differently."""


class Missing(StrEnum):
    """What a missing or unreadable prediction counts."""

    ERROR = "error"
    """The run fails and names the case."""
    ZERO = "zero"
    """Dice and surface Dice 0, also where the reference is empty."""
    SKIP = "skip"
    """The case is left out, and named in all results."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case: a record, or why there is none.

    Parameters
    ----------
    case_id : str
        Name of the case.
    record : CaseRecord or None
        Its scores.
    problem : str
        A sentence, when something is wrong; with ``--missing zero`` there is a record as well.
    skipped : bool
        Whether the case was left out as asked.
    reused : bool
        Whether the record was kept from an earlier run.
    """

    case_id: str
    record: CaseRecord | None = None
    problem: str = ""
    skipped: bool = False
    reused: bool = False


def score_cases(
    cases: Sequence[CasePair],
    options: Options,
    *,
    missing: Missing = Missing.ERROR,
    keep: Path | None = None,
    jobs: int = 1,
    progress: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Score cases from their files.

    Parameters
    ----------
    cases : sequence of CasePair
        Where the files are.
    options : Options
        How to score.
    missing : Missing
        What a missing or unreadable prediction counts. A prediction on another grid or with other
        labels is never taken for missing, nor one that was there before its drive went away.
    keep : Path, optional
        Folder in which each case's result is kept under the hash of both files and the options.
    jobs : int
        Processes. Each holds the labelled pages of two label maps.
    progress : callable
        Called after each case, in the order of completion.

    Returns
    -------
    list of Outcome
        In the order of ``cases``.

    Raises
    ------
    OutputError
        If ``keep`` cannot be written, or is gone in the middle.
    """
    if keep is not None:
        make_folder(keep)
    work = partial(_score_case, options=options, missing=missing, keep=keep)
    outcomes: dict[str, Outcome] = {}
    for _, outcome in done_by_processes(work, cases, jobs):
        outcomes[outcome.case_id] = outcome
        progress(outcome)
    return [outcomes[case.case_id] for case in cases]


def _score_case(case: CasePair, options: Options, missing: Missing, keep: Path | None) -> Outcome:
    """Score one case, or say why not."""
    try:
        kept, file = _kept(case, options, missing, keep)
        if kept is not None:
            return Outcome(case.case_id, kept, reused=True)
        # With voxel grids the prediction's header is known to be wrong, so it may be silent.
        needs_place = options.grid is not Grid.VOXEL
        reference, prediction = read_pair(case.reference, case.prediction, needs_place)
    except InputError as error:
        return Outcome(case.case_id, problem=str(error))
    problem = "there is no prediction" + (f" ({case.doubt})" if case.doubt else "")
    if isinstance(prediction, InputError):
        if _went_away(case, prediction):
            missing = Missing.ERROR
        problem, prediction = str(prediction), None
    if prediction is None and missing is not Missing.ZERO:
        return Outcome(case.case_id, problem=problem, skipped=missing is Missing.SKIP)
    try:
        record = _record(case.case_id, reference, prediction, options)
    except InputError as error:
        return Outcome(case.case_id, problem=str(error))
    if prediction is None:
        return Outcome(case.case_id, record, problem)
    if keep is not None and file is not None:
        check_not_gone(keep)
        write_text(file, json.dumps(as_json(record)))
    return Outcome(case.case_id, record)


def _went_away(case: CasePair, why: InputError) -> bool:
    """Whether a prediction that cannot be read was there when the cases were listed."""
    listed = case.prediction
    return is_of_a_disk(why) or (listed is not None and not listed.exists())


def _record(
    case_id: str, reference: LabelMap, prediction: LabelMap | None, options: Options
) -> CaseRecord:
    """Scores and picture of one case; without a prediction, all zero."""
    volume = reference.volume
    given = prediction or LabelMap(volume.like(np.zeros_like(volume.array), volume.kind))
    pair = paired_maps(reference, given, options)
    score = score_pair(pair, options)
    picture = difference_picture(pair, score.worst_slice)
    if prediction is None:
        score = _zero(score)
    return CaseRecord(case_id, score, picture, missing=prediction is None)


def _zero(score: CaseScore) -> CaseScore:
    """Nothing was delivered, so nothing is right: not even that a region is empty."""
    zero = {name: _nothing_right(region) for name, region in score.regions.items()}
    return dataclasses.replace(score, regions=zero, notes=(*score.notes, "no prediction: zero"))


def _nothing_right(region: RegionScore) -> RegionScore:
    """A region's scores with zero for every Dice that counts."""
    counts = not math.isnan(region.dice)
    return dataclasses.replace(
        region,
        dice=0.0 if counts else math.nan,
        surface_dice=0.0 if counts else math.nan,
        smooth_dice=0.0,
        slice_dice=0.0,
        slice_dice_all=0.0,
    )


def _kept(
    case: CasePair, options: Options, missing: Missing, keep: Path | None
) -> tuple[CaseRecord | None, Path | None]:
    """The result of an earlier run, if nothing has changed, and where to keep a new one."""
    if keep is None or case.prediction is None:
        return None, None
    try:
        prediction = source_hash(case.prediction)
    except InputError:
        return None, None
    parts = [_VERSION, source_hash(case.reference), prediction, json.dumps(plain(options))]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
    file = keep / f"{case.case_id}-{key}.json"
    try:
        record = from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None, file
    return record, file
