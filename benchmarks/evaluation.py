"""Compare `renalis evaluate` with DeepMind's surface-distance and the official KiTS23 procedure.

    python benchmarks/evaluation.py [--cases 6] [--rounds 1]

Label maps of 512 × 512 × 320 and more voxels are made from KiTS23 label maps (RENALIS_DATA or
../shared/data; without them from ellipsoids), predictions by warping them, once as they are and
once with 40 false-positive cubes far away. Everything runs on one core in one thread; CPU seconds
count, so that other work on the machine does not. The rivals live in `.venv-peers`, which
`make bench-peers` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from arms import HERE, PEERS, Measured
from meter import metered
from results import Claim, Room, ratio
from scipy import ndimage

SPACING = (1.0, 0.8, 0.8)  # slices first, as KiTS stores them
SHAPE = (320, 512, 512)
ISLANDS = 40
TARGETS = {"good": 6.0, "far": 25.0, "memory": 5.0, "files": 5.0}
TITLES = {"good": "One good prediction", "far": f"One with {ISLANDS} far false positives"}
OURS, DEEPMIND = "renalis", "DeepMind surface-distance"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=6, help="files of the file benchmark")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--ours", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        measure_ours(Path(arguments.ours))
        return 0
    if not PEERS.exists():
        raise SystemExit("the rivals are not installed; run: make bench-peers")
    with tempfile.TemporaryDirectory() as folder:
        room = compare(Path(folder), arguments.cases, arguments.rounds)
    print(room.save())
    return 0 if all(claim.holds for claim in room.claims) else 1


def compare(folder: Path, count: int, rounds: int) -> Room:
    """All figures, after checking that the numbers are the same."""
    room = Room(
        "evaluation",
        "Scoring label maps",
        f"Label maps of {SHAPE[1]} × {SHAPE[2]} × {SHAPE[0]} voxels and more of "
        f"{SPACING[2]} × {SPACING[1]} × {SPACING[0]} mm: KiTS23 label maps as references, warped "
        "by up to 8 voxels as predictions",
        notes=[
            "The first two tables: arrays in memory; CPU seconds and extra memory of one call that "
            "scores kidney, masses and tumor (Dice, surface Dice, 95th percentile of surface "
            "distances). renalis scores lesions one by one besides.",
            "Files: whole programs, start-up included, in one process; DeepMind's code in the "
            "steps of the official KiTS23 evaluation (Dice and surface Dice). All numbers that "
            "both give were checked to agree before anything was written down.",
        ],
    )
    script = HERE / "peers" / "official_evaluation.py"
    for kind, title in TITLES.items():
        reference, prediction = case(0, ISLANDS if kind == "far" else 0)
        np.savez(folder / "pair.npz", reference=reference, prediction=prediction, spacing=SPACING)
        arms = [Measured(OURS, True), Measured(DEEPMIND, False)]
        commands = [
            [sys.executable, __file__, "--ours", folder / "pair.npz"],
            [PEERS, script, "arrays", folder / "pair.npz"],
        ]
        for number in range(rounds):
            found = {}
            for k in (0, 1) if number % 2 == 0 else (1, 0):
                found[k] = run(commands[k])
                words = {"work_cpu_s": found[k]["cpu_s"], "work_mb": found[k]["extra_mb"]}
                arms[k].runs.append(words)
            check(found[0]["result"], found[1]["result"])
        room.tables[title] = arms
        room.claims += [
            Claim(f"{title}: {words} of DeepMind's code / ours",
                  ratio(arms, DEEPMIND, OURS, what), target)
            for words, what, target in (("CPU seconds", "work_cpu_s", TARGETS[kind]),
                                        ("memory", "work_mb", TARGETS["memory"]))
        ]  # fmt: skip
    for k in range(count):
        for what, labels in zip(("references", "predictions"), case(k, 0), strict=True):
            save(labels, folder / what / f"case_{k:05d}.nii.gz")
    where = folder / "predictions", folder / "references"
    arms = [Measured("renalis evaluate", True), Measured("official KiTS23 procedure", False)]
    for number in range(rounds):
        output = folder / f"out-{number}"
        words = ["-p", where[0], "-r", where[1], "-o", output, "--jobs", "1"]
        commands = [
            [Path(sys.executable).with_name("renalis"), "evaluate", *words],
            [PEERS, script, "official", *where],
        ]
        for k in (0, 1) if number % 2 == 0 else (1, 0):
            arms[k].runs.append({"cpu_s": cpu(commands[k])})
        check_tables(output / "metrics.csv", folder / "official.csv")
    room.tables[f"{count} cases, from files to a table"] = arms
    room.claims.append(
        Claim("files: CPU seconds of the official procedure / ours",
              ratio(arms, arms[1].name, arms[0].name), TARGETS["files"])
    )  # fmt: skip
    return room


def measure_ours(file: Path) -> None:
    """The same numbers by renalis; the call computes more than is shown."""
    from renalis.evaluation import score
    from renalis.volume import Kind, Volume

    data = np.load(file)
    affine = np.diag([*data["spacing"], 1.0])
    maps = [Volume(data[k], affine, Kind.LABELS) for k in ("reference", "prediction")]
    figures = metered(score, *maps)
    regions = {name: figures["result"][name] for name in ("kidney", "masses", "tumor")}
    figures["result"] = {n: (r.dice, r.surface_dice, r.hd95_mm) for n, r in regions.items()}
    print(json.dumps(figures))


def case(number: int, label_boxes: int) -> tuple[np.ndarray, np.ndarray]:
    """A reference and a prediction, shape (Z, Y, X) uint8."""
    rng = np.random.default_rng(number)
    small = source(number)
    labels = ndimage.zoom(small, [1.5 / s for s in SPACING], order=0)
    shape = [max(n, m + 16) for n, m in zip(SHAPE, labels.shape, strict=True)]
    reference, prediction = np.zeros((2, *shape), np.uint8)
    start = [(n - m) // 2 for n, m in zip(shape, labels.shape, strict=True)]
    inside = tuple(slice(s, s + m) for s, m in zip(start, labels.shape, strict=True))
    reference[inside], prediction[inside] = labels, warped(labels, rng)
    for _ in range(label_boxes):
        edge = int(rng.integers(4, 12))
        place = [int(rng.integers(0, n - edge)) for n in shape]
        prediction[tuple(slice(p, p + edge) for p in place)] = 2
    return reference, prediction


def source(number: int) -> np.ndarray:
    """Labels at 1.5 mm, (Z, Y, X): a KiTS23 case, or ellipsoids."""
    data = Path(os.environ.get("RENALIS_DATA", HERE.parent.parent / "shared" / "data"))
    files = sorted((data / "kits23-labels").glob("case_*.nii.gz"))
    if files:
        array = np.asarray(nib.load(files[(6 + number * 7) % len(files)]).dataobj, dtype=np.uint8)
        return np.ascontiguousarray(array.transpose(2, 1, 0))
    z, y, x = np.mgrid[0:90, 0:64, 0:140].astype(np.float32)
    labels = np.zeros(z.shape, np.uint8)
    for center in (30, 110):
        labels[((z - 45) / 38) ** 2 + ((y - 32) / 18) ** 2 + ((x - center) / 20) ** 2 < 1] = 1
    labels[(z - 60) ** 2 + (y - 30) ** 2 + (x - 20 - number) ** 2 < 130] = 2
    labels[(z - 30) ** 2 + (y - 30) ** 2 + (x - 118) ** 2 < 60] = 3
    return labels


def warped(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The labels moved by a smooth random field of up to 8 voxels: Dice of about 0.95."""
    grid = np.indices(labels.shape, dtype=np.float32)
    for axis in range(3):
        noise = rng.standard_normal([-(-n // 8) + 1 for n in labels.shape]).astype(np.float32)
        field = ndimage.zoom(ndimage.gaussian_filter(noise, 1.5), 8, order=1)
        field = field[tuple(slice(0, n) for n in labels.shape)]
        grid[axis] += field * (8 / np.abs(field).max())
    return ndimage.map_coordinates(labels, grid, order=0)


def save(labels: np.ndarray, path: Path) -> None:
    """As KiTS stores it: slices first."""
    path.parent.mkdir(exist_ok=True)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = [-SPACING[0], -SPACING[1], -SPACING[2], 1]
    nib.save(nib.Nifti1Image(labels, affine), path)


def run(command: list) -> dict:
    """The JSON that a program prints."""
    done = subprocess.run(
        [str(c) for c in command],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(HERE)},
    )
    return json.loads(done.stdout)


def cpu(command: list) -> float:
    """CPU seconds of a whole program, start-up included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [str(c) for c in command],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(HERE)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def check(mine: dict, theirs: dict) -> None:
    """A benchmark of different numbers would be worth nothing."""
    for name, numbers in theirs.items():
        np.testing.assert_allclose(mine[name], numbers, atol=1e-9, err_msg=name)


def check_tables(mine: Path, theirs: Path) -> None:
    """Both tables hold the same numbers."""
    one, two = (
        np.loadtxt(f, delimiter=",", skiprows=1, usecols=range(1, 7)) for f in (mine, theirs)
    )
    np.testing.assert_allclose(one, two, atol=2e-8)


if __name__ == "__main__":
    # One core for this process and all its children.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sys.exit(main())
