"""Reading ahead: the next scan comes into memory while the networks look at the current one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from renalis.cohort.case_job import job_work, read_hashed
from renalis.cohort.facts import input_bytes
from renalis.io import Scan, ScanSource
from renalis.io.source_json import source_from_json
from renalis.pipeline.cases import is_finished
from renalis.pipeline.work import CaseWork
from renalis.prediction.runtimes.machine import available_mb

__all__ = ["Ahead", "NoRoomError", "reading_mb"]

_BYTES_PER_VOXEL = 9
"""While a scan is read: stored values, HU, what their conversion takes, and what the heap keeps of
it. Reading ahead took 8.1 more than segmenting alone (``benchmarks/memory.py``)."""

_FREE_MB = 1000.0
"""Left to other programs where there is no limit."""


def reading_mb(source: ScanSource) -> float:
    """About the memory that reading a scan takes at its peak, in MB; nothing is decoded."""
    if source.kind == "dicom":
        return source.slice_count * 512 * 512 * _BYTES_PER_VOXEL / 1e6
    try:
        if source.kind == "nifti":
            shape = nib.load(source.path).shape  # type: ignore[attr-defined]
            return float(np.prod(shape, dtype=float)) * _BYTES_PER_VOXEL / 1e6
    except Exception:  # whatever is wrong with it, its reader will say
        return 0.0
    return 4.0 * (input_bytes(source) or 0) / 1e6


class NoRoomError(Exception):
    """A scan is read in its turn."""


@dataclass(eq=False)
class _Slot:
    """A job whose turn will come."""

    job: Mapping[str, Any]
    turn: bool = False
    future: Future[tuple[Scan, str]] | None = None


class Ahead:
    """Reads scans before their turn, one at a time.

    Parameters
    ----------
    work : CaseWork
        Reads them.
    tell : callable
        Is told the case's name when reading begins.
    workers : int
        That read ahead at the same time, and share what memory is free.
    """

    def __init__(self, work: CaseWork, tell: Callable[[str], None], workers: int = 1) -> None:
        self._work, self._tell, self._workers = work, tell, workers
        prediction = work.options.prediction
        self._limit = None if prediction is None else prediction.max_ram_mb
        self._pool = ThreadPoolExecutor(1, "read-ahead")
        self._change = threading.Condition()
        self._slots: list[_Slot] = []
        self._known = False
        self._free_mb: float | None = None
        self._reading_mb = 0.0

    def offer(self, job: Mapping[str, Any]) -> None:
        """Read this job's scan as soon as there is room for it."""
        slot = _Slot(job)
        with self._change:
            self._slots.append(slot)
            slot.future = self._pool.submit(self._wait_and_read, slot)

    def take(self, job: Mapping[str, Any]) -> Future[tuple[Scan, str]] | None:
        """The scan of the job whose turn it is, or NoRoomError in its place."""
        with self._change:
            slot = next((one for one in self._slots if one.job is job), None)
            if slot is None:
                return None
            self._slots.remove(slot)
            slot.turn, self._known, self._reading_mb = True, False, 0.0
            self._change.notify_all()
            return slot.future

    def room(self, scan: Scan) -> None:
        """The current scan is in memory, and the networks begin: the rest is free."""
        with self._change:
            self._free_mb = self._left(scan)
            self._known = True
            self._change.notify_all()

    def counted_mb(self) -> float:
        """What the scan that is read ahead takes on top of the current one, in MB.

        From now on none is begun before the next turn, so that this stays true.
        """
        with self._change:
            self._known = False
            return self._reading_mb

    def _left(self, scan: Scan) -> float | None:
        if self._limit is not None:
            expected = self._work.segmenter.expected_mb(scan)
            return 0.0 if expected is None else self._limit - expected
        available = available_mb()
        return None if available is None else (available - _FREE_MB) / self._workers

    def _wait_and_read(self, slot: _Slot) -> tuple[Scan, str]:
        with self._change:
            self._change.wait_for(lambda: slot.turn or self._known)
            if slot.turn:
                raise NoRoomError
            free = self._free_mb
        if "stored" in slot.job:
            raise NoRoomError  # one scan at a time is copied
        source, work = source_from_json(slot.job["source"]), job_work(self._work, slot.job)
        if is_finished(source, Path(slot.job["output"]), work):
            raise NoRoomError
        needed = reading_mb(source)
        if free is not None and needed > free:
            raise NoRoomError
        with self._change:
            if slot.turn or not self._known:  # what the current case takes has been said
                raise NoRoomError
            self._reading_mb = needed
        self._tell(source.case_id)
        return read_hashed(work, source)
