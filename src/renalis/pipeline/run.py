"""Segment scans: read, predict, tidy, measure, show, write; one case after another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from renalis.io import Inventory
from renalis.model import Model
from renalis.pipeline.cases import input_paths, run_cases
from renalis.pipeline.options import CaseResult, Listener, SegmentOptions
from renalis.pipeline.work import open_work

__all__ = ["segment"]

Path_ = str | os.PathLike[str]


def segment(
    inputs: Path_ | Iterable[Path_] | Inventory,
    output: Path_,
    options: SegmentOptions | None = None,
    *,
    listener: Listener | None = None,
    model: str | Path | Model | None = None,
) -> list[CaseResult]:
    """Segment and measure scans.

    Writes ``<output>/<case>/`` with ``segmentation.nii.gz``, ``measurements.json``,
    ``preview.png``, ``report.html`` and ``provenance.json``, where ``options.write`` says so
    ``segmentation.dcm``, and ``<output>/measurements.csv``.
    Each file appears whole or not at all. Finished cases are skipped, a case that fails does not
    stop the others, and one that has its labels keeps them if a later step fails: called again,
    only what is missing is made.

    Parameters
    ----------
    inputs : path-like, iterable of path-like, or Inventory
        NIfTI files, DICOM folders or zips, or folders of those; or what `renalis.io.inventory`
        found there.
    output : path-like
        Folder for the results.
    options : SegmentOptions, optional
        How to segment.
    listener : Listener, optional
        Is told how the work goes.
    model : str, Path or Model, optional
        Used instead of ``options.model``: name of a shipped model, model file, folder of a
        training, or a model in memory.

    Returns
    -------
    list of CaseResult
        One for each scan found, in that order.

    Raises
    ------
    InputError
        If the model cannot be used, there is no input at all, or another process works on this
        output folder.
    OutputError
        If the output folder cannot be written.
    UsageError
        If an option does not fit the model or another one.
    """
    options = options or SegmentOptions()
    listener = listener or Listener()
    options.check()
    paths = input_paths(inputs)
    return run_cases(paths, Path(output), open_work(options, model), listener)
