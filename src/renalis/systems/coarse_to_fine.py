"""The kind of the shipped model: a coarse pass, a fine pass, then anatomical rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.calibration import Fits, calibration_of
from renalis.compute_device import DeviceChoice, choose_device
from renalis.compute_failures import device_lost, is_device_lost
from renalis.errors import UsageError
from renalis.io import Scan, ScanSource
from renalis.known_cases import KnownModel
from renalis.model import Model, check_licence, load_model
from renalis.plugins import installed_packages
from renalis.postprocessing import DEFAULT, NONE, Rules, tidy
from renalis.prediction import Prediction, PredictionOptions
from renalis.prediction.cascade import Networks, open_networks, predict
from renalis.prediction.memory import fitted
from renalis.prediction.options import ON_CUDA
from renalis.preparation.body import find_body
from renalis.systems.segmenter import Clock, Segmented
from renalis.systems.segmenter_options import FOR_RUNS, SegmenterOptions, refuse

if TYPE_CHECKING:
    from renalis.report import ModelFacts

__all__ = ["CoarseToFineSegmenter", "open_coarse_to_fine"]

_NO_INFLUENCE = ("max_ram_mb", "keep_heap", "threads", "runtime", "device")
"""Options of the prediction that change its speed or memory and not its meaning. Runtime and device
are among them: labels of the runtimes that ``auto`` takes agree with a Dice of 0.995."""


@dataclass(eq=False)
class CoarseToFineSegmenter:
    """A `renalis.systems.segmenter.Segmenter`; networks are opened when the first scan comes."""

    model: Model
    options: PredictionOptions = field(default_factory=PredictionOptions)
    rules: Rules = DEFAULT
    networks: Networks | None = None
    may_move: bool = False
    """Whether to go on on the CPU when a GPU is gone."""

    kind = "coarse_to_fine"
    by_case_name = False

    @property
    def known(self) -> tuple[KnownModel, ...]:
        """The model alone."""
        return (KnownModel(self.model.header.name, self.model.header.cases),)

    @cached_property
    def fits(self) -> Fits | None:
        """What confidences were measured with these weights and this way of looking.

        None where labels are decided in another way than when they were measured.

        Raises
        ------
        InputError
            If the file next to the model that says so is damaged.
        """
        options, usual = self.options, PredictionOptions()
        if (
            self.rules != DEFAULT
            or replace(
                options,
                **{name: getattr(usual, name) for name in (*_NO_INFLUENCE, "mirror")},
            )
            != usual
        ):
            return None
        known = calibration_of(self.model.path, self.model.header.sha256)
        return None if known is None else known.fits.get(options.mirror.value)

    def facts(self) -> ModelFacts:
        """What its file's header says."""
        from renalis.report.gather import model_facts

        return model_facts(self.model.header)

    def key(self, source: ScanSource) -> Mapping[str, object]:
        """The model and every option that can change the result."""
        del source
        prediction = dataclasses.asdict(self.options)
        for name in _NO_INFLUENCE:
            prediction.pop(name)
        prediction["thresholds"] = self.options.decided_by(self.model.header).model_dump()
        packages = installed_packages(self.model.header.needs)
        return {
            **({"packages": packages} if packages else {}),
            "model": self.model.header.sha256,
            "prediction": prediction,
            "rules": dataclasses.asdict(self.rules),
            "confidence": None if self.fits is None else self.fits.model_dump(),
        }

    def expected_mb(self, scan: Scan) -> float | None:
        """What is announced before the prediction."""
        try:
            return fitted(scan.volume.reoriented(), self.model, self.options)[1]
        except UsageError:  # of a limit, which the prediction itself will say
            return None

    def segment(self, scan: Scan, clock: Clock | None = None) -> Segmented:
        """Predict and tidy."""
        clock = clock or Clock()
        try:
            prediction = self._predicted(scan, clock)
        except Exception as error:
            if not is_device_lost(error):
                raise
            self.networks = None
            if not self.may_move:
                raise device_lost(error) from error
            clock.listener.note(f"{device_lost(error)}; from here on the CPU computes")
            self.options = replace(self.options, device="cpu")
            prediction = self._predicted(scan, clock)
        with clock.timed("tidy"):
            body = find_body(scan.volume)
            tidied = tidy(
                prediction.labels,
                scan.volume,
                self.rules,
                body=body,
                probability=prediction.kidney,
            )
        return Segmented(
            labels=tidied.labels,
            kidney=prediction.kidney,
            lesion=prediction.lesion,
            notes=prediction.notes,
            changes=tidied.changes,
            seconds=prediction.seconds,
            runtime=prediction.runtime,
            provenance=self._provenance(prediction),
            body=body,
            spread=prediction.spread,
            fits=self.fits,
        )

    def _predicted(self, scan: Scan, clock: Clock) -> Prediction:
        """The networks' prediction; the memory that the fine pass needs is announced before it."""
        options, _, notes = fitted(scan.volume.reoriented(), self.model, self.options)
        for note in notes:
            clock.listener.note(note)
        if self.networks is None:
            with clock.timed("networks"):
                self.networks = open_networks(self.model, options)
        prediction = predict(
            scan.volume,
            self.model,
            options,
            networks=self.networks,
            progress=clock.listener.step,
            announce=clock.listener.memory,
        )
        clock.seconds |= prediction.seconds
        return prediction

    def _provenance(self, prediction: Prediction) -> dict[str, Any]:
        header, options = self.model.header, self.options
        return {
            "model": {
                "name": header.name,
                "version": header.version,
                "sha256": header.sha256,
                "licence": header.licence,
            },
            "packages": installed_packages(header.needs),
            "thresholds": dict(options.thresholds),
            "runtime": prediction.runtime,
            "device": options.device,
            "mirror": str(options.mirror),
            "windows_laid": str(options.windows),
            "interpolation": options.interpolated(header.stage("fine")),
            "windows": dict(prediction.windows),
            "expected_peak_mb": round(prediction.expected_peak_mb),
            "confidence_measured_on": "" if self.fits is None else self.fits.basis,
        }


def open_coarse_to_fine(model: Path | Model, options: SegmenterOptions) -> CoarseToFineSegmenter:
    """Make a model of two passes ready.

    Raises
    ------
    InputError
        If the file is damaged, or its licence is refused.
    UsageError
        If an option does not fit.
    """
    refuse(options, FOR_RUNS, "belongs to --model RUN, the folder of a training")
    prediction = _on_device(options.prediction or PredictionOptions(), options.device or "cpu")
    if options.threads is not None:
        prediction = replace(prediction, threads=options.threads)
    rules = _without(options.rules or DEFAULT, options.without_rules)
    if isinstance(model, Path):
        model = load_model(model)
    check_licence(model.header, options.require_commercial)
    return CoarseToFineSegmenter(model, prediction, rules, may_move=options.device == "auto")


def _on_device(prediction: PredictionOptions, wanted: DeviceChoice) -> PredictionOptions:
    """With the device that was chosen; ``auto`` is the CPU where the runtime knows no other."""
    if prediction.runtime not in ON_CUDA:
        if wanted == "cuda":
            raise UsageError(
                f"--runtime {prediction.runtime} computes on the CPU alone; leave it or --device "
                "cuda out"
            )
        return prediction
    return replace(prediction, device=choose_device(wanted))


def _without(rules: Rules, names: Sequence[str]) -> Rules:
    try:
        known = rules.without(*(name for name in names if name != "all"))
    except ValueError as error:
        raise UsageError(f"--without-rule: {error}") from error
    return NONE if "all" in names else known
