"""A cohort on a Ray cluster of two nodes, one of which is lost in the middle.

    python benchmarks/cohort_ray.py [--scans 24] [--name cohort-ray]

Needs the extra ``ray``. The cluster is Ray's own utility for tests: two nodes of one core each on
this machine. The second is killed without a word when a third of the cases are done. At the end
every file has to be that of a run by one process of this machine, compared as in cohort_kill.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cohort_kill import _different, _statuses
from cohort_scans import many_scans
from machine import machine

HERE = Path(__file__).resolve().parent
MEMORY = 100 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "cohort")
    parser.add_argument("--name", default="cohort-ray", help="of the file in benchmarks/results")
    arguments = parser.parse_args()
    chosen = arguments.work / f"{arguments.name}-scans"
    shutil.rmtree(chosen, ignore_errors=True)
    paths = many_scans(arguments.work, arguments.scans)
    chosen.mkdir()
    for path in paths:
        (chosen / path.name).hardlink_to(path)
    found = {**lost_node(chosen, arguments.work / arguments.name), "machine": machine()}
    text = json.dumps(found, indent=1)
    (HERE / "results" / f"{arguments.name}.json").write_text(text + "\n")
    print(text)
    return 0 if found["whole_and_alike"] else 1


def lost_node(scans: Path, work: Path, words: tuple[str, ...] = ()) -> dict[str, Any]:
    """Segment a folder by one process here and on a cluster that loses a node; what differs.

    Parameters
    ----------
    scans : Path
        Folder of the cohort.
    work : Path
        Gets ``calm`` and ``ray``; made anew.
    words : tuple of str
        Further options of ``renalis segment``.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # Ray's workers would give way to all other programs of the machine.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    os.environ["OMP_NUM_THREADS"] = "1"
    import ray
    from ray.cluster_utils import Cluster

    total = len(list(scans.iterdir()))
    plain = ("--no-report", "--mirror", "none", "--runtime", "torch", *words)

    def segment(output: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "renalis", "segment", str(scans)]
        command += ["-o", str(work / output), *plain, *more]
        with (work / f"{output}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    began = time.monotonic()
    if segment("calm", "--threads", "1", "--jobs", "1").wait():
        raise SystemExit(f"the undisturbed run failed; see {work}/calm.log")
    calm_s, began = time.monotonic() - began, time.monotonic()
    one = {"num_cpus": 1, "object_store_memory": MEMORY}
    patience = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**one, "include_dashboard": False, "_system_config": patience},
    )
    second = cluster.add_node(**one)
    process = segment("ray", "--engine", "ray", "--ray-address", cluster.address)
    while process.poll() is None and _done(work / "ray") < total / 3:
        time.sleep(0.1)
    killed_at = _done(work / "ray")
    cluster.remove_node(second, allow_graceful=False)
    code = process.wait()
    ray_s = time.monotonic() - began
    cluster.shutdown()
    statuses = _statuses(work / "ray")
    lines = [json.loads(line) for line in (work / "ray" / "manifest.jsonl").open()]
    different = _different(work / "calm", work / "ray")
    return {
        "scans": total,
        "ray": ray.__version__,
        "nodes": 2,
        "done_when_the_node_was_killed": killed_at,
        "attempts_lost_with_the_node": [
            line["problem"] for line in lines if line["status"] == "failed"
        ],
        "statuses": Counter(found[-1] for found in statuses.values()),
        "done_twice": [case for case, found in statuses.items() if found.count("done") > 1],
        "different_or_missing": different,
        "exit_code": code,
        "seconds": {"one process": round(calm_s), "cluster": round(ray_s)},
        "whole_and_alike": not different and code == 0 and len(statuses) == total,
    }


def _done(output: Path) -> int:
    return len(list(output.glob("[!.]*/provenance.json")))


if __name__ == "__main__":
    sys.exit(main())
