"""Every recipe at full size: two real optimizer steps at its published patch and batch.

    python benchmarks/full_size.py [--recipe NAME…] [--memory-limit GB] [--device cpu|cuda]

Each training of a recipe runs in a process of its own, on a phantom, so no dataset is needed. What
a step needs is reckoned first. Where the whole batch does not fit, as many of its samples as fit
are in memory together and gradients are added up; where not even one fits, nothing is run and the
need is reported. Figures are kept in ``benchmarks/results/full-size/RECIPE.json`` and not measured
again unless ``--again`` is given; the table is ``docs/full-size.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from arms import HERE, last_object
from machine import in_words, machine
from results import commit

from renalis.recipes import published

FOLDER = HERE / "results" / "full-size"
PAGE = HERE.parent / "docs" / "full-size.md"
JOB = HERE / "full_size_job.py"
# Of the free memory; the rest is for whoever else works here.
SHARE = 0.9
STEPS = {
    # KiTS19's 210 scans have 216 slices on average, 115 of them within 20 of a kidney; KiTS21's 300
    # have 186, 36 % of them with kidney (spacings and sizes in KiTS23's cases).
    "resnet34-2d": (
        47_500,
        "240 scans × 186 slices / 128, 100 epochs; then those with kidney again",
    ),
    "simple-unet-2d": (34_900, "240 scans × 186 slices / 128, 100 epochs"),
    "quicknat-2d": (3_750, "87 scans × 115 slices / 16, the published 6 epochs; at most 50"),
    "unet3d-plain": (50_400, "168 scans / 2, 600 epochs; for each of five folds"),
    "unet3d-preact": (50_400, "168 scans / 2, 600 epochs; for each of five folds"),
    "unet3d-residual": (50_400, "168 scans / 2, 600 epochs; for each of five folds"),
    "cascade3d": (56_000, "2000 a pass, 28 passes of both rounds together; stops earlier"),
    "multires3d": (200_000, "2000 a pass, 100 passes; stops 10 after the best"),
}
"""Optimizer steps of the whole published training, at most, and how they are reckoned."""
VALIDATION = {
    # Slices are predicted for Dice and passed once more for the loss.
    "resnet34-2d": (
        1_518_000,
        "30 scans × 186 slices, for Dice and for the loss; then those with kidney",
    ),
    "simple-unet-2d": (1_116_000, "30 scans × 186 slices, for Dice and for the loss"),
    "quicknat-2d": (43_700, "22 scans × 216 slices for Dice, 115 for the loss, 6 epochs"),
    "unet3d-plain": (48_000, "10 scans × 8 windows"),
    "unet3d-preact": (48_000, "10 scans × 8 windows"),
    "unet3d-residual": (48_000, "10 scans × 8 windows"),
    # Of ten label maps of KiTS23, 167 tiles of 20 mm hold some kidney on average; 291 come within
    # 10 mm, which the gate lets through. The coarse network's own 150 tiles cost as much as 24.
    "cascade3d": (225_000, "42 scans × 167 tiles with some kidney and 24 for the coarse network"),
    "multires3d": (821_000, "43 scans × 167 tiles with some kidney and 24 for the coarse network"),
}
"""Forward passes of one sample in all validations of that training, and how they are reckoned."""
SUSTAINED_TFLOPS = 15
EXPECTED = f"""
## Expected on one GPU

**Reckoned, not measured**: the steps of the published training times the operations of a step, on a
card that sustains {SUSTAINED_TFLOPS} TFLOP/s (a figure to scale by; what a card sustains on these
networks has to be tried), and the memory of a whole batch in float32. With
`optimisation.micro_batch` the least memory is that of one sample. *Validation* after every epoch is
reckoned apart: its forward passes, each a third of a sample's share of a step. Waiting for data and
preparing the scans are not in it.

| recipe | steps | | validation passes | | hours: training | validation | together \
| GB, whole batch | GB, one sample |
|---|---|---|---|---|---|---|---|---|---|
"""
HEAD = """# Recipes at full size

Made by `python benchmarks/full_size.py`; do not edit. Two optimizer steps of every published
system, with the package's own engine, sampler and augmentation, at the patch and the batch of its
recipe, on a synthetic phantom. A recipe of several trainings has a line for each; stages that cost
the same have one.

*Reckoned* is what a step needs with the whole batch in memory: what autograd keeps of a forward
pass (counted on tensors without content), 16 bytes for each parameter, the working space of the
largest layer and 0.7 GB for the program. *At once* says how many samples of the batch were in
memory together, augmented copies not counted; if fewer than the batch, the gradients of several
passes make one step. *Seconds* are those of the second step, with cutting and augmenting the
samples; *peak* is the largest resident memory of the process, or what was allocated on the GPU.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    systems = list(published())
    add("--recipe", nargs="+", choices=systems, default=systems, metavar="NAME")
    add("--memory-limit", type=float, metavar="GB", help="default: nine tenths of what is free")
    add("--device", default="cpu", choices=("cpu", "cuda"))
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--at-once", type=int, metavar="N", help="samples in memory together (default: what fits)")
    add("--reckon-only", action="store_true", help="say what is needed and run nothing")
    add("--again", action="store_true", help="measure what has been measured already")
    arguments = parser.parse_args()
    failed = []
    for recipe in arguments.recipe:
        path = FOLDER / f"{recipe}.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        found = known or {"recipe": recipe, "units": job(["estimate", recipe], None)[0]}
        for unit in found["units"]:
            if arguments.reckon_only or (unit.get("steps") and not arguments.again):
                continue
            measure(recipe, unit, arguments)
            if unit.get("problem"):
                failed.append(f"{recipe} {unit['name']}: {unit['problem']}")
            found |= {"commit": commit(), "machine": machine()}
            save(path, found)
        save(path, found)
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def measure(recipe: str, unit: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Run the steps of one training, and note in ``unit`` what came out."""
    limit = arguments.memory_limit * 1e9 if arguments.memory_limit else SHARE * free_bytes()
    if arguments.device == "cuda" and not arguments.memory_limit:
        limit = float("inf")
    at_once = arguments.at_once or that_fits(unit, limit)
    unit.pop("problem", None)
    if at_once is None:
        unit["too_large_for_bytes"] = limit
        least = gigabytes(unit["needs"]["1"]["bytes"])
        print(f"{recipe} {unit['name']}: left out, one sample needs {least} GB", file=sys.stderr)
        return
    need = unit["needs"][str(at_once)]
    print(
        f"{recipe} {unit['name']}: {at_once} of {unit['batch']} at once, "
        f"{need['tflop']:.1f} TFLOP a step, about {gigabytes(need['bytes'])} GB",
        file=sys.stderr,
        flush=True,
    )
    words = ["steps", recipe, "--unit", str(unit["unit"]), "--at-once", str(at_once)]
    words += ["--device", arguments.device]
    try:
        # On a GPU the host's memory is no bound.
        watched = limit if arguments.device == "cpu" else None
        steps, wall = job(words, watched, arguments.threads)
    except RuntimeError as error:
        unit["problem"] = str(error)
        return
    unit["steps"] = {**steps, "at_once": at_once, "wall_s": wall}
    unit.pop("too_large_for_bytes", None)
    print(f"  {steps['seconds'][-1]:.1f} s a step, peak {gigabytes(steps['peak_bytes'])} GB")


def that_fits(unit: dict[str, Any], limit: float) -> int | None:
    """The largest number of samples at once, up to the recipe's own, that the limit allows."""
    fitting = [
        int(count)
        for count, need in unit["needs"].items()
        if need["bytes"] <= limit and int(count) <= unit["at_once"]
    ]
    return max(fitting, default=None)


def job(words: list[str], limit: float | None, threads: int = 1) -> tuple[Any, float]:
    """Run the other program; what it said and how long it took.

    Raises
    ------
    RuntimeError
        If it fails, or grows beyond the limit, for which it is stopped.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(HERE)}
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, JOB, *words], stdout=said, stderr=complaints, env=environment
        )
        while process.poll() is None:
            time.sleep(0.1)
            if limit is not None and resident_bytes(process.pid) > limit:
                process.kill()
                process.wait()
                raise RuntimeError(f"stopped: it took more than {gigabytes(limit)} GB")
        wall = time.perf_counter() - began
        said.seek(0)
        complaints.seek(0)
        text = said.read()
        if process.returncode:
            raise RuntimeError(f"ended with {process.returncode}: {complaints.read()[-2000:]}")
    lines = text.strip().splitlines()
    if words[0] == "estimate":
        return json.loads(lines[-1]), wall
    return last_object(text), wall


def free_bytes() -> float:
    """Memory that a new program can have."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def resident_bytes(process: int) -> float:
    """What a process takes now; 0 where the system does not say."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    return 0.0


def save(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def page() -> str:
    """The table, from all figures there are."""
    rows, machines, left_out = [], set(), []
    for path in sorted(FOLDER.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for unit in found["units"]:
            rows.append(row(found["recipe"], unit))
            if unit.get("steps"):
                steps = unit["steps"]
                where = in_words(found["machine"]) if steps["device"] == "cpu" else steps["device"]
                load = found["machine"].get("load_at_end")
                busy = f", load {load} at the end" if load and steps["device"] == "cpu" else ""
                machines.add(f"{where}, {steps['threads']} threads{busy}")
            else:
                left_out.append(reason(found["recipe"], unit))
    heads = ("recipe", "training", "parameters", "input", "batch", "TFLOP a step",
             "reckoned GB", "at once", "seconds", "peak GB")  # fmt: skip
    table = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]
    parts = [HEAD, *(f"Measured on: {name}.\n\n" for name in sorted(machines))]
    parts += ["\n".join(table), "\n"]
    if left_out:
        parts += ["\nNot run here:\n\n", *(f"- {line}\n" for line in left_out)]
    return "".join([*parts, EXPECTED, *(expected(path) for path in sorted(FOLDER.glob("*.json")))])


def expected(path: Path) -> str:
    """What the whole training of a recipe would take; its costliest network stands for all."""
    found = json.loads(path.read_text(encoding="utf-8"))
    steps, words = STEPS[found["recipe"]]
    unit = max(found["units"], key=lambda one: one["needs"][str(one["at_once"])]["bytes"])
    whole, least = unit["needs"][str(unit["at_once"])], unit["needs"]["1"]
    passes, what = VALIDATION[found["recipe"]]
    training = steps * whole["tflop"] / SUSTAINED_TFLOPS / 3600
    validation = passes * forward_tflop(unit) / SUSTAINED_TFLOPS / 3600
    cells = [found["recipe"], f"{steps:,}", words, f"{passes:,}", what,
             *(f"{hours:.1f}" for hours in (training, validation, training + validation)),
             gigabytes(whole["bytes"]), gigabytes(least["bytes"])]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def forward_tflop(unit: dict[str, Any]) -> float:
    """Operations of one sample's forward pass: going backward costs twice as much again."""
    step: float = unit["needs"][str(unit["at_once"])]["tflop"]
    return step / (unit["batch"] * (1 + unit["copies"])) / 3


def row(recipe: str, unit: dict[str, Any]) -> str:
    """One line of the table."""
    whole = unit["needs"][str(unit["at_once"])]
    steps = unit.get("steps")
    batch = str(unit["batch"]) + (f" × {1 + unit['copies']}" if unit["copies"] else "")
    shape = " and ".join(dict.fromkeys("×".join(map(str, s)) for s in unit["input"].values()))
    if len(unit["input"]) > 1:
        shape = f"{len(unit['input'])} of {shape}"
    cells = [recipe, unit["name"], f"{whole['parameters']:,}", shape, batch,
             f"{whole['tflop']:.1f}", gigabytes(whole["bytes"])]  # fmt: skip
    if steps is None:
        return f"| {' | '.join([*cells, '–', '–', '–'])} |"
    at_once = f"{steps['at_once']} of {unit['batch']}"
    if steps["at_once"] != unit["at_once"]:
        at_once += f" ({gigabytes(unit['needs'][str(steps['at_once'])]['bytes'])} GB reckoned)"
    cells += [at_once, f"{steps['seconds'][-1]:.1f}", gigabytes(steps["peak_bytes"])]
    return f"| {' | '.join(cells)} |"


def reason(recipe: str, unit: dict[str, Any]) -> str:
    """Why a training has no figures."""
    name = f"`{recipe}`, {unit['name']}"
    whole, least = unit["needs"][str(unit["at_once"])], unit["needs"]["1"]
    needs = (
        f"needs {gigabytes(whole['bytes'])} GB for {unit['at_once']} samples at once, "
        f"{gigabytes(least['bytes'])} GB for one"
    )
    if "too_large_for_bytes" in unit:
        return f"{name}: {needs}; {gigabytes(unit['too_large_for_bytes'])} GB were free"
    return f"{name}: {needs}; {unit.get('problem') or 'not tried yet'}"


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f}"


if __name__ == "__main__":
    sys.exit(main())
