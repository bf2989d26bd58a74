"""What Prometheus asks for: counts, sizes and times, and nothing that names anybody."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Mapping

from renalis.service.deliveries import DeliveryState, count_deliveries
from renalis.service.jobs import JobState, count_states
from renalis.service.store import Store

__all__ = ["Counters", "exposition"]

Labels = tuple[tuple[str, str], ...]

_COUNTERS = {
    "renalis_jobs_ended_total": "Jobs that ended since the start, by state.",
    "renalis_job_seconds_total": "Seconds spent on jobs since the start.",
    "renalis_images_received_total": "DICOM images received since the start, by origin.",
    "renalis_refused_total": "What was refused since the start, by door and reason.",
    "renalis_objects_sent_total": "Objects sent since the start, by destination.",
    "renalis_send_failures_total": "Attempts to send that failed since the start, by destination.",
    "renalis_requests_total": "REST requests since the start, by method and status.",
}


class Counters:
    """Numbers that only grow, from the start of the process."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], float] = {}
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count one of the known counters up."""
        assert name in _COUNTERS, name
        key = name, tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def values(self) -> dict[tuple[str, Labels], float]:
        """All of them."""
        with self._lock:
            return dict(self._values)


def exposition(store: Store, counters: Counters, version: str) -> str:
    """Prometheus' text format, version 0.0.4."""
    lines = []

    def family(name: str, kind: str, words: str, values: Iterable[tuple[Labels, float]]) -> None:
        lines.append(f"# HELP {name} {words}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{name}{_labels(labels)} {value:.15g}" for labels, value in values)

    family("renalis_info", "gauge", "The version.", [((("version", version),), 1)])
    jobs = count_states(store.database)
    family("renalis_jobs", "gauge", "Jobs that are kept, by state.", _by_state(jobs))
    deliveries = count_deliveries(store.database)
    family("renalis_deliveries", "gauge", "Objects to send, by state.", _by_state(deliveries))
    (row,) = store.database.rows("SELECT min(created) AS first FROM jobs WHERE state = 'queued'")
    oldest = 0.0 if row["first"] is None else max(0.0, store.clock.now() - row["first"])
    words = "Age of the job that waits longest."
    family("renalis_oldest_waiting_seconds", "gauge", words, [((), oldest)])
    free = shutil.disk_usage(store.folder).free
    family("renalis_free_bytes", "gauge", "Disk space left.", [((), free)])
    values = counters.values()
    for name, text in _COUNTERS.items():
        mine = [(labels, value) for (own, labels), value in sorted(values.items()) if own == name]
        family(name, "counter", text, mine)
    return "\n".join(lines) + "\n"


def _by_state(
    counts: Mapping[JobState, int] | Mapping[DeliveryState, int],
) -> list[tuple[Labels, float]]:
    return [((("state", str(state)),), many) for state, many in counts.items()]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
