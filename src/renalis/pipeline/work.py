"""What is done with each scan, whatever segments it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from renalis.calibration import Fits, own_calibration
from renalis.errors import UsageError
from renalis.io import Scan, ScanSource, read_scan
from renalis.io.straight import with_tilt_note
from renalis.known_cases import SEEN, seen_scan
from renalis.measurement import Measurements
from renalis.model import Model
from renalis.pipeline.folder import MEASUREMENTS, PREVIEW, REPORT
from renalis.pipeline.formats import NIFTI, to_write
from renalis.pipeline.options import SegmentOptions
from renalis.preparation.plausibility import with_place_notes
from renalis.systems.segmenter import Clock, Segmented, Segmenter
from renalis.systems.segmenter_kinds import open_segmenter

if TYPE_CHECKING:
    from renalis.pipeline.outputs import FinishedCase
    from renalis.report import ReportContent

__all__ = ["CaseWork", "open_work", "scan_facts", "way_hash"]

_ANY = ScanSource("any", Path("any"), "nifti")


@dataclass(frozen=True, eq=False)
class CaseWork:
    """One way through a case for every kind of segmenter.

    Attributes
    ----------
    segmenter : Segmenter
        Says what is in the scan.
    options : SegmentOptions
        Of which those count here that concern the case and not the segmenter.
    fits : Fits, optional
        Confidences that were measured for just this way; the segmenter's own otherwise.
    """

    segmenter: Segmenter
    options: SegmentOptions
    fits: Fits | None = None

    def key(self, source: ScanSource) -> str:
        """A hash of all that can change the result; kept as ``key`` in ``provenance.json``.

        Of the scan only sizes, times and hashes of identifiers enter: nothing that identifies the
        patient can be recovered.
        """
        content: dict[str, Any] = {
            "renalis": metadata.version("renalis"),
            **self.segmenter.key(source),
            "series": self.options.series or "",
            "report": self.options.report,
            "scan": scan_facts(source),
        }
        if self.options.anonymous:
            content["anonymous"] = True
        if self.fits is not None:
            content["confidence"] = self.fits.model_dump()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def later(self) -> tuple[str, ...]:
        """Files that are made after the labels."""
        options = self.options
        drawn = (PREVIEW, REPORT) if options.report else ()
        return (MEASUREMENTS, *drawn, *to_write(options.write, options.anonymous))

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats in addition to NIfTI."""
        return tuple(sorted({*self.options.write} - {NIFTI}))

    def read(self, source: ScanSource) -> Scan:
        """The scan in memory."""
        scan = read_scan(source, self.options.series)
        return with_tilt_note(with_place_notes(scan, self.options.trust_place))

    def segment(self, scan: Scan, clock: Clock) -> Segmented:
        """Labels, what later steps need of the prediction, and how they were made.

        Nothing in the provenance identifies the patient or this machine.

        Raises
        ------
        RenalisError
            If the scan cannot be segmented.
        """
        segmented = self.segmenter.segment(scan, clock)
        known = self.segmenter.known
        seen, asked = seen_scan(known, scan), any(model.cases is not None for model in known)
        for one in seen:
            clock.listener.note(one.sentence)
        provenance = {
            "renalis": metadata.version("renalis"),
            "case": scan.case_id,
            **segmented.provenance,
            **({} if self.segmenter.by_case_name else {"way_sha256": way_hash(self.segmenter)}),
            "rules": [
                {"name": change.name, "voxels": change.voxels, "ml": round(change.ml, 3)}
                for change in segmented.changes
            ],
            **({SEEN: [one.facts() for one in seen]} if asked else {}),
        }
        notes = (*(one.sentence for one in seen), *segmented.notes)
        fits = self.fits or segmented.fits
        return replace(segmented, provenance=provenance, notes=notes, fits=fits)

    def content(self, scan: Scan, segmented: Segmented, measured: Measurements) -> ReportContent:
        """What preview and page show."""
        from renalis.report import gather

        return gather(
            scan,
            segmented.labels,
            measured,
            prediction=segmented,
            changes=segmented.changes,
            model=self.segmenter.facts(),
            version=metadata.version("renalis"),
        )

    def finished(self, scan: Scan, segmented: Segmented, measured: Measurements) -> FinishedCase:
        """What further formats and the report are made of."""
        from renalis.pipeline.outputs import FinishedCase

        return FinishedCase(
            scan=scan,
            labels=segmented.labels,
            body=segmented.body,
            measured=measured,
            model=self.segmenter.facts().name,
            make_content=lambda: self.content(scan, segmented, measured),
        )


def open_work(options: SegmentOptions, model: str | Path | Model | None = None) -> CaseWork:
    """Open the model for any number of cases.

    Parameters
    ----------
    options : SegmentOptions
        How to segment, checked.
    model : str, Path or Model, optional
        Used instead of ``options.model``.

    Raises
    ------
    InputError
        If the model cannot be used.
    UsageError
        If an option does not fit the model or another one.
    """
    segmenter = open_segmenter(options.model if model is None else model, options)
    if options.anonymous and segmenter.by_case_name:
        raise UsageError(
            "--with finds files of other programs by the cases' names, which --anonymous takes "
            "away; leave one of them out"
        )
    return CaseWork(segmenter, options, _own_fits(segmenter, options.confidence))


def way_hash(segmenter: Segmenter) -> str:
    """Hash of the networks and of all options that change the result, whatever the scan."""
    content = {**segmenter.key(_ANY)}
    content.pop("confidence", None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _own_fits(segmenter: Segmenter, file: Path | None) -> Fits | None:
    """Confidences that the user has measured, for this segmenter alone."""
    if file is None:
        return None
    known = own_calibration(file)
    if segmenter.by_case_name:
        raise UsageError(
            "--confidence is for networks, and of the files of another program nothing says how "
            "they were made; leave it out"
        )
    if known.way_sha256 != way_hash(segmenter):
        raise UsageError(
            f"{file} was measured with other networks or options; leave --confidence out, or "
            "measure it anew with `renalis model calibrate`"
        )
    return known.fits


def scan_facts(source: ScanSource) -> list[str]:
    """What tells the scan from others."""
    parts = [source.kind, source.path.name]
    if source.path.is_file():
        status = source.path.stat()
        parts += [str(status.st_size), str(status.st_mtime_ns)]
    if source.series is not None:
        parts += [source.study_uid, source.group, source.series.uid, str(source.slice_count)]
        parts += [source.state]
    elif source.state:
        parts += [source.state]
    return parts
