"""Segment scans with a trained run, alone or in an ensemble: what ``renalis segment`` does then."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from renalis.conventions import Classes
from renalis.errors import InputError, UsageError
from renalis.io import Scan, ScanSource, read_scan
from renalis.io.straight import with_tilt_note
from renalis.measurement import Measurements
from renalis.pipeline.cases import input_paths, run_cases
from renalis.pipeline.identity import scan_facts
from renalis.pipeline.options import CaseResult, Clock, Listener
from renalis.pipeline.segmented import Segmented
from renalis.prediction.ensemble import Member
from renalis.preparation.plausibility import with_place_notes
from renalis.systems.ensemble_members import EnsembleMember, is_run, open_ensemble_member, run_hash
from renalis.systems.gate import looking_everywhere
from renalis.systems.label_classes import remarks, system_classes
from renalis.systems.packed import open_any_run
from renalis.systems.predict import Run, SystemPrediction, predict_scan
from renalis.volume import Kind, Volume

if TYPE_CHECKING:
    from renalis.report import ReportContent

__all__ = ["RunOptions", "segment_with_run"]

Path_ = str | os.PathLike[str]


@dataclass(frozen=True)
class RunOptions:
    """How to segment with a run.

    Attributes
    ----------
    run : Path
        Folder of ``renalis train``, or the model file of ``renalis model pack``.
    members : tuple of Path
        Further members of the ensemble: runs, or folders of ``CASE.npz`` or label maps.
    weights : tuple of float or None
        Of the run and of each member; equal by default.
    folds : tuple of int or None
        Of the run; all that are there by default.
    device : {"auto", "cpu", "cuda"}
        Where to compute.
    without_rules : tuple of str
        Clean-up rules of the system to leave out; ``all`` leaves all out.
    look_everywhere : bool
        Where the coarse network of a cascade finds nothing, the fine one looks everywhere.
    series, report, overwrite, anonymous, trust_place
        As in `renalis.pipeline.SegmentOptions`.
    """

    run: Path
    members: tuple[Path, ...] = ()
    weights: tuple[float, ...] | None = None
    folds: tuple[int, ...] | None = None
    device: str = "auto"
    without_rules: tuple[str, ...] = ()
    look_everywhere: bool = False
    series: str | None = None
    report: bool = True
    overwrite: bool = False
    anonymous: bool = False
    trust_place: bool = False


def segment_with_run(
    inputs: Path_ | Iterable[Path_],
    output: Path_,
    options: RunOptions,
    listener: Listener | None = None,
) -> list[CaseResult]:
    """Segment and measure scans with a published system that was trained here.

    Writes the same files as `renalis.pipeline.segment`, after the system's own clean-up.

    Raises
    ------
    InputError
        If a run cannot be used or there is no input at all.
    OutputError
        If the output folder cannot be written.
    UsageError
        If options do not fit the run.
    """
    listener = listener or Listener()
    paths = input_paths(inputs)
    device = _device(options.device)
    weights = _weights(options)
    run = open_any_run(options.run, options.folds, device)
    _known_rules(options, [rule.rule for rule in run.system.postprocessing])
    run = _without(run, options.without_rules)
    if options.look_everywhere:
        run = replace(run, system=looking_everywhere(run.system))
    if options.anonymous and not all(map(is_run, options.members)):
        raise UsageError(
            "--with finds files of other programs by the cases' names, which --anonymous takes "
            "away; leave one of them out"
        )
    members = [open_ensemble_member(path, device) for path in options.members]
    work = _Work(options, run, run_hash(options.run, run), members, weights, listener)
    return run_cases(paths, Path(output), work, overwrite=options.overwrite, listener=listener)


@dataclass(frozen=True, eq=False)
class _Work:
    """A `renalis.pipeline.cases.CaseWork`."""

    options: RunOptions
    run: Run
    sha256: str
    members: Sequence[EnsembleMember]
    weights: tuple[float, ...] | None
    listener: Listener

    def key(self, source: ScanSource) -> str:
        """A hash of the scan's file, the networks, and every option that changes the result."""
        content = {
            "renalis": metadata.version("renalis"),
            "run": self.sha256,
            "folds": self.run.numbers,
            "members": [list(member.key(source)) for member in self.members],
            "weights": self.weights,
            "without_rules": sorted(self.options.without_rules),
            "look_everywhere": self.options.look_everywhere,
            "series": self.options.series or "",
            "report": self.options.report,
            "scan": scan_facts(source),
        }
        if self.options.anonymous:
            content["anonymous"] = True
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def report(self) -> bool:
        """See `renalis.pipeline.cases.CaseWork`."""
        return self.options.report

    @property
    def anonymous(self) -> bool:
        """See `renalis.pipeline.cases.CaseWork`."""
        return self.options.anonymous

    def read(self, source: ScanSource) -> Scan:
        """The scan in memory."""
        scan = read_scan(source, self.options.series)
        return with_tilt_note(with_place_notes(scan, self.options.trust_place))

    def segment(self, scan: Scan, clock: Clock) -> Segmented:
        """Predict and clean up as the system does."""
        classes = system_classes(self.run.system)
        with clock.timed("predict"):
            others = [member.of(scan, classes) for member in self.members]
            said = self._predicted(scan, others)
        kidney, lesion = _sure(said, classes)
        return Segmented(
            labels=said.tidied.labels,
            kidney=kidney,
            lesion=lesion,
            notes=(*remarks(self.run.system), *_left_out(self.run), *said.notes),
            changes=said.tidied.changes,
            story=self._provenance(scan, said),
        )

    def _predicted(self, scan: Scan, others: Sequence[Member]) -> SystemPrediction:
        with torch.inference_mode():
            return predict_scan(self.run, scan.volume, others, self.weights)

    def content(self, scan: Scan, segmented: Segmented, measured: Measurements) -> ReportContent:
        """What preview and page show."""
        from renalis.report import ModelFacts, gather

        publication = self.run.system.publication
        facts: list[tuple[str, str]] = []
        if publication is not None:
            facts += [("Publication", f"{publication.authors}: {publication.about}")]
        facts += [("Folds averaged", ", ".join(map(str, self.run.numbers)))]
        facts += [("Together with", str(one.facts()["system"])) for one in self.members]
        facts += [("Checksum (SHA-256)", self.sha256)]
        model = ModelFacts(
            f"{self.run.system.name}, trained by its user",
            self.run.licence or "weights are under the terms of the data they were trained on",
            tuple(facts),
        )
        content = gather(
            scan,
            segmented.labels,
            measured,
            changes=segmented.changes,
            version=metadata.version("renalis"),
        )
        return replace(content, model=model, notes=(*scan.warnings, *segmented.notes))

    def _provenance(self, scan: Scan, said: SystemPrediction) -> dict[str, Any]:
        """How the result was made; nothing in it identifies the patient or this machine."""
        publication = self.run.system.publication
        return {
            "renalis": metadata.version("renalis"),
            "case": scan.case_id,
            "system": {
                "name": self.run.system.name,
                "publication": None if publication is None else publication.id,
                "folds": list(self.run.numbers),
                "sha256": self.sha256,
            },
            "members": [member.facts() for member in self.members],
            "weights": self.weights,
            "device": self.run.device.type,
            "rules": [
                {"name": change.name, "voxels": change.voxels, "ml": round(change.ml, 3)}
                for change in said.tidied.changes
            ],
        }


def _sure(said: SystemPrediction, classes: Classes) -> tuple[Volume | None, Volume | None]:
    """Renal and lesion probability, for the confidences in measurements."""
    if said.foreground is not None:  # an ensemble keeps no more than this
        return said.foreground, None
    own = said.classes
    lesions = [number for number, known in enumerate(classes, 1) if 1 not in known]

    def summed(numbers: Sequence[int]) -> Volume | None:
        if not numbers:
            return None
        total = own.probability[list(numbers)].sum(0)
        rounded = np.rint(np.clip(total, 0, 1) * 255).astype(np.uint8)
        return Volume(rounded, own.affine, Kind.PROBABILITY)

    return summed(range(1, own.classes)), summed(lesions)


def _device(wanted: str) -> str:
    there = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if there else "cpu"
    if wanted == "cuda" and not there:
        raise InputError("there is no CUDA device here; use --device cpu")
    return wanted


def _weights(options: RunOptions) -> tuple[float, ...] | None:
    if options.weights is None:
        return None
    members = 1 + len(options.members)
    if len(options.weights) != members:
        raise UsageError(
            f"--weights gives {len(options.weights)} numbers for {members} members: the run, then "
            "each --with"
        )
    if not all(0 <= weight < float("inf") for weight in options.weights) or not any(
        options.weights
    ):
        raise UsageError("--weights are 0 or more, and not all 0")
    return options.weights


def _left_out(run: Run) -> tuple[str, ...]:
    """Folds whose training has not ended, where all that are trained were wanted."""
    if not run.unfinished or not run.system.prediction.ensemble_folds:
        return ()
    which = ", ".join(map(str, run.unfinished))
    return (f"Folds whose training is not finished were left out of the mean: {which}.",)


def _known_rules(options: RunOptions, known: Sequence[str]) -> None:
    for name in options.without_rules:
        if name != "all" and name not in known:
            there = ", ".join(sorted(set(known))) or "none"
            raise UsageError(f"--without-rule: the system has no rule {name!r} (it has: {there})")


def _without(run: Run, names: Sequence[str]) -> Run:
    """The run without some rules of its clean-up."""
    if not names:
        return run
    kept = tuple(
        rule for rule in run.system.postprocessing if "all" not in names and rule.rule not in names
    )
    return replace(run, system=run.system.model_copy(update={"postprocessing": kept}))
