"""One line of the comparison: train, predict the held-out scans, score. Safe to kill and repeat.

    python recipe_job.py JOB.json

JOB.json holds ``entry``, ``work`` (folder), ``result`` (file), ``minutes``, ``threads``, ``seed``.
What is finished is not done again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from arms import HERE, PEERS
from small_recipes import Entry, entry, small_system

from renalis.choices import EmptyRule
from renalis.conventions import Convention
from renalis.dataset import Case, load_split, open_dataset
from renalis.evaluation.cases import score_cases
from renalis.evaluation.pairing import CasePair
from renalis.evaluation.scores import Options
from renalis.io import read_scan, whole_file, write_labels
from renalis.networks import build, parameter_count
from renalis.recipes import System
from renalis.systems import open_run, predict_scan, train_system
from renalis.systems.predict import member, stage_predictions
from renalis.systems.runs import Run
from renalis.systems.training_job import Job
from renalis.training.devices import Devices

SHOWN = {Convention.KITS19: ("kidney", "tumor"), Convention.RADBOUD: ("kidney", "abnormality")}


def main() -> None:
    """Do what is not done yet and write the result."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    one, work = entry(job["entry"]), Path(job["work"])
    if one.group == "rivals":
        found = rival(one, work, job)
    else:
        found = ours(one, work, job["minutes"], job["seed"])
    found |= {"entry": one.name, "key": job["key"], "minutes": job["minutes"],
              "threads": job["threads"]}  # fmt: skip
    peak = max(resource.getrusage(who).ru_maxrss
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    found["peak_mb"] = peak / (1e6 if sys.platform == "darwin" else 1024)
    write_json(Path(job["result"]), found)


def ours(one: Entry, work: Path, minutes: float, seed: int) -> dict[str, Any]:
    """Train (unless it uses others' networks), predict and score a system of the package."""
    system, *trained = systems(one, minutes, seed)
    names = one.trained or (one.name,)
    runs = [
        train(each, work, f"{folder_name(name)}-{short_hash([each])}")
        for name, each in zip(names, trained, strict=True)
    ]
    opened = [open_run(run) for run in runs]
    # Its own clean-up and way of predicting, with networks that may be those of another entry.
    first = replace(opened[0], system=system)
    name = f"{folder_name(one.name)}-{short_hash([system, *trained])}"
    raw, tidied = predict(first, opened[1:], work, name)
    told = tidied.parent / "notes.json"
    labels = convention(system)
    return {
        "training": [about(run) for run in runs],
        "parameters": sum(
            parameter_count(build(stage.network.config()))
            for run in opened
            for stage in run.system.all_stages()
        ),
        "labels": str(labels),
        "values": sorted({v for stage in system.all_stages() for v in stage.written}),
        "predict_s": json.loads((tidied.parent / "seconds.json").read_text(encoding="utf-8")),
        "notes": json.loads(told.read_text(encoding="utf-8")) if told.exists() else {},
        "clock": "computing",
        "scores": scores(tidied, work, labels),
        "scores_raw": scores(raw, work, labels),
    }


def systems(one: Entry, minutes: float, seed: int) -> list[System]:
    """The system that predicts, and those that are trained for it."""
    trained = [small_system(entry(name), minutes) for name in one.trained or (one.name,)]
    return [seeded(system, seed) for system in (small_system(one, minutes), *trained)]


def short_hash(parts: Sequence[System]) -> str:
    """Tells systems apart that have the same name."""
    text = "".join(system.model_dump_json() for system in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def seeded(system: System, seed: int) -> System:
    """The system with another seed for weights, order and augmentation."""
    return system.model_copy(update={"seed": system.seed + seed})


def convention(system: System) -> Convention:
    """What the labels it writes mean."""
    if system.target == "parenchyma_abnormality":
        return Convention.RADBOUD
    return Convention.KITS19


def train(system: System, work: Path, name: str) -> Path:
    """Train, or go on with it; the run's folder."""
    run = work / "runs" / name
    job = Job(
        system,
        work / "cohort",
        run,
        "folder",
        work / "split.json",
        work / "prepared",
        resume=True,
    )
    return train_system(job, [0], Devices("cpu"), lambda line: print(line, flush=True))


def about(run: Path) -> dict[str, Any]:
    """How long a training took and how far it came."""
    epochs = [
        json.loads(line)
        for path in sorted((run / "fold_0").rglob("metrics.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    ends: dict[str, int] = {}
    for path in (run / "fold_0").rglob("metrics.jsonl"):
        last = path.read_text(encoding="utf-8").splitlines()[-1]
        ends[str(path.parent.relative_to(run))] = json.loads(last)["steps"]
    return {
        "run": run.name,
        "minutes": sum(epoch["cpu_seconds"] for epoch in epochs) / 60,
        "epochs": len(epochs),
        "steps": sum(ends.values()),
    }


def predict(first: Run, others: Sequence[Run], work: Path, name: str) -> tuple[Path, Path]:
    """Label maps of the held-out scans, as decided and after the clean-up; two folders."""
    place = work / "predictions" / name
    raw, tidied = place / "raw", place / "tidied"
    for folder in (raw, tidied):
        folder.mkdir(parents=True, exist_ok=True)
    path = place / "seconds.json"
    seconds = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    told = place / "notes.json"
    notes = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
    for case in held_out(work):
        if case.id in seconds:
            continue
        scan = read_scan(case.image)
        began = time.perf_counter()
        members = [member(run, stage_predictions(run, scan.volume), scan.volume) for run in others]
        said = predict_scan(first, scan.volume, members)
        taken = time.perf_counter() - began
        write_labels(raw / f"{case.id}.nii.gz", said.raw, scan)
        write_labels(tidied / f"{case.id}.nii.gz", said.tidied.labels, scan)
        if said.notes:
            notes[case.id] = list(said.notes)
            write_json(told, notes)
        seconds[case.id] = taken
        write_json(path, seconds)
        print(f"{name}: {case.id} predicted in {taken:.1f} s", flush=True)
    return raw, tidied


def held_out(work: Path) -> tuple[Case, ...]:
    """The scans that nothing was trained on."""
    dataset = open_dataset(work / "cohort", "folder")
    return dataset.chosen(load_split(work / "split.json").test)


def scores(
    predictions: Path, work: Path, labels: Convention
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Scores by region, metric and case.

    Scans whose reference lacks a region do not count for it.
    """
    options = Options(
        labels=labels,
        prediction_labels=labels,
        reference_labels=Convention.KITS23,
        empty=EmptyRule.SKIP_EMPTY_REFERENCE,
    )
    pairs = [
        CasePair(case.id, case.label, predictions / f"{case.id}.nii.gz")
        for case in held_out(work)
        if case.label is not None
    ]
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for outcome in score_cases(pairs, options, keep=predictions.parent / "cases"):
        if outcome.record is None:
            raise SystemExit(f"{outcome.case_id} cannot be scored: {outcome.problem}")
        for name in SHOWN[labels]:
            region = outcome.record.score[name]
            row = found.setdefault(name, {})
            for metric in ("dice", "hd95_mm", "false_positive_ml"):
                value = getattr(region, metric)
                row.setdefault(metric, {})[outcome.case_id] = None if math.isnan(value) else value
    return found


def rival(one: Entry, work: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    """Let MONAI train and predict in its own environment, and score it by the same code."""
    dataset = open_dataset(work / "cohort", "folder")
    split = load_split(work / "split.json")
    system = small_system(entry("unet3d-plain"), 1)
    (grid,) = system.grids
    tile = getattr(system.prediction, "tile")  # noqa: B009
    name = f"{folder_name(one.name)}-{job['minutes']:g}-{job['seed']}"
    folder = work / "runs" / name
    tidied = work / "predictions" / name / "tidied"
    asked = {
        "network": one.recipe,
        "train": files(dataset.chosen(split.train)),
        "val": files(dataset.chosen(split.val)[: system.optimisation.validation_cases]),
        "test": files(dataset.chosen(split.test)),
        "run": str(folder),
        "output": str(tidied),
        "minutes": job["minutes"],
        "threads": job["threads"],
        "seed": job["seed"],
        # As the 3D U-Nets beside it: grid, window and patch.
        "spacing_mm": list(grid.spacing_mm or ()),
        "window_hu": list(grid.clip_hu or ()),
        "patch": list(tile),
    }
    tidied.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "job.json"
    write_json(path, asked)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    words = [PEERS, HERE / "peers" / "monai_training.py", path]
    subprocess.run([str(word) for word in words], check=True, env=environment)
    said = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    found = scores(tidied, work, Convention.KITS19)
    return {
        "training": [{"run": folder.name, **said["training"]}],
        "parameters": said["parameters"],
        "labels": str(Convention.KITS19),
        "values": [1, 2],
        "predict_s": said["predict_s"],
        "scores": found,
        "scores_raw": found,
        "recipe": said["recipe"],
    }


def files(cases: Iterable[Case]) -> list[dict[str, str]]:
    """Paths of scans and label maps."""
    return [{"id": c.id, "image": str(c.image), "label": str(c.label)} for c in cases]


def folder_name(name: str) -> str:
    """A name without blanks."""
    return name.replace(", ", "-").replace(" ", "-")


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
