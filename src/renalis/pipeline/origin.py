"""Where a result comes from: which series of which folder, said and kept with the result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from renalis.io import Scan, SeriesSummary
from renalis.io.scan import millimeters, shown

__all__ = ["ORIGIN_COLUMNS", "columns", "described", "nameless", "origin", "way_to"]

ORIGIN_COLUMNS = ("input", "series", "series_description")
"""Columns of the table in addition to the measurements: what leads back to the scan."""


def origin(scan: Scan) -> dict[str, Any]:
    """Which scan this was, for ``provenance.json``.

    Parameters
    ----------
    scan : Scan
        From `nameless` where nothing may identify the patient.

    Returns
    -------
    dict
        ``input`` is the place below the input, never absolute; ``spacing_mm`` and ``shape`` are in
        the file's axis order. What is not known, or was taken out, is left out.
    """
    source, series = scan.source, scan.source.series
    facts: dict[str, Any] = {"input": source.place, "kind": source.kind}
    if series is not None:
        facts["series"] = _known(
            {
                "number": series.name,
                "description": series.description,
                "uid": series.uid,
                "phase": series.phase,
                "kernel": series.kernel,
                "images": series.slice_count,
            }
        )
    facts["study_uid"] = source.study_uid
    facts["shape"] = list(scan.volume.shape)
    facts["spacing_mm"] = [round(float(mm), 4) for mm in scan.volume.spacing]
    return _known(facts)


def way_to(scan: Scan, folder: Path) -> dict[str, str]:
    """The way from a case's folder to its scan, by which viewers find it again.

    Relative, so that it names nothing above the folder that both have in common; none for scans
    from `nameless`, and where they lie on different drives.

    Parameters
    ----------
    scan : Scan
        As it was read.
    folder : Path
        The case's folder, or one beside it.

    Returns
    -------
    dict
        ``scan``: path with ``/`` between folders; or nothing.
    """
    if not scan.source.place:
        return {}
    try:
        way = os.path.relpath(os.path.realpath(scan.source.path), os.path.realpath(folder))
    except ValueError:
        return {}
    return {"scan": Path(way).as_posix()}


def described(facts: Mapping[str, Any], place: str = "") -> str:
    """One line: which series of which folder, how many slices, their spacing, the phase.

    Parameters
    ----------
    facts : mapping
        From `origin`.
    place : str
        Where the scan lies, if the facts do not say.
    """
    place = shown(facts.get("input") or place or "the input")
    series = facts.get("series")
    shape, spacing = facts.get("shape") or (), facts.get("spacing_mm") or ()
    what = [f"{' × '.join(map(str, shape))} voxels"] if shape else []
    if isinstance(series, Mapping):
        name = f"series {series.get('number', 'without number')}"
        name += f" '{series['description']}'" if series.get("description") else ""
        place = f"{name} of {place}"
        what = [f"{shape[2]} slices"] if shape else []
        what += [str(series[key]) for key in ("phase",) if series.get(key)]
        what += [f"kernel {series['kernel']}"] if series.get("kernel") else []
    if spacing:
        what.insert(1, millimeters(spacing))
    return f"{place}: {', '.join(what)}" if what else place


def columns(facts: Mapping[str, Any]) -> dict[str, str]:
    """The cells of `ORIGIN_COLUMNS`; empty where nothing is known."""
    series = facts.get("series") or {}
    cells = (facts.get("input"), series.get("number"), series.get("description"))
    return {name: str(cell or "") for name, cell in zip(ORIGIN_COLUMNS, cells, strict=True)}


def nameless(scan: Scan) -> Scan:
    """A scan without anything that may identify the patient: no path, UIDs or descriptions.

    Its notes are kept without them, the voxels and their place as they are.
    """
    source = scan.source
    everyone = [s for s in (source.series, *source.others) if s is not None]
    words = {f" '{s.description}'": "" for s in everyone if s.description}
    words |= {uid: "(UID left out)" for s in everyone if (uid := s.uid)}
    words |= {source.study_uid: "(UID left out)"} if source.study_uid else {}

    def bare(text: str) -> str:
        for word in sorted(words, key=len, reverse=True):
            text = text.replace(word, words[word])
        return text

    def unnamed(series: SeriesSummary) -> SeriesSummary:
        name = bare(series.name)
        return replace(series, name=name, uid="", description="", remark=bare(series.remark))

    return replace(
        scan,
        source=replace(
            source,
            series=None if source.series is None else unnamed(source.series),
            others=tuple(map(unnamed, source.others)),
            study_uid="",
            place="",
        ),
        warnings=tuple(map(bare, scan.warnings)),
    )


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in ("", None)}
