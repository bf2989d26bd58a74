"""Segment scans: read, predict, tidy, measure, show, write; one case after another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.io import Scan, ScanSource, read_scan
from renalis.io.straight import with_tilt_note
from renalis.measurement import Measurements
from renalis.model import Model, load_model
from renalis.pipeline.cases import input_paths, run_cases
from renalis.pipeline.identity import result_key
from renalis.pipeline.options import CaseResult, Clock, Listener, SegmentOptions
from renalis.pipeline.segmented import Segmented
from renalis.postprocessing import Tidied, tidy
from renalis.prediction import Prediction
from renalis.prediction.cascade import Networks, open_networks, predict
from renalis.prediction.memory import fitted
from renalis.preparation.body import find_body
from renalis.preparation.plausibility import with_place_notes

if TYPE_CHECKING:
    from renalis.report import ReportContent

__all__ = ["segment"]

Path_ = str | os.PathLike[str]


def segment(
    inputs: Path_ | Iterable[Path_],
    output: Path_,
    options: SegmentOptions | None = None,
    *,
    listener: Listener | None = None,
    model: Model | None = None,
) -> list[CaseResult]:
    """Segment and measure scans.

    Writes ``<output>/<case>/`` with ``segmentation.nii.gz``, ``measurements.json``,
    ``preview.png``, ``report.html`` and ``provenance.json``, and ``<output>/measurements.csv``.
    Each file appears whole or not at all. Finished cases are skipped, a case that fails does not
    stop the others, and one that has its labels keeps them if a later step fails: called again,
    only what is missing is made.

    Parameters
    ----------
    inputs : path-like or iterable of path-like
        NIfTI files, DICOM folders or zips, or folders of those.
    output : path-like
        Folder for the results.
    options : SegmentOptions, optional
        How to segment.
    listener : Listener, optional
        Is told how the work goes.
    model : Model, optional
        Used instead of ``options.model``.

    Returns
    -------
    list of CaseResult
        One for each scan found, in that order.

    Raises
    ------
    InputError
        If the model cannot be used or there is no input at all.
    OutputError
        If the output folder cannot be written.
    """
    options = options or SegmentOptions()
    listener = listener or Listener()
    paths = input_paths(inputs)
    model = model or load_model(options.model, options.require_commercial)
    work = _Shipped(options, model, listener)
    return run_cases(paths, Path(output), work, overwrite=options.overwrite, listener=listener)


@dataclass(eq=False)
class _Shipped:
    """What is the same for all cases; networks are opened when the first case needs them."""

    options: SegmentOptions
    model: Model
    listener: Listener
    networks: Networks | None = None

    def key(self, source: ScanSource) -> str:
        """See `renalis.pipeline.cases.CaseWork`."""
        return result_key(source, self.model.header, self.options)

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
        """Predict and tidy."""
        prediction = self._predicted(scan, clock)
        with clock.timed("tidy"):
            body = find_body(scan.volume)
            tidied = tidy(
                prediction.labels,
                scan.volume,
                self.options.rules,
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
            story=_provenance(scan, self.model, self.options, prediction, tidied),
            body=body,
        )

    def content(self, scan: Scan, segmented: Segmented, measured: Measurements) -> ReportContent:
        """What preview and page show."""
        from renalis.report import gather

        return gather(
            scan,
            segmented.labels,
            measured,
            prediction=Prediction(
                segmented.labels,
                segmented.kidney,
                segmented.lesion,
                segmented.notes,
                segmented.seconds,
                runtime=segmented.runtime,
            ),
            changes=segmented.changes,
            header=self.model.header,
            version=metadata.version("renalis"),
        )

    def _predicted(self, scan: Scan, clock: Clock) -> Prediction:
        """The networks' answer, announced with the memory that it will need."""
        options = self.options.prediction
        canonical = scan.volume.reoriented()
        options, peak, notes = fitted(canonical, self.model, options)
        self.listener.said(f"expected peak memory: at most {peak:.0f} MB")
        for note in notes:
            self.listener.said(note)
        if self.networks is None:
            self.listener.step("networks", 0, 1)
            with clock.timed("networks"):
                self.networks = open_networks(self.model, options)
        prediction = predict(
            scan.volume, self.model, options, networks=self.networks, progress=self.listener.step
        )
        clock.seconds |= prediction.seconds
        return prediction


def _provenance(
    scan: Scan, model: Model, options: SegmentOptions, prediction: Prediction, tidied: Tidied
) -> dict[str, Any]:
    """How the result was made; nothing in it identifies the patient."""
    header = model.header
    return {
        "renalis": metadata.version("renalis"),
        "case": scan.case_id,
        "model": {
            "name": header.name,
            "version": header.version,
            "sha256": header.sha256,
            "licence": header.licence,
        },
        "runtime": prediction.runtime,
        "mirror": str(options.prediction.mirror),
        "windows_laid": str(options.prediction.windows),
        "interpolation": options.prediction.interpolation
        or model.header.stage("fine").interpolation,
        "windows": dict(prediction.windows),
        "rules": [
            {"name": change.name, "voxels": change.voxels, "ml": round(change.ml, 3)}
            for change in tidied.changes
        ],
        "expected_peak_mb": round(prediction.expected_peak_mb),
    }
