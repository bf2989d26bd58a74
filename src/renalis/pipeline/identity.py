"""By what a result is recognized as already made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib import metadata
from typing import Any

from renalis.io import ScanSource
from renalis.model_header import ModelHeader
from renalis.pipeline.options import SegmentOptions

__all__ = ["result_key", "scan_facts"]

_NO_INFLUENCE = ("max_ram_mb", "keep_heap", "threads", "runtime")
"""Options of the prediction that change its speed or memory and not its meaning."""


def result_key(source: ScanSource, header: ModelHeader, options: SegmentOptions) -> str:
    """A hash of the scan's files, the model, and every option that can change the result.

    Without the runtime: labels of those that ``auto`` takes agree with a Dice of 0.995. Of the scan
    only sizes, times and hashes of identifiers enter: nothing that identifies the patient can be
    recovered.
    """
    prediction = dataclasses.asdict(options.prediction)
    for name in _NO_INFLUENCE:
        prediction.pop(name)
    prediction["thresholds"] = options.prediction.decided_by(header).model_dump()
    content: dict[str, Any] = {
        "renalis": metadata.version("renalis"),
        "model": header.sha256,
        "prediction": prediction,
        "rules": dataclasses.asdict(options.rules),
        "series": options.series or "",
        "report": options.report,
        "scan": scan_facts(source),
    }
    if options.anonymous:
        content["anonymous"] = True
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
