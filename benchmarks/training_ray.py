"""Folds, trials and out-of-fold label maps on a Ray cluster of two nodes, one of which is lost.

    python benchmarks/training_ray.py [--only train,tune,crossvalidate]

Needs the extras ``ray`` and ``tune``. The data are six small phantoms of the tests, the cluster
is Ray's own utility for tests: two nodes of one core each on this machine. In each of the three
commands the second node is killed without a word once work on both is under way. At the end
weights, tables and label maps have to have the bits of the same command on one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from machine import machine
from small_training import SEARCH, SETS

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
MEMORY = 100 << 20
RECIPE = "simple-unet-2d"
TIMED = ("metrics.jsonl", "curves.html", "journal.jsonl", "tune.html", "metrics.json", ".lock")
"""Files that say when something was made, or how long it took."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="train,tune,crossvalidate")
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "training-ray")
    arguments = parser.parse_args()
    work = arguments.work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    from helpers.ellipsoid_kidneys import write_scan

    for number in range(6):
        write_scan(work / "data", number)
    (work / "search.yaml").write_text(json.dumps({**SEARCH, "together": 2}))
    # Ray's workers would give way to all other programs of the machine.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    os.environ["OMP_NUM_THREADS"] = "1"
    wanted = arguments.only.split(",")
    _here(work, wanted)
    found = {**_there(work, wanted), "machine": machine()}
    text = json.dumps(found, indent=1)
    (HERE / "results" / "training-ray.json").write_text(text + "\n")
    print(text)
    return 0 if all(one["whole_and_alike"] for one in found["commands"].values()) else 1


def _words(verb: str, work: Path, place: str) -> list[str]:
    data = ["--data", str(work / "data"), "--kind", "kits19", "--device", "cpu"]
    sets = [part for change in SETS for part in ("--set", change)]
    if verb == "crossvalidate":
        return [verb, str(work / "here-train"), *data, "-o", str(work / f"{place}-{verb}")]
    words = [verb, RECIPE, "--tiny", *data, *sets, "-o", str(work / f"{place}-{verb}")]
    if verb == "tune":
        return [*words, "--search", str(work / "search.yaml"), "--trials", "4"]
    return words


def _started(words: list[str], work: Path, name: str) -> subprocess.Popen[bytes]:
    with (work / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "renalis", *words], stdout=log, stderr=subprocess.STDOUT
        )


def _here(work: Path, wanted: list[str]) -> None:
    """The same by processes of this machine."""
    for verb in ("train", "tune", "crossvalidate"):
        if verb not in wanted and verb != "train":
            continue
        more = ["--fold", "all"] if verb == "train" else []
        more += [] if verb == "crossvalidate" else ["--threads", "1"]
        if _started([*_words(verb, work, "here"), *more], work, f"here-{verb}").wait():
            raise SystemExit(f"the undisturbed command failed; see {work}/here-{verb}.log")


def _there(work: Path, wanted: list[str]) -> dict[str, Any]:
    import ray
    from ray.cluster_utils import Cluster

    one = {"num_cpus": 1, "object_store_memory": MEMORY}
    patience = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**one, "include_dashboard": False, "_system_config": patience},
    )
    under_way: dict[str, Callable[[Path], bool]] = {
        "train": lambda out: _epochs(out.glob("fold_*/*/*/metrics.jsonl")) == 2,
        "tune": lambda out: _epochs(out.glob("trial_*/fold_*/*/*/metrics.jsonl")) == 2,
        "crossvalidate": lambda out: len(list(out.glob("*/labels/*.json"))) >= 2,
    }
    commands = {}
    for verb in wanted:
        second = cluster.add_node(**one)
        began = time.monotonic()
        more = ["--engine", "ray", "--ray-address", cluster.address]
        more += ["--fold", "all"] if verb == "train" else []
        process = _started([*_words(verb, work, "there"), *more], work, f"there-{verb}")
        while process.poll() is None and not under_way[verb](work / f"there-{verb}"):
            time.sleep(0.02)
        ended = process.poll() is not None
        cluster.remove_node(second, allow_graceful=False)
        code = process.wait()
        different = _different(work / f"here-{verb}", work / f"there-{verb}")
        said = (work / f"there-{verb}.log").read_text().splitlines()
        commands[verb] = {
            "killed_before_the_end": not ended,
            "lost": [line for line in said if "was lost" in line or "ended without" in line],
            "files_compared": len(_hashes(work / f"here-{verb}")),
            "different_or_missing": different,
            "exit_code": code,
            "seconds": round(time.monotonic() - began),
            "whole_and_alike": not different and code == 0,
        }
    cluster.shutdown()
    return {"ray": ray.__version__, "nodes": 2, "not_compared": TIMED, "commands": commands}


def _epochs(logs: Iterable[Path]) -> int:
    """Of how many trainings two epochs or more are done."""
    return sum(path.read_bytes().count(b"\n") >= 2 for path in logs)


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TIMED and ".part" not in path.suffixes
    }


def _content(path: Path) -> bytes:
    """A file's bytes; of a checkpoint the tensors, without the seconds that its header tells."""
    content = path.read_bytes()
    if not path.name.startswith("checkpoint"):
        return content
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.pop("__metadata__")
    return json.dumps(header, sort_keys=True).encode() + content[8 + length :]


def _different(one: Path, other: Path) -> list[str]:
    here, there = _hashes(one), _hashes(other)
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))


if __name__ == "__main__":
    sys.exit(main())
