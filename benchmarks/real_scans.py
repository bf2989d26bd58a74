"""Every real scan at hand through the whole program: whole, thinned, and cut at many places.

Run: ``python benchmarks/real_scans.py --data DATA [--output DIR] [--quick]``. Every CT below
``DATA/real-ct`` is segmented with its report as it is, with every second and every third slice, and
cut from above and from below at ten places each. What counts as wrong: a case that fails, a kidney
that the copy has whole and whose volume differs by more than 15 % from that in the whole scan or
whose side has changed, one that is missing, and a whole one that the whole scan lacks, unless it is
called doubtful. Ends with 1 if there is any of these. What a copy shows cut and the whole scan
lacks is named, since nothing says which of them is right. ``--quick`` does each scan whole, those
of fewer than 10 million voxels also with every second slice and without a report, and predicts
without mirroring.

With ``--output`` the results stay there: ``real_scans.json``, ``real_scans.md``, and a folder for
each case. ``--resume`` goes on where a run of the same program was stopped.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
from real_scans_score import Store, scored, table

import renalis
from renalis.io import ScanSource, find_scans
from renalis.measurement.scene import slice_axis
from renalis.model import Model
from renalis.pipeline import CaseResult, Listener, SegmentOptions, segment
from renalis.prediction import Mirror, PredictionOptions
from renalis.volume import Volume

PLACES = 10
"""Cuts from each side, spread evenly over the scan's height."""
THINNED = (2, 3)
QUICK_VOXELS = 10_000_000


def main(words: Sequence[str] | None = None) -> int:
    """Segment, compare, print; 1 if anything is wrong, 2 if there is no scan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, help="keep the results here")
    parser.add_argument("--quick", action="store_true", help="whole and a few copies only")
    parser.add_argument("--resume", action="store_true", help="skip what --output holds already")
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args(words)
    folder = arguments.data / "real-ct"
    sources = find_scans([folder]) if folder.is_dir() else []
    if not sources:
        print(f"there is no CT below {folder}", file=sys.stderr)
        return 2
    prediction = PredictionOptions(threads=arguments.threads)
    if arguments.quick:
        prediction = replace(prediction, mirror=Mirror.NONE)
    options = SegmentOptions(prediction=prediction, overwrite=True)
    model = renalis.load_model(arguments.model)
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(arguments.output or Path(scratch) / "results", arguments.resume)
        if any(store.get(source.case_id, "whole") is None for source in sources):
            wholes = {s.case_id: (s.case_id, "whole", slice(0, None, 1)) for s in sources}
            segment(
                folder, store.cases, options, listener=_Recorder(store, wholes, True), model=model
            )
        options = replace(options, report=not arguments.quick)
        for source in sources:
            _copies(source, model, options, store, Path(scratch), arguments.quick)
        outcomes = store.outcomes()
    print(table(outcomes))
    return 1 if any(outcome.wrong for outcome in outcomes) else 0


def variants(count: int, head_last: bool, quick: bool = False) -> Iterator[tuple[str, slice]]:
    """Names of a scan's altered copies, and which of its ``count`` slices each has.

    ``head_last``: whether the slices run towards the head.
    """
    for step in THINNED[:1] if quick else THINNED:
        yield f"every-{step}", slice(0, count, step)
    for number in range(1, 1 if quick else PLACES + 1):
        lower = round(number * count / (PLACES + 1))
        place = lower if head_last else count - lower
        low, high = slice(0, place, 1), slice(place, count, 1)
        yield f"cut-above-{number:02d}", low if head_last else high
        yield f"cut-below-{number:02d}", high if head_last else low


def taken(scan: Volume, axis: int, part: slice) -> Volume:
    """Some of a scan's slices, where they were."""
    index: list[slice] = [slice(None)] * 3
    index[axis] = part
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, axis] * part.start
    affine[:3, axis] *= part.step
    return Volume(scan.array[tuple(index)], affine, scan.kind)


class _Recorder(Listener):
    """Keeps every outcome as soon as its case has ended, and says so."""

    def __init__(
        self, store: Store, names: dict[str, tuple[str, str, slice]], reported: bool
    ) -> None:
        self.store, self.names, self.reported = store, names, reported

    def ended(self, result: CaseResult) -> None:
        """See `renalis.pipeline.Listener`."""
        scan, variant, part = self.names[result.case_id]
        whole = self.store.get(scan, "whole")
        outcome = scored(scan, variant, result, part, whole, reported=self.reported)
        self.store.keep(outcome)
        print(f"{scan} {variant}: {outcome}", file=sys.stderr, flush=True)


def _copies(
    source: ScanSource,
    model: Model,
    options: SegmentOptions,
    store: Store,
    scratch: Path,
    quick: bool,
) -> None:
    """One scan's altered copies; a scan that failed itself has none to compare with."""
    name = source.case_id
    whole = store.get(name, "whole")
    if whole is None or whole.problem:
        return
    scan = renalis.read_scan(source).volume
    if quick and scan.array.size > QUICK_VOXELS:
        return
    axis = slice_axis(scan)
    names, files = {}, []
    for variant, part in variants(scan.shape[axis], scan.orientation[axis] == "S", quick):
        if store.get(name, variant) is not None:
            continue
        copy = taken(scan, axis, part)
        files.append(scratch / f"{name}_{variant}.nii")
        names[f"{name}_{variant}"] = (name, variant, part)
        nibabel.save(nibabel.Nifti1Image(np.asarray(copy.array), copy.affine), files[-1])
    if files:
        listener = _Recorder(store, names, options.report)
        segment(files, store.cases, options, listener=listener, model=model)
    for file in files:
        file.unlink()


if __name__ == "__main__":
    sys.exit(main())
