"""The trainings of `real_slices_table`: which there are, and the commands that carry them out.

A training is a recipe on one of three kinds of slices. Each command is one of ``renalis``; what is
finished is not done again, and what was killed goes on where it was.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal

import torch

from renalis.child_processes import end_with_parent
from renalis.cli import main
from renalis.networks import build
from renalis.recipes import load_system
from renalis.recipes.system import System
from renalis.training.checkpoint import save_weights

SPAWN = multiprocessing.get_context("spawn")
Learned = Literal["real", "synthetic", "both"]
LEARNED: dict[Learned, str] = {
    "real": "real slices",
    "synthetic": "synthetic slices",
    "both": "synthetic, then real slices",
}
BAD_INPUT = 2
"""Exit code of a command that cannot go on with what it is given."""
TEST_EVERY = 5
"""Patients whose number this divides are tested with; no training and no label map sees them."""


@dataclass(frozen=True)
class Change:
    """A field of a recipe with which a core's minutes become hundreds of steps, and why."""

    key: str
    value: str
    why: str

    @property
    def words(self) -> list[str]:
        return ["--set", f"{self.key}={self.value}"]


_SMALL = "fewer channels: [ours], nobody gives the publication's"
_COARSE = "half as many pixels along each side: [ours], the publication gives no size"
_STEPS = "in place of the publication's 128, with which the minutes are 300 steps; see below"
CHANGES: dict[str, tuple[Change, ...]] = {
    "simple-unet-2d": (
        Change("network.base", "16", _SMALL),
        Change("grids.slices.slice_size", "128", _COARSE),
        Change("optimisation.batch", "16", _STEPS),
    ),
    "quicknat-2d": (
        Change("network.filters", "16", "in place of the publication's 64"),
        Change("grids.slices.slice_size", "128", "in place of the publication's 256"),
        Change("optimisation.stop.rises", "null", "in place of the publication's 2: equal time"),
        Change("grids.slices.drop_far_slices", "null", "a slice does not tell how far kidneys are"),
        Change("dataset.tumor_ml_max", "null", "a slice does not tell how large a tumor is"),
    ),
    "resnet34-2d": (
        Change("network.base", "16", "a quarter of the channels of ResNet34"),
        Change("grids.slices.slice_size", "128", _COARSE),
        Change("stages.tumor.grids.slices.slice_size", "128", _COARSE),
        # It names nothing in its first 3000 steps, whatever their size.
        Change("optimisation.batch", "8", _STEPS),
        Change(
            "optimisation.stop.epochs", "100000", "in place of the publication's 100: equal time"
        ),
    ),
}
"""By recipe, in the order in which they are trained."""


@dataclass(frozen=True)
class Training:
    """A row of the table."""

    recipe: str
    learned: Learned

    @property
    def name(self) -> str:
        return f"{self.recipe}-{self.learned}"

    def system(self) -> System:
        """The recipe as it is trained, but for the budget."""
        changes = CHANGES[self.recipe]
        return load_system(self.recipe, tuple(f"{one.key}={one.value}" for one in changes))

    def stage_minutes(self, minutes: float) -> float:
        """Minutes of a stage, of which each has as much."""
        return minutes / len(self.system().all_stages())


def trainings() -> list[Training]:
    """All rows, in order."""
    return [Training(recipe, learned) for recipe in CHANGES for learned in LEARNED]


@dataclass(frozen=True)
class Sources:
    """What the trainings are made from."""

    slices: Path
    labels: Path
    scans: int
    per_scan: int
    seed: int


@dataclass
class Workshop:
    """A folder of trainings, and the processes at work in it."""

    folder: Path
    sources: Sources
    locks: dict[str, threading.Lock] = field(default_factory=dict)
    working: set[SpawnProcess] = field(default_factory=set)
    gate: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False

    def train(self, one: Training, minutes: float) -> Path:
        """Carry a training out, or go on with it; its run's folder."""
        run = self.run_folder(one)
        if one.learned == "real":
            self._train(one, run, "real", minutes)
        elif one.learned == "synthetic":
            # Half of it is where the third row begins.
            self.half(one.recipe, minutes)
            with self.lock(one.recipe):
                self._train(one, run, "synthetic", minutes)
        else:
            start = self.half(one.recipe, minutes)
            self._train(one, run, "real", minutes / 2, ["--start-from", str(start)])
        return run

    def half(self, recipe: str, minutes: float) -> Path:
        """The model of the first half of the minutes on synthetic slices.

        The learning rate of these recipes is constant, so that the first half of a training is the
        training of half the time.
        """
        target = self.folder / "halves" / f"{recipe}-{minutes / 2:g}.safetensors"
        one = Training(recipe, "synthetic")
        if target.exists():  # while the rest of the second row is at work
            return target
        with self.lock(recipe):
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                run = self.run_folder(one)
                try:
                    self._train(one, run, "synthetic", minutes / 2)
                except Stopped as stopped:
                    if stopped.code != BAD_INPUT:
                        raise
                    # Its first stage finds nothing yet that the second one could learn from.
                    run = begun(one, run, target.with_name(f"{target.stem}-begun"))
                self.call(one.name, "model", "pack", str(run))
                part = target.with_suffix(".part")
                shutil.copyfile(run / f"{recipe}.safetensors", part)
                part.replace(target)
        return target

    def run_folder(self, one: Training) -> Path:
        return self.folder / "runs" / one.name

    def _train(
        self, one: Training, run: Path, kind: str, minutes: float, more: Sequence[str] = ()
    ) -> None:
        data, split = self.data(kind)
        words = ["train", one.recipe, "--data", str(data), "--split", str(split), "-o", str(run)]
        words += ["--cache", str(self.folder / "prepared"), "--device", "cpu"]
        words += [word for change in CHANGES[one.recipe] for word in change.words]
        words += ["--set", f"optimisation.stop.cpu_minutes={one.stage_minutes(minutes):g}", *more]
        words += ["--resume"] if run.exists() else []
        self.call(one.name, *words)

    def data(self, kind: str) -> tuple[Path, Path]:
        """Slices of a kind and their split; made where they are missing."""
        split = self.folder / f"{kind}-split.json"
        with self.lock(kind):
            slices = self.sources.slices if kind == "real" else self.synthetic()
            if not split.exists():
                words = ["--holdout", "96/4", "--seed", "0", "-o", str(split)]
                if kind == "real":
                    words += ["--test-every", str(TEST_EVERY)]
                self.call(kind, "dataset", "split", str(slices), *words)
        return slices, split

    def synthetic(self) -> Path:
        """Slices of synthetic scans around the label maps of patients to learn from."""
        made, source = self.folder / "synthetic.npz", self.sources
        if made.exists():
            return made
        maps, scans = self.folder / "training-maps", self.folder / "synthetic-scans"
        maps.mkdir(parents=True, exist_ok=True)
        for path in sorted(source.labels.glob("case_*.nii.gz")):
            link = maps / path.name
            if int(path.name[5:10]) % TEST_EVERY and not link.exists():
                link.symlink_to(path.resolve())
        words = ["-o", str(scans), "-n", str(source.scans), "--labels", str(maps)]
        words += ["--seed", str(source.seed), "--spacing", "10", "0.8", "0.8"]
        self.call("synthetic", "synthesize", *words)
        words = ["-o", str(made), "--per-scan", str(source.per_scan), "--seed", str(source.seed)]
        self.call("synthetic", "dataset", "cut-slices", str(scans), *words)
        return made

    def lock(self, name: str) -> threading.Lock:
        with self.gate:
            return self.locks.setdefault(name, threading.Lock())

    def call(self, name: str, *words: str) -> None:
        """One command of ``renalis`` on one core; its lines go to a log."""
        log = self.folder / "logs" / f"{name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            stream.write(f"$ renalis {' '.join(words)}\n".encode())
        with self.gate:
            if self.closed:
                raise Stopped(name)
            os.environ["OMP_NUM_THREADS"] = "1"  # a spawned process has it from its start
            done = SPAWN.Process(target=carry_out, args=(words, log))
            done.start()
            self.working.add(done)
        done.join()
        self.working.discard(done)
        if done.exitcode:
            text = f"{name}: renalis {words[0]} ended with {done.exitcode}, see {log}"
            raise Stopped(text, done.exitcode)

    def close(self) -> None:
        """End what is at work; trainings save their step."""
        with self.gate:
            self.closed = True
            for one in list(self.working):
                one.terminate()


def carry_out(words: Sequence[str], log: Path) -> None:
    """One command of ``renalis``, in a process that ends with the one that started it."""
    end_with_parent()
    with log.open("ab") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    sys.exit(main(words))


class Stopped(Exception):
    """A training that did not come to its end, and the command's exit code, if it had one."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


def begun(one: Training, run: Path, folder: Path) -> Path:
    """A run's folder in which the stages that are not trained yet have their first weights.

    Parameters
    ----------
    one : Training
    run : Path
        Its folder, of which at least one stage is trained.
    folder : Path
        The new one; replaced.

    Returns
    -------
    Path
        The new one.
    """
    system, source, target = one.system(), run / "fold_0", folder / "fold_0"
    shutil.rmtree(folder, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copyfile(run / "recipe.json", folder / "recipe.json")
    for path in source.glob("*.json"):
        shutil.copyfile(path, target / path.name)
    trained = [stage for stage in system.all_stages() if _weights(source, stage.name).exists()]
    for stage in system.all_stages():
        if stage in trained:
            shutil.copyfile(_weights(source, stage.name), _weights(target, stage.name))
            continue
        torch.manual_seed(system.seed)
        network = build(stage.network.config())
        save_weights(_weights(target, stage.name), network.state_dict(), {"steps": 0})
        # What the first stage's grey values are normalized with: nobody reads it of this one.
        plan = json.loads((source / f"{trained[0].name}.plan.json").read_text(encoding="utf-8"))
        plan["stage"] = stage.name
        (target / f"{stage.name}.plan.json").write_text(json.dumps(plan), encoding="utf-8")
    return folder


def _weights(fold: Path, stage: str) -> Path:
    return fold / f"{stage}.safetensors"


def so_far(one: Training, run: Path, folder: Path) -> bool:
    """Make a run's folder of the weights that an unfinished one keeps so far.

    Parameters
    ----------
    one : Training
    run : Path
        Its folder.
    folder : Path
        The new one.

    Returns
    -------
    bool
        Whether every stage keeps some.
    """
    source, target = run / "fold_0", folder / "fold_0"
    kept = {
        stage.name: sorted((source / stage.name).glob("*/weights.safetensors"))
        for stage in one.system().all_stages()
    }
    if not all(kept.values()):
        return False
    target.mkdir(parents=True)
    shutil.copyfile(run / "recipe.json", folder / "recipe.json")
    for path in source.glob("*.json"):
        shutil.copyfile(path, target / path.name)
    for stage, files in kept.items():
        shutil.copyfile(files[-1], target / f"{stage}.safetensors")
    return True


def spent(run: Path) -> dict[str, Any]:
    """How far a run is: minutes of computing, epochs and steps of each stage."""
    stages: dict[str, Any] = {}
    for path in sorted((run / "fold_0").glob("*/*/metrics.jsonl")):
        epochs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if epochs:
            stages[path.parent.parent.name] = {
                "minutes": round(sum(epoch["cpu_seconds"] for epoch in epochs) / 60, 2),
                "epochs": len(epochs),
                "steps": epochs[-1]["steps"],
            }
    return stages
