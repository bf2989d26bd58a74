"""One case whose scan or results lie in a store: copied here, done here, copied back whole.

All else works on paths of this machine and knows nothing of stores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renalis.errors import InputError, OutputError
from renalis.io import Scan, ScanSource, inventory
from renalis.io.scan import shown
from renalis.io.source_json import source_from_json
from renalis.pipeline.cases import do_case, failed_case
from renalis.pipeline.folder import CORRECTIONS, FAILURE, LABELS, PROVENANCE, is_ours, write_json
from renalis.pipeline.options import CaseResult, Listener, Status
from renalis.pipeline.work import CaseWork
from renalis.remote.locations import Location, open_location
from renalis.remote.results import file_names, is_begun, put_file, put_folder, read_bytes
from renalis.remote.scans import StoredScan
from renalis.remote.staging import copied, fetched, staging_folder
from renalis.systems.segmenter import Clock

__all__ = ["StoredCase", "do_stored"]

STORED = "stored"
"""In ``provenance.json``: what tells whether a result is that of a scan, without copying it."""


@dataclass(frozen=True)
class StoredCase:
    """A case of which something lies in a store.

    Attributes
    ----------
    source : ScanSource
        The scan on this machine; of one in a store the case's name and place.
    scan : StoredScan or None
        The scan in a store.
    output : Location
        Gets the case's folder.
    staging : Path or None
        Where copies are kept; see `renalis.remote.staging.staging_folder`.
    """

    source: ScanSource
    scan: StoredScan | None
    output: Location
    staging: Path | None

    @classmethod
    def from_job(cls, job: Mapping[str, Any]) -> StoredCase:
        """From a job's ``source`` and ``stored``: ``scan``, ``output`` and ``staging``."""
        stored = job["stored"]
        scan, staging = stored.get("scan"), stored.get("staging")
        return cls(
            source_from_json(job["source"]),
            None if scan is None else StoredScan.from_json(scan),
            open_location(stored["output"]),
            None if staging is None else Path(staging),
        )

    def key(self, work: CaseWork) -> str:
        """A hash of all that can change the result, known before anything is copied."""
        if self.scan is None:
            return work.key(self.source)
        # A path that is nowhere: only names count, and what the store says about the files.
        path = Path(self.scan.state) / self.source.path.name
        of_store = replace(self.source, path=path, state=self.scan.state)
        return hashlib.sha256(f"{STORED} {work.key(of_store)}".encode()).hexdigest()


@dataclass(frozen=True)
class _There:
    """What lies in the store where the case's folder goes."""

    known: dict[str, Any] | None
    names: list[str]


def do_stored(
    case: StoredCase,
    work: CaseWork,
    listener: Listener,
    read: Callable[[ScanSource], Scan],
    seen: Callable[[CaseResult, Path], dict[str, Any]],
) -> dict[str, Any]:
    """Do one case; whatever goes wrong becomes a sentence, and the store keeps what is finished.

    Parameters
    ----------
    case : StoredCase
        The case.
    work : CaseWork
        What is done.
    listener : Listener
        Is told how it goes.
    read : callable
        Gives the scan.
    seen : callable
        What is told of a result and the folder above it, asked while copies are still there.
    """
    name, hidden = case.source.case_id, work.options.anonymous
    try:
        with staging_folder(case.staging) as folder:
            output = folder / "out"
            output.mkdir()
            try:
                result = _do(case, work, listener, read, folder)
            except Exception as error:
                result = failed_case(case.source, output / name, error, hidden)
            told = seen(_renamed(result, case, folder), output)
            if result.status == Status.FAILED and (output / name / FAILURE).is_file():
                put_file(case.output, f"{name}/{FAILURE}", (output / name / FAILURE).read_bytes())
            return told
    except Exception as error:  # nowhere to copy to, or the store is gone
        return seen(failed_case(case.source, None, error, hidden), Path())


def _do(
    case: StoredCase,
    work: CaseWork,
    listener: Listener,
    read: Callable[[ScanSource], Scan],
    folder: Path,
) -> CaseResult:
    name, key = case.source.case_id, case.key(work)
    there = _look(case, work, key)
    output = folder / "out"
    if there.known is not None:
        missing = [*there.known.get("missing", ())]
        lost = {*map(str, there.known["files"])} - {*there.names}
        if not missing and not lost and {*work.formats} <= {*there.known.get("formats", ())}:
            fetched(case.output / name, [PROVENANCE], output / name)
            notes = tuple(str(note) for note in there.known.get("notes") or ())
            row = there.known.get("row") or {}
            return CaseResult(name, Status.SKIPPED, output / name, notes=notes, row=row)
        fetched(case.output / name, [n for n in there.names if is_ours(n)], output / name)
    source = case.source if case.scan is None else _copied(case, case.scan, folder / "in", listener)
    result = do_case(source, output, work, Clock(listener), read)
    if result.folder is not None:
        _mark(result.folder, case, key, work.options.anonymous)
        listener.step("upload", 0, 1)
        put_folder(result.folder, case.output, name, PROVENANCE, there.names)
        listener.step("upload", 1, 1)
    return result


def _look(case: StoredCase, work: CaseWork, key: str) -> _There:
    """What is there of a case; refuses to replace what somebody may want to keep."""
    name, overwrite = case.source.case_id, work.options.overwrite
    at = case.output / name
    known = _provenance(at)
    names = file_names(at)
    if known is not None and dict(known.get(STORED) or {}).get("key") == key and not overwrite:
        return _There(known, names)
    url = shown(at.url, 300)
    left = [n for n in names if n != FAILURE]
    if left and not (known is None and is_begun(case.output, name)):
        if not overwrite:
            what = "other files" if known is None else (
                "results of another scan, model or choice of options"
            )  # fmt: skip
            raise OutputError(f"{url} holds {what}; give --overwrite or another output with -o")
        foreign = [n for n in left if known is None or not is_ours(n)]
        if foreign:
            raise OutputError(
                f"{url} holds files that renalis did not write ({shown(foreign[0])!r}); move them "
                "away or choose another output with -o"
            )
    if overwrite and at.filesystem.exists((at / CORRECTIONS).path):
        raise OutputError(
            f"{url} holds corrections, which belong to the result that is there; choose another "
            f"output with -o, or move its {CORRECTIONS} away"
        )
    return _There(None, [n for n in names if is_ours(n)])


def _provenance(at: Location) -> dict[str, Any] | None:
    """What is known about a result in a store; None if there is no such file of ours."""
    try:
        content: dict[str, Any] = json.loads(read_bytes(at / PROVENANCE) or b"")
        return content if LABELS in content["files"] else None
    except (ValueError, KeyError, TypeError):
        return None


def _copied(case: StoredCase, scan: StoredScan, folder: Path, listener: Listener) -> ScanSource:
    """The scan on this machine, under the case's name."""
    folder.mkdir()
    listener.step("download", 0, 1)
    found = inventory([copied(scan, folder)]).scans
    listener.step("download", 1, 1)
    if len(found) > 1:
        raise InputError(
            f"{shown(scan.url, 300)} holds {len(found)} studies where one is expected; put each "
            "into a zip or folder of its own"
        )
    # Below the copies' folder all lies as in the store; the folder itself is called otherwise.
    place = case.source.place if found[0].place == folder.name else found[0].place
    return replace(found[0], case_id=case.source.case_id, place=place, state=scan.state)


def _mark(folder: Path, case: StoredCase, key: str, anonymous: bool) -> None:
    """Note what tells that this is the scan's result; the way to a copy leads nowhere."""
    content = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    content.pop("scan", None)
    content[STORED] = {"key": key}
    if case.scan is not None and not anonymous:
        content[STORED]["scan"] = case.scan.url
    write_json(folder / PROVENANCE, content)


def _renamed(result: CaseResult, case: StoredCase, folder: Path) -> CaseResult:
    """A result that names places in the store and not their copies."""
    above = case.source.path.parent if case.scan is None else case.scan.place.url

    def told(text: str) -> str:
        text = text.replace(str(folder / "in"), str(above).rstrip("/"))
        return text.replace(str(folder / "out"), case.output.url.rstrip("/"))

    return replace(
        result,
        problem=told(result.problem),
        traceback=told(result.traceback),
        notes=tuple(map(told, result.notes)),
    )
