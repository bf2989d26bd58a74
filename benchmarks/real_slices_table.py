"""2D recipes on single real slices, each trained on real slices, on synthetic ones, and on both.

    python benchmarks/real_slices_table.py --slices FOLDER --labels FOLDER --output FOLDER
        [--minutes 40] [--scans 60] [--per-scan 20] [--jobs 2] [--only NAME ...] [--pages]

``--slices`` holds ``.npz`` files of real slices (`renalis.dataset.slices`), ``--labels`` KiTS23
label maps of the same patients. Synthetic slices are cut of scans that ``renalis synthesize``
makes around the label maps of patients whose number 5 does not divide; all real slices of the
others are what everything is tested with, by the rule and the code of `real_slices`.

Every row computes for the same minutes of one core, validation included; a recipe of two stages
halves them. The third row goes on, for half the minutes, from what the second one was at half
its minutes. Killed or stopped, the same command goes on where it was. Results go to
``benchmarks/results/real-slices``, the page to ``docs/real-slices.md``; pictures of real slices
stay in ``--output``. ``--pages`` trains nothing: it scores what is finished and writes the
page.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import real_slices
import torch
from arms import HERE
from machine import machine
from numpy.typing import NDArray
from real_slices_page import write_page
from real_slices_trainings import (
    CHANGES,
    TEST_EVERY,
    Sources,
    Stopped,
    Training,
    Workshop,
    so_far,
    spent,
    trainings,
)
from results import commit
from slice_reader import SliceReader

from renalis.dataset.slices import SliceSet, read_slices, slice_image
from renalis.model import load_model
from renalis.systems import open_run, predict_scan

RESULTS = HERE / "results" / "real-slices"
PAGE = HERE.parent / "docs" / "real-slices.md"
SHIPPED = "renalis-kidney"
LEAST_SCORED = 0.25
"""Share of the minutes from which on a training that has not ended is scored."""


def main() -> int:
    arguments = options()
    torch.set_num_threads(1)
    sources = Sources(
        arguments.slices.resolve(),
        arguments.labels.resolve(),
        arguments.scans,
        arguments.per_scan,
        23,
    )
    shop = Workshop(arguments.output.resolve(), sources)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = [one for one in trainings() if not arguments.only or one.name in arguments.only]
    if not arguments.pages:
        print(f"{len(rows)} trainings, {arguments.jobs} at a time", file=sys.stderr, flush=True)
    test = test_slices(arguments.slices)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        work = [pool.submit(row, one, shop, test, arguments) for one in rows]
        try:
            problems = [text for text in (future.result() for future in work) if text]
        except (KeyboardInterrupt, SystemExit):
            # The pool waits for what is at work.
            shop.close()
            raise
    score_shipped(test, arguments)
    for text in problems:
        print(text, file=sys.stderr)
    write_page(arguments.results, arguments.page, progress(shop))
    print(arguments.page)
    return 1 if problems and not arguments.pages else 0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--slices", type=Path, required=True, metavar="FOLDER", help="of .npz files of real slices")
    add("--labels", type=Path, required=True, metavar="FOLDER", help="of KiTS23 label maps")
    add("--output", type=Path, required=True, metavar="FOLDER", help="runs and pictures; kept")
    add("--minutes", type=float, default=40.0, help="of computing, of each row (default 40)")
    add("--scans", type=int, default=60, help="synthetic scans (default 60)")
    add("--per-scan", type=int, default=20, help="slices of each (default 20)")
    add("--jobs", type=int, default=2, help="trainings at the same time, a core each (default 2)")
    add("--only", nargs="+", metavar="NAME", choices=[one.name for one in trainings()])
    add("--pages", action="store_true", help="train nothing; score what there is so far")
    add("--results", type=Path, default=RESULTS)
    add("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    if min(arguments.minutes, arguments.scans, arguments.per_scan, arguments.jobs) <= 0:
        parser.error("--minutes, --scans, --per-scan and --jobs are above 0")
    return arguments


def test_slices(folder: Path) -> list[SliceSet]:
    """All files of real slices."""
    found = [read_slices(path) for path in sorted(folder.glob("*.npz"))]
    if not found:
        raise SystemExit(f"{folder} holds no .npz files of slices")
    return found


def tested(case: int) -> bool:
    """Whether a patient is tested with."""
    return case % TEST_EVERY == 0


def row(one: Training, shop: Workshop, test: list[SliceSet], arguments: argparse.Namespace) -> str:
    """Train and score; what went wrong, if something did."""
    path = arguments.results / f"{one.name}.json"
    wanted = about(one, shop.sources, arguments.minutes)
    if path.exists() and json.loads(path.read_text(encoding="utf-8"))["about"] == wanted:
        return ""
    if arguments.pages and not finished(one, shop, arguments.minutes):
        return unfinished(one, shop, path, wanted, test, arguments.output)
    try:
        run = shop.train(one, arguments.minutes)
    except Stopped as error:
        return str(error)
    keep(path, one.name, wanted, spent(run), test, run_naming(run), arguments.output)
    print(f"{one.name}: scored", file=sys.stderr, flush=True)
    return ""


def unfinished(
    one: Training,
    shop: Workshop,
    path: Path,
    wanted: dict[str, Any],
    test: list[SliceSet],
    output: Path,
) -> str:
    """Score what a training that has not ended keeps so far; says that it has not ended."""
    run = shop.run_folder(one)
    done = spent(run)
    minutes = sum(stage["minutes"] for stage in done.values())
    if minutes < wanted["minutes"] * LEAST_SCORED:
        return f"{one.name}: not trained yet"
    with tempfile.TemporaryDirectory() as folder:
        if not so_far(one, run, Path(folder) / "run"):
            return f"{one.name}: not trained yet"
        naming = run_naming(Path(folder) / "run")
        keep(path, one.name, {**wanted, "so_far": True}, done, test, naming, output)
    return f"{one.name}: in training"


def run_naming(run: Path) -> real_slices.Naming:
    """What a run names."""
    opened = open_run(run)

    def naming(slices: SliceSet, number: int) -> NDArray[np.uint8]:
        scan = slice_image(slices, number)
        return np.asarray(predict_scan(opened, scan).tidied.labels.array[0], np.uint8)

    return naming


def finished(one: Training, shop: Workshop, minutes: float) -> bool:
    """Whether a row's training has come to its end; ``shop.train`` then only looks."""
    run = shop.run_folder(one)
    done = spent(run)
    each = one.stage_minutes(minutes / 2 if one.learned == "both" else minutes)
    stages = one.system().all_stages()
    # The end is that of the epoch nearest to the minutes.
    return all(
        stage.name in done
        and done[stage.name]["minutes"] * (1 + 0.5 / done[stage.name]["epochs"]) >= each
        and (run / "fold_0" / f"{stage.name}.safetensors").exists()
        for stage in stages
    )


def about(one: Training, sources: Sources, minutes: float) -> dict[str, Any]:
    """What a result depends on, but for the code."""
    return {
        "recipe": one.recipe,
        "learned": one.learned,
        "minutes": minutes,
        "changes": {change.key: change.value for change in CHANGES[one.recipe]},
        "synthetic": {"scans": sources.scans, "per_scan": sources.per_scan, "seed": sources.seed},
        "test_every": TEST_EVERY,
    }


def keep(
    path: Path,
    name: str,
    wanted: dict[str, Any],
    training: dict[str, Any],
    test: list[SliceSet],
    naming: real_slices.Naming,
    output: Path,
) -> None:
    """Score, draw and write a row's result."""
    scores, maps = real_slices.scored(test, tested, naming)
    files = {one.name: one for one in test}
    real_slices.pictures(output / "pictures" / name, files, scores, maps)
    content = {
        "about": wanted,
        "training": training,
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "table": real_slices.table(scores),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "number", "case", *real_slices.REGIONS])
        for each in scores:
            dice = ["" if v is None else round(v, 4) for v in each.dice.values()]
            writer.writerow([each.file, each.number, each.case, *dice])
    # The table comes last: where it is, all else is there.
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def score_shipped(test: list[SliceSet], arguments: argparse.Namespace) -> None:
    """The shipped model on the same slices, for comparison."""
    model = load_model(SHIPPED)
    wanted = {"model": SHIPPED, "version": model.header.version, "test_every": TEST_EVERY}
    path = arguments.results / f"{SHIPPED}.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8"))["about"] == wanted:
        return
    naming = real_slices.shipped_naming(SliceReader.of(model, 2))
    keep(path, SHIPPED, wanted, {}, test, naming, arguments.output)


def progress(shop: Workshop) -> dict[str, float]:
    """Minutes that each row has computed so far."""
    done = {}
    for one in trainings():
        stages = spent(shop.run_folder(one))
        done[one.name] = sum(stage["minutes"] for stage in stages.values())
    return done


if __name__ == "__main__":
    sys.exit(main())
