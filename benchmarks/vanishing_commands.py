"""Commands that work for long, small: what they are given, what they write, how far they are."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from cohort_scans import many_scans
from small_training import SEARCH, SETS

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

CPU = ("--device", "cpu", "--threads", "1")


@dataclass(frozen=True)
class Command:
    """A command of renalis.

    Attributes
    ----------
    name : str
        What it is called in the table.
    words : tuple of str
        With ``GIVEN`` and ``OUT`` for what it is given and where it writes.
    given : Path
        A folder.
    finished : str
        Pattern of the files of ``OUT`` that stand for what is finished.
    compared : tuple of str
        Patterns of the files that have to have the bits of an undisturbed run.
    drives : tuple of str
        What to put on the drive that goes: the ``results``, and what is given, by its name.
    again : tuple of str
        More words when it is repeated.
    """

    name: str
    words: tuple[str, ...]
    given: Path
    finished: str
    compared: tuple[str, ...]
    drives: tuple[str, ...] = ("results",)
    again: tuple[str, ...] = ()

    def line(self, given: Path, out: Path) -> list[str]:
        """All its words."""
        places = {"GIVEN": str(given), "OUT": str(out)}
        return [places.get(word, word) for word in self.words]

    def done(self, out: Path) -> int:
        """How much is finished."""
        return sum(1 for _ in out.glob(self.finished))

    def bits(self, out: Path) -> dict[str, str]:
        """SHA-256 of the files that are compared."""
        return {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for pattern in self.compared
            for path in sorted(out.glob(pattern))
            if not path.name.startswith(".")  # what could not be taken away
        }


def commands(work: Path, trials: Path, scans: int) -> list[Command]:
    """All of them, with what they are given made or copied to ``trials``."""
    from helpers.ellipsoid_kidneys import write_scan

    chosen = trials / "scans"
    chosen.mkdir(parents=True)
    for path in many_scans(work, scans, bodies=2):
        shutil.copy(path, chosen / path.name)
    maps = sorted((work / "bodies" / "labels").iterdir())
    for number in range(24):
        for kind in ("references", "predictions"):
            target = trials / kind / f"case_{number:05d}.nii.gz"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(maps[number % len(maps)], target)
    for number in range(6):
        write_scan(trials / "data", number)
    search = trials / "search.yaml"
    search.write_text(json.dumps(SEARCH))
    small = tuple(part for change in SETS for part in ("--set", change))
    data = ("--data", "GIVEN", "--kind", "kits19")
    system = ("simple-unet-2d", "--tiny")
    run = trials / "run"
    return [
        Command(
            "train",
            ("train", *system, *data, *small, *CPU, "--fold", "all", "-o", "OUT"),
            trials / "data",
            "fold_*/*/*/metrics.jsonl",
            ("fold_*/*.safetensors",),
            again=("--resume",),
        ),
        Command(
            "segment",
            ("segment", "GIVEN", "-o", "OUT", "--no-report", "--mirror", "none"),
            chosen,
            "*/measurements.json",
            ("*/segmentation.nii.gz",),
            ("scans", "results"),
        ),
        Command(
            "synthesize",
            ("synthesize", "-o", "OUT", "-n", "3", "--seed", "3", "--spacing", "6", "6", "6"),
            trials / "data",
            "labels/*.nii.gz",
            ("images/*", "labels/*", "cases.csv"),
        ),
        Command(
            "evaluate",
            (
                *("evaluate", "-r", str(trials / "references"), "-p", "GIVEN", "-o", "OUT"),
                *("--missing", "zero", "--jobs", "1"),
            ),
            trials / "predictions",
            ".cases/*.json",
            ("metrics.csv", "details.csv"),
            ("predictions", "results"),
        ),
        Command(
            "crossvalidate",
            ("crossvalidate", str(run), *data, "--device", "cpu", "--jobs", "1", "-o", "OUT"),
            trials / "data",
            "*/labels/*.json",
            ("*/labels/*.nii.gz", "folds.csv", "cases.csv"),
            ("scans", "results"),
        ),
        Command(
            "tune",
            (
                *("tune", *system, *data, *small, *CPU, "-o", "OUT"),
                *("--search", str(search), "--trials", "4"),
            ),
            trials / "data",
            "trial_*/recipe.yaml",
            ("trial_*/fold_*/*.safetensors", "best.yaml", "trials.csv"),
            ("scans", "results"),
            ("--resume",),
        ),
    ]
