"""Segment scans: read, predict, tidy, measure, show, write; one case after another."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from renalis.errors import InputError, RenalisError
from renalis.io import Scan, ScanSource, find_scans, read_scan, write_labels
from renalis.measurement import Measurements, measure
from renalis.model import Model, load_model
from renalis.pipeline.folder import (
    PROVENANCE,
    make_output,
    provenance,
    result_folder,
    write_json,
)
from renalis.pipeline.identity import result_key
from renalis.pipeline.options import CaseResult, Listener, SegmentOptions, Status
from renalis.pipeline.table import write_table
from renalis.postprocessing import Tidied, tidy
from renalis.prediction import Prediction
from renalis.prediction.cascade import Networks, open_networks, predict
from renalis.prediction.machine import peak_mb
from renalis.prediction.memory import fitted

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
    Each appears whole or not at all. Finished cases are skipped, and a case that fails does not
    stop the others.

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
    paths = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if not paths:
        raise InputError("no input was given; name a NIfTI file, a DICOM folder or a zip")
    model = model or load_model(options.model, options.require_commercial)
    sources = find_scans(paths)
    target = Path(output)
    make_output(target)
    listener.cases(len(sources))
    run = _Run(target, options, model, listener)
    results = []
    for number, source in enumerate(sources):
        listener.case(source.case_id, number)
        result = run.case(source)
        listener.ended(result)
        results.append(result)
    write_table(target)
    return results


@dataclass(eq=False)
class _Run:
    """What is the same for all cases; networks are opened when the first case needs them."""

    output: Path
    options: SegmentOptions
    model: Model
    listener: Listener
    networks: Networks | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def case(self, source: ScanSource) -> CaseResult:
        """One case; whatever goes wrong becomes a sentence."""
        self.seconds = {}
        key = result_key(source, self.model.header, self.options)
        known = provenance(self.output / source.case_id)
        if known is not None and known.get("key") == key and not self.options.overwrite:
            folder = self.output / source.case_id
            notes = tuple(str(note) for note in known.get("notes", ()))
            return CaseResult(
                source.case_id, Status.SKIPPED, folder, notes=notes, row=known.get("row", {})
            )
        try:
            with result_folder(self.output, source.case_id, self.options.overwrite) as folder:
                notes, row = self._fill(folder, source, key)
        except RenalisError as error:
            return CaseResult(source.case_id, Status.FAILED, problem=str(error))
        except MemoryError:
            problem = (
                f"{source.case_id}: there is not enough memory for this scan; close other "
                "programs, or cut the scan to the abdomen"
            )
            return CaseResult(source.case_id, Status.FAILED, problem=problem)
        except Exception as error:
            problem = (
                f"{source.case_id}: internal error ({type(error).__name__}: {error}); "
                "this is a defect, please report it"
            )
            return CaseResult(source.case_id, Status.FAILED, problem=problem, internal=True)
        return CaseResult(
            source.case_id,
            Status.DONE,
            self.output / source.case_id,
            notes=notes,
            row=row,
            seconds=dict(self.seconds),
            peak_mb=peak_mb(),
        )

    def _fill(
        self, folder: Path, source: ScanSource, key: str
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """Compute a case and write its files; returns its notes and its row of the table."""
        with self._timed("read"):
            scan = read_scan(source, self.options.series)
        for warning in scan.warnings:
            self.listener.said(warning)
        prediction = self._predicted(scan)
        with self._timed("tidy"):
            tidied = tidy(prediction.labels, scan.volume, self.options.rules)
        with self._timed("measure"):
            measurements = measure(scan.volume, tidied.labels, prediction)
        files = ["segmentation.nii.gz", "measurements.json"]
        with self._timed("write"):
            write_labels(folder / files[0], tidied.labels, scan)
            _write_text(folder / files[1], measurements.to_json())
        notes = (*scan.warnings, *prediction.notes)
        if self.options.report:
            with self._timed("report"):
                files += self._show(folder, scan, prediction, tidied, measurements)
        row = measurements.csv_row(scan.case_id)
        content = _story(scan, self.model, self.options, prediction, tidied)
        seconds = {name: round(value, 3) for name, value in self.seconds.items()}
        content |= {"key": key, "files": files, "notes": notes, "row": row, "seconds": seconds}
        write_json(folder / PROVENANCE, content)
        return notes, row

    def _predicted(self, scan: Scan) -> Prediction:
        """The networks' answer, announced with the memory that it will need."""
        options = self.options.prediction
        canonical = scan.volume.reoriented()
        options, peak, notes = fitted(canonical, self.model, options)
        self.listener.said(f"expected peak memory: {peak:.0f} MB")
        for note in notes:
            self.listener.said(note)
        if self.networks is None:
            self.listener.step("networks", 0, 1)
            with self._timed("networks"):
                self.networks = open_networks(self.model, options)
        prediction = predict(
            scan.volume, self.model, options, networks=self.networks, progress=self.listener.step
        )
        self.seconds |= prediction.seconds
        return prediction

    def _show(
        self,
        folder: Path,
        scan: Scan,
        prediction: Prediction,
        tidied: Tidied,
        measurements: Measurements,
    ) -> list[str]:
        """Preview and report."""
        from renalis.report import gather, write_preview, write_report

        write_preview(
            folder / "preview.png",
            scan.volume,
            tidied.labels,
            measurements,
            case_id=scan.case_id,
        )
        content = gather(
            scan,
            tidied.labels,
            measurements,
            prediction=prediction,
            changes=tidied.changes,
            header=self.model.header,
            version=metadata.version("renalis"),
        )
        write_report(folder / "report.html", content)
        return ["preview.png", "report.html"]

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        """Tell the listener about a step and keep its time."""
        self.listener.step(step, 0, 1)
        began = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - began
        self.listener.step(step, 1, 1)


def _write_text(path: Path, text: str) -> None:
    from renalis.io import whole_file

    with whole_file(path) as file:
        file.write(text.encode())


def _story(
    scan: Scan, model: Model, options: SegmentOptions, prediction: Prediction, tidied: Tidied
) -> dict[str, Any]:
    """How the result was made; nothing in it identifies the patient."""
    header = model.header
    memory = peak_mb()
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
        "windows": dict(prediction.windows),
        "rules": [
            {"name": change.name, "voxels": change.voxels, "ml": round(change.ml, 3)}
            for change in tidied.changes
        ],
        "expected_peak_mb": round(prediction.expected_peak_mb),
        "peak_mb": None if memory is None else round(memory),
    }
