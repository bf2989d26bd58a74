"""Compare all recipes on one synthetic cohort at equal training time: writes docs/comparison.md.

    python benchmarks/recipes.py --labels FOLDER [--minutes 5] [--scans 60] [--held-out 15]
                                 [--only NAME…] [--jobs N]

Makes the cohort (as ``renalis synthesize`` does, from label maps), splits it by patient, trains the
small variant of every recipe for the same time of computing, predicts the held-out scans and scores
them; with R5's ablation, the options that the publications wish for, and MONAI's networks with
MONAI's usual components (``make bench-peers`` installs it). Systems run one after another. Stopped,
the same command goes on where it was. Results are kept in ``benchmarks/results/comparison/``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from arms import HERE, PEERS
from machine import machine
from recipe_job import folder_name, systems, write_json
from recipe_page import write_page
from results import commit
from small_recipes import ENTRIES, Entry

from renalis.dataset import holdout, open_dataset, save_splits
from renalis.synthesis.cohort import Cohort, make_cohort

FOLDER = HERE / "results" / "comparison"
PAGE = HERE.parent / "docs" / "comparison.md"


def main() -> int:
    arguments = options()
    chosen = [one for one in ENTRIES if not arguments.only or one.name in arguments.only]
    if arguments.page_only:
        print(write_page(arguments.results, arguments.page))
        return 0
    about = prepare(arguments)
    failed = []
    # What uses the networks of others comes after them.
    for group in ([e for e in chosen if not e.trained], [e for e in chosen if e.trained]):
        with ThreadPoolExecutor(arguments.jobs) as pool:
            done = pool.map(lambda one: run(one, about, arguments), group)
            failed += [name for name in done if name]
        print(write_page(arguments.results, arguments.page), flush=True)
    if failed:
        print(f"not finished: {', '.join(failed)}; see the logs in {arguments.work / 'logs'}",
              file=sys.stderr)  # fmt: skip
    return 1 if failed else 0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--labels", type=Path, help="KiTS23 label maps that bodies are built around; without it "
        "kidneys are invented")  # fmt: skip
    add("--scans", type=int, default=60)
    add("--held-out", type=int, default=15, help="patients to predict and score")
    add("--watched", type=int, default=4, help="patients that choose the epoch to keep")
    add("--spacing", type=float, nargs=3, default=(5.0, 5.0, 5.0), metavar=("Z", "Y", "X"))
    add("--matrix", type=int, default=80, help="rows and columns")
    add("--body-mm", type=float, default=2.5, help="voxels of the bodies before they are scanned")
    add("--phase", default="corticomedullary", help="contrast phase of all scans; default: that of "
        "KiTS, which the publications learned from")  # fmt: skip
    add("--seed", type=int, default=0, help="of cohort, split and trainings")
    add("--minutes", type=float, default=5.0, help="of computing, of each training")
    add("--only", nargs="+", metavar="NAME", choices=[one.name for one in ENTRIES])
    add("--jobs", type=int, default=1, help="systems at the same time, sharing the cores")
    add("--threads", type=int, help="of each system; default: cores divided by jobs")
    add("--work", type=Path, default=HERE.parent / "build" / "comparison")
    add("--results", type=Path, default=FOLDER)
    add("--page", type=Path, default=PAGE)
    add("--page-only", action="store_true", help="write the page from the results that there are")
    arguments = parser.parse_args()
    if min(arguments.jobs, arguments.scans, arguments.held_out, arguments.watched) < 1:
        parser.error("--jobs, --scans, --held-out and --watched are at least 1")
    arguments.threads = arguments.threads or max(1, (os.cpu_count() or 1) // arguments.jobs)
    return arguments


def prepare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make cohort and split where they are missing; what was made, for the page."""
    cohort = Cohort(
        number=arguments.scans,
        seed=arguments.seed,
        spacing=tuple(arguments.spacing),
        matrix=arguments.matrix,
        body_mm=arguments.body_mm,
        phase=arguments.phase,
    )
    wanted = json.loads(json.dumps(asdict(cohort))) | {
        "label_maps": arguments.labels is not None,
        "held_out": arguments.held_out,
        "watched": arguments.watched,
    }
    path = arguments.work / "cohort.json"
    if path.exists():
        made = json.loads(path.read_text(encoding="utf-8"))
        if {name: made.get(name) for name in wanted} != wanted:
            raise SystemExit(f"{arguments.work} holds another cohort; choose another --work")
        if "split" in made:
            return dict(made)
    # Its options are noted before the first scan, so that a cohort is never a mixture.
    write_json(path, wanted)
    for line in make_cohort(cohort, arguments.labels, arguments.work / "cohort"):
        print(line, file=sys.stderr, flush=True)
    made = wanted | {"split": split(arguments)}
    write_json(path, made)
    return dict(made)


def split(arguments: argparse.Namespace) -> dict[str, int]:
    """Held-out, watched and training cases, by patient; their numbers."""
    dataset = open_dataset(arguments.work / "cohort", "folder")
    patients = {case.id: case.patient for case in dataset.cases}
    count = len(set(patients.values()))
    rest = count - arguments.held_out - arguments.watched
    if rest < 1:
        raise SystemExit(f"{count} patients leave none to learn from")
    shares = (rest / count, arguments.watched / count, arguments.held_out / count)
    made = holdout(list(patients), shares, arguments.seed, patients=patients)
    save_splits(arguments.work / "split.json", [made], dataset=dataset.name)
    return dict(zip(("train", "val", "test"), made.sizes, strict=True)) | {"patients": count}


def run(one: Entry, about: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Run one entry in a process of its own; its name if it failed."""
    path = arguments.results / f"{folder_name(one.name)}.json"
    key = key_of(one, about, arguments)
    if path.exists() and json.loads(path.read_text(encoding="utf-8")).get("key") == key:
        print(f"{one.name}: there already", file=sys.stderr, flush=True)
        return ""
    if one.group == "rivals" and not PEERS.exists():
        print(f"{one.name}: MONAI is not installed; run: make bench-peers", file=sys.stderr)
        return one.name
    print(f"{one.name}: begins", file=sys.stderr, flush=True)
    job = {
        "entry": one.name,
        "work": str(arguments.work.resolve()),
        "result": str(path.resolve()),
        "minutes": arguments.minutes,
        "threads": arguments.threads,
        "seed": arguments.seed,
        "key": key,
    }
    file = arguments.work / "jobs" / f"{folder_name(one.name)}.json"
    write_json(file, job)
    log = arguments.work / "logs" / f"{folder_name(one.name)}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)}
    with log.open("a", encoding="utf-8") as stream:
        done = subprocess.run(
            [sys.executable, HERE / "recipe_job.py", file],
            stdout=stream,
            stderr=stream,
            env=environment,
            check=False,
        )
    if done.returncode:
        print(f"{one.name}: failed, see {log}", file=sys.stderr, flush=True)
        return one.name
    found = json.loads(path.read_text(encoding="utf-8"))
    day = datetime.now(UTC).date().isoformat()
    found |= {"cohort": about, "machine": machine(), "commit": commit(), "date": day}
    write_json(path, found)
    return ""


def key_of(one: Entry, about: dict[str, Any], arguments: argparse.Namespace) -> str:
    """Changes when a result is no longer that of the present recipe, cohort or budget."""
    parts: list[Any] = [one.recipe, one.trained, arguments.minutes, arguments.seed, about]
    parts.append(arguments.threads)
    if one.group != "rivals":
        made = systems(one, arguments.minutes, arguments.seed)
        parts += [system.model_dump(mode="json") for system in made]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
