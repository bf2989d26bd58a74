"""A service that is killed again and again while series come in, and what becomes of them.

As a program: ``python tests/helpers/killed_service.py FOLDER --series 20 --kills 10``
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import yaml
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, SegmentationStorage  # type: ignore[attr-defined]

from helpers.by_hu_package import by_hu_model
from helpers.dicom_writer import write_series
from helpers.orthanc import free_port
from helpers.programs import Program, start_program
from helpers.stub import phantom
from renalis.service.tokens import add_token

__all__ = ["Outcome", "killed_service"]

PATIENCE_S = 300.0


@dataclass
class Outcome:
    """What became of the series.

    Attributes
    ----------
    states : dict
        How many jobs are in which state.
    results : dict
        Number of label maps by series, of all jobs.
    received : dict
        Different segmentations that arrived at the destination, by study.
    kills : list of str
        What was going on at each kill.
    left : list of str
        Files that no job and no series accounts for.
    log : str
        All that the service said.
    """

    states: dict[str, int] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    received: dict[str, int] = field(default_factory=dict)
    kills: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    log: str = ""


def killed_service(folder: Path, series: int, kills: int, seed: int = 0) -> Outcome:
    """Push series to a service, kill it at random moments, and let it end its work at last."""
    chance = random.Random(seed)
    uids = [f"1.2.826.0.1.3680043.8.498.7.{number + 1}" for number in range(series)]
    for number, uid in enumerate(uids):
        _write(folder / "scans" / uid, uid, number)
    port = free_port()
    received: dict[str, set[str]] = {}
    outcome = Outcome()
    with _archive(received) as archive:
        _configure(folder, port, archive)
        pushing = threading.Thread(target=_push_all, args=(folder, uids, port), daemon=True)
        pushing.start()
        for number in range(kills):
            with _process(folder) as process:
                _wait_for_start(folder, process, number)
                if number >= kills // 2:  # the first half meets series that come in
                    pushing.join(PATIENCE_S)
                time.sleep(chance.uniform(0.0, 2.0))
                outcome.kills.append(_doing(folder))
                process.send_signal(signal.SIGKILL)
                process.wait()
        with _process(folder) as process:
            end = time.monotonic() + PATIENCE_S
            while time.monotonic() < end and not _all_done(folder, series, pushing):
                assert process.poll() is None, (folder / "log").read_text()[-3000:]
                time.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    outcome.log = (folder / "log").read_text()
    outcome.received = {study: len(objects) for study, objects in received.items()}
    _count(folder / "kept", outcome)
    return outcome


def _write(folder: Path, uid: str, number: int) -> None:
    """A small scan; no two alike."""
    patient = phantom((12.0, 6.0, 6.0))
    wide = np.pad(patient.array, ((0, 0), (4, 4), (4, 4)), constant_values=-1000)
    noise = np.random.default_rng(number).normal(0, 3, wide.shape)
    write_series(folder, (wide + noise).astype(np.int16), PixelSpacing=["6", "6"],
                 step=(0, 0, 12.0), origin=(-110, -120, 0), StudyInstanceUID=uid,
                 SeriesInstanceUID=f"{uid}.5", PatientName="Muster^Erika")  # fmt: skip


def _configure(folder: Path, port: int, archive: int) -> None:
    model, _ = by_hu_model(folder / "model")
    content = {
        "folder": "kept",
        "model": str(model),
        "threads": 1,
        "write": ["nifti", "dicom-seg"],
        "report": False,
        "rest": {"port": free_port()},
        "dimse": {
            "port": port,
            "peers": [{"ae_title": "SCANNER", "address": "127.0.0.1"}],
            "quiet_s": 0.5,
            "patience_s": 10,
            "send_to": ["archive"],
        },
        "destinations": {
            "archive": {
                "kind": "dimse",
                "ae_title": "ARCHIVE",
                "host": "127.0.0.1",
                "port": archive,
            },
        },
        "limits": {"free_gb": 0.01},
    }
    (folder / "serve.yaml").write_text(yaml.safe_dump(content))
    add_token(folder / "kept" / "tokens", "tests")


@contextmanager
def _archive(received: dict[str, set[str]]) -> Iterator[int]:
    """A node that keeps which segmentations it got for each study; its port."""

    def store(event: evt.Event) -> int:
        found = event.dataset
        received.setdefault(str(found.StudyInstanceUID), set()).add(str(found.SOPInstanceUID))
        return 0

    entity = AE("ARCHIVE")
    entity.add_supported_context(SegmentationStorage)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    try:
        yield int(server.server_address[1])
    finally:
        entity.shutdown()


@contextmanager
def _process(folder: Path) -> Iterator[Program]:
    command = ("-m", "renalis", "serve", "--config", folder / "serve.yaml")
    paths = [str(folder / "model" / "site"), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with (
        (folder / "log").open("ab") as log,
        start_program(*command, stderr=log, stdout=log, env=environment) as process,
    ):
        yield process


def _wait_for_start(folder: Path, process: Program, number: int) -> None:
    while (folder / "log").read_text().count("the REST API listens") <= number:
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        time.sleep(0.05)


def _push_all(folder: Path, uids: list[str], port: int) -> None:
    """Send each series until its receiver has confirmed all of it, as archives do."""
    for uid in uids:
        while not _pushed(folder / "scans" / uid, port):
            time.sleep(0.2)


def _pushed(folder: Path, port: int) -> bool:
    entity = AE("SCANNER")
    entity.connection_timeout = entity.acse_timeout = 2
    entity.dimse_timeout = entity.network_timeout = 5
    entity.add_requested_context(CTImageStorage)
    association = entity.associate("127.0.0.1", port, ae_title="RENALIS")
    if not association.is_established:
        return False
    try:
        for path in sorted(folder.iterdir()):
            if association.send_c_store(path).get("Status") != 0:
                return False
    except (RuntimeError, ValueError):  # the connection was lost
        return False
    finally:
        if association.is_established:
            association.release()
    return True


def _rows(folder: Path, query: str) -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(folder / "queue.sqlite", timeout=30)) as connection:
        return connection.execute(query).fetchall()


def _doing(folder: Path) -> str:
    jobs = dict(_rows(folder / "kept", "SELECT state, count(*) FROM jobs GROUP BY state"))
    coming = dict(_rows(folder / "kept", "SELECT state, count(*) FROM series GROUP BY state"))
    return json.dumps({"jobs": jobs, "series": coming})


def _all_done(folder: Path, series: int, pushing: threading.Thread) -> bool:
    kept = folder / "kept"
    if pushing.is_alive() or not (kept / "queue.sqlite").exists():
        return False
    waiting = "SELECT id FROM jobs WHERE state IN ('queued', 'running')"
    unsent = "SELECT job FROM deliveries WHERE state = 'waiting'"
    coming = "SELECT key FROM series WHERE state != 'queued'"
    done = "SELECT DISTINCT source FROM jobs WHERE state = 'done'"
    over = not any(_rows(kept, query) for query in (waiting, unsent, coming))
    return over and len(_rows(kept, done)) == series


def _count(kept: Path, outcome: Outcome) -> None:
    outcome.states = dict(_rows(kept, "SELECT state, count(*) FROM jobs GROUP BY state"))  # type: ignore[arg-type]
    found: Counter[str] = Counter()
    for job, source in _rows(kept, "SELECT id, source FROM jobs WHERE state = 'done'"):
        found[source] += len(list((kept / "jobs" / job / "result").glob("*/segmentation.nii.gz")))
    outcome.results = dict(found)
    jobs = {job for (job,) in _rows(kept, "SELECT id FROM jobs")}
    keys = {key for (key,) in _rows(kept, "SELECT key FROM series")}
    strays = [p for p in (kept / "jobs").iterdir() if p.name not in jobs]
    strays += [p for p in (kept / "series").iterdir() if p.name not in keys]
    strays += [*(kept / "arriving").iterdir(), *kept.rglob("*.part"), *kept.rglob("*partial*")]
    outcome.left = [str(path.relative_to(kept)) for path in strays]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    outcome = killed_service(arguments.folder, arguments.series, arguments.kills, arguments.seed)
    for name in ("kills", "states", "results", "received", "left"):
        print(f"{name}: {getattr(outcome, name)}")  # noqa: T201 - a program


if __name__ == "__main__":
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    main()
