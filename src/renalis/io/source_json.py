"""A scan's place as JSON, so that another process can read what this one has found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from renalis.io.dicom_listing import Listing, StudyFiles
from renalis.io.scan import ScanSource, SeriesSummary

__all__ = ["source_from_json", "source_to_json"]

_WORDS = (
    "case_id", "kind", "modality", "study_uid", "group", "owner", "state", "place", "problem",
)  # fmt: skip


def source_to_json(source: ScanSource) -> dict[str, Any]:
    """What `renalis.io.read_scan` needs of a scan; of DICOM headers only the files' names."""
    content: dict[str, Any] = {"path": str(source.path)}
    content |= {name: value for name in _WORDS if (value := getattr(source, name))}
    if source.series is not None:
        content["series"] = dataclasses.asdict(source.series)
    headers = source.headers
    files = headers.names() if isinstance(headers, Listing) else headers
    if isinstance(files, StudyFiles):
        content["files"] = dataclasses.asdict(files)
    return content


def source_from_json(content: Mapping[str, Any]) -> ScanSource:
    """The source that `source_to_json` wrote; its other series are found again by reading.

    Raises
    ------
    KeyError
        If there is no path, case or kind.
    """
    words = {name: str(content[name]) for name in _WORDS if name in content}
    series, files = content.get("series"), content.get("files")
    return ScanSource(
        path=Path(content["path"]),
        **{"case_id": content["case_id"], "kind": content["kind"]} | words,
        series=None
        if series is None
        else SeriesSummary(**{**series, "spacing_mm": tuple(series["spacing_mm"])}),
        headers=None
        if files is None
        else StudyFiles(**{name: tuple(names) for name, names in files.items()}),
    )
