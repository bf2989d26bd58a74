"""The kinds of the published systems: windows, slices or tiles, alone or in an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from renalis.compute_device import choose_device
from renalis.compute_failures import device_lost, is_device_lost
from renalis.errors import UsageError
from renalis.io import Scan, ScanSource
from renalis.known_cases import KnownModel
from renalis.plugins import installed_packages
from renalis.recipes import needs_of
from renalis.systems.ensemble_members import EnsembleMember, open_ensemble_member, run_hash
from renalis.systems.gate import with_open_gate
from renalis.systems.label_classes import lesion_classes, remarks, system_classes
from renalis.systems.predict import SystemPrediction, predict_scan
from renalis.systems.runs import Run, check_terms, open_run
from renalis.systems.segmenter import Clock, Segmented
from renalis.systems.segmenter_options import FOR_COARSE_TO_FINE, SegmenterOptions, refuse
from renalis.volume import Kind, Volume

if TYPE_CHECKING:
    from renalis.report import ModelFacts

__all__ = ["SystemSegmenter", "open_system"]


@dataclass(frozen=True, eq=False)
class SystemSegmenter:
    """A `renalis.systems.segmenter.Segmenter`: a run's networks and its recipe's own clean-up.

    Attributes
    ----------
    run : Run
        With the rules that are to run.
    sha256 : str
        Of its recipe and weights.
    members : sequence of EnsembleMember
        What it is averaged with; the clean-up is the run's.
    weights : tuple of float or None
        Of the run and of each member; equal by default.
    without_rules : tuple of str
        What was left out of the clean-up.
    look_everywhere : bool
        Whether the run's gate was changed so.
    on_cpu : callable or None
        Opens the same on the CPU, to go on there when a GPU is gone.
    """

    run: Run
    sha256: str
    members: Sequence[EnsembleMember] = ()
    weights: tuple[float, ...] | None = None
    without_rules: tuple[str, ...] = ()
    look_everywhere: bool = False
    on_cpu: Callable[[], SystemSegmenter] | None = None

    @property
    def kind(self) -> str:
        """As in the recipe, of the last stage; or ``ensemble``."""
        return "ensemble" if self.members else self.run.system.all_stages()[-1].prediction.kind

    @property
    def by_case_name(self) -> bool:
        """Whether a member is a folder with a file for each case."""
        return any(member.by_case_name for member in self.members)

    @property
    def known(self) -> tuple[KnownModel, ...]:
        """The run, then members that are runs."""
        return (self.run.known, *(model for one in self.members for model in one.known))

    def facts(self) -> ModelFacts:
        """Where the system comes from, and what was averaged."""
        from renalis.report import ModelFacts

        publication = self.run.system.publication
        facts: list[tuple[str, str]] = []
        if publication is not None:
            facts += [("Publication", f"{publication.authors}: {publication.about}")]
        facts += [("Folds averaged", ", ".join(map(str, self.run.numbers)))]
        facts += [("Together with", str(one.facts()["system"])) for one in self.members]
        facts += [("Checksum (SHA-256)", self.sha256)]
        return ModelFacts(
            f"{self.run.system.name}, trained by its user",
            self.run.licence or "weights are under the terms of the data they were trained on",
            tuple(facts),
        )

    def key(self, source: ScanSource) -> Mapping[str, object]:
        """The networks, the other members' predictions, and the options."""
        packages = installed_packages(needs_of(self.run.system))
        return {
            **({"packages": packages} if packages else {}),
            "run": self.sha256,
            "folds": self.run.numbers,
            "members": [list(member.key(source)) for member in self.members],
            "weights": self.weights,
            "without_rules": sorted(self.without_rules),
            "look_everywhere": self.look_everywhere,
        }

    def expected_mb(self, scan: Scan) -> float | None:
        """Not known beforehand."""
        return None

    def segment(self, scan: Scan, clock: Clock | None = None) -> Segmented:
        """Predict and clean up as the system does."""
        clock = clock or Clock()
        try:
            return self._segment(scan, clock)
        except Exception as error:
            if not is_device_lost(error):
                raise
            if self.on_cpu is None:
                raise device_lost(error) from error
            clock.listener.note(f"{device_lost(error)}; from here on the CPU computes")
        return self.on_cpu().segment(scan, clock)

    def _segment(self, scan: Scan, clock: Clock) -> Segmented:
        classes = system_classes(self.run.system)
        with clock.timed("predict"), torch.inference_mode():
            others = [member.of(scan, classes) for member in self.members]
            prediction = predict_scan(self.run, scan.volume, others, self.weights)
        kidney, lesion = _confidence_maps(prediction, lesion_classes(self.run.system))
        together = prediction.together
        return Segmented(
            labels=prediction.tidied.labels,
            kidney=kidney,
            lesion=lesion,
            notes=(*remarks(self.run.system), *_left_out(self.run), *prediction.notes),
            changes=prediction.tidied.changes,
            seconds={"predict": clock.seconds["predict"]},
            provenance=self._provenance(),
            spread=prediction.spread if together is None else together.spread,
        )

    def _provenance(self) -> dict[str, Any]:
        publication = self.run.system.publication
        return {
            "system": {
                "name": self.run.system.name,
                "publication": None if publication is None else publication.id,
                "folds": list(self.run.numbers),
                "sha256": self.sha256,
            },
            "packages": installed_packages(needs_of(self.run.system)),
            "members": [member.facts() for member in self.members],
            "weights": self.weights,
            "device": self.run.device.type,
        }


def _confidence_maps(
    prediction: SystemPrediction, lesions: Sequence[int]
) -> tuple[Volume | None, Volume | None]:
    """Renal and lesion probability, for the confidences in measurements."""
    if prediction.together is not None:
        return prediction.together.foreground, prediction.together.lesion
    own = prediction.classes

    def summed(numbers: Sequence[int]) -> Volume | None:
        if not numbers:
            return None
        total = own.probability[list(numbers)].sum(0)
        rounded = np.rint(np.clip(total, 0, 1) * 255).astype(np.uint8)
        return Volume(rounded, own.affine, Kind.PROBABILITY)

    return summed(range(1, own.classes)), summed(lesions)


def _left_out(run: Run) -> tuple[str, ...]:
    """Folds whose training has not ended, where all that are trained were wanted."""
    if not run.unfinished or not run.system.prediction.ensemble_folds:
        return ()
    which = ", ".join(map(str, run.unfinished))
    return (f"Folds whose training is not finished were left out of the mean: {which}.",)


def open_system(path: Path, options: SegmenterOptions) -> SystemSegmenter:
    """Make a run, or the model file that one was packed into, ready, with what it is averaged with.

    Raises
    ------
    InputError
        If it, or a member, cannot be used.
    UsageError
        If an option does not fit.
    """
    refuse(options, FOR_COARSE_TO_FINE, "belongs to the shipped model; a run's recipe decides")
    device, weights = choose_device(options.device or "auto"), _weights(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    if options.require_commercial:
        for each in (path, *options.members):
            check_terms(each)
    run = _without(open_run(path, options.folds, device), options.without_rules)
    if options.look_everywhere:
        run = replace(run, system=with_open_gate(run.system))
    members = [open_ensemble_member(member, device) for member in options.members]
    chosen = options.device in (None, "auto") and device == "cuda"
    return SystemSegmenter(
        run,
        run_hash(path, run),
        members,
        weights,
        options.without_rules,
        options.look_everywhere,
        cache(lambda: open_system(path, replace(options, device="cpu"))) if chosen else None,
    )


def _weights(options: SegmenterOptions) -> tuple[float, ...] | None:
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


def _without(run: Run, names: Sequence[str]) -> Run:
    """The run without some rules of its clean-up."""
    there = [rule.rule for rule in run.system.postprocessing]
    for name in names:
        if name != "all" and name not in there:
            known = ", ".join(sorted(set(there))) or "none"
            raise UsageError(f"--without-rule: the system has no rule {name!r} (it has: {known})")
    kept = tuple(
        rule for rule in run.system.postprocessing if "all" not in names and rule.rule not in names
    )
    return replace(run, system=run.system.model_copy(update={"postprocessing": kept}))
