"""Whether a change of the program changed what it computes: SHA-256 of results, before and after.

Run: ``python benchmarks/same_bits.py -o before.json``, change the program, then
``python benchmarks/same_bits.py -o after.json --against before.json``. Every name whose bits differ
is printed, and the exit code is then 1. ``--only labels/demo recipes`` does some parts, by the
beginnings of their names; ``--list`` prints all names. What is in the output already is kept, so
that a stopped call goes on, unless ``--again`` is given.

Parts:

- ``labels/SCAN/RUNTIME/MIRROR``: label maps of the shipped model, before tidying;
- ``report/demo``: everything that ``renalis segment`` writes for the demo scan;
- ``shipped/OPTIMIZER/PROCESSES``: the shipped model's recipe, trained for four steps;
- ``recipes/NAME``: the small variant of each recipe, trained for two epochs, and what it segments;
- ``cohort``: what ``renalis segment`` writes for a folder of two scans, each by a process;
- ``measurements/KIDNEYS``: ``measurements.json`` of phantoms whose labels are known;
- ``metrics``: tables of ``renalis evaluate``.

All on one thread: sums over several are rounded otherwise. ``benchmarks/results/same-bits.json``
holds the trainings' digests of one machine, to compare with where processor and torch are alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import nibabel
import numpy as np
import torch
from safetensors import safe_open

import renalis
import renalis.io
from renalis.measurement import measure
from renalis.prediction import Mirror, PredictionOptions, RuntimeName, predict
from renalis.recipes import published
from renalis.synthesis.cohort import Cohort, make_scan
from renalis.systems import open_run, predict_scan
from renalis.volume import Volume

Digests = dict[str, str]

SCANS = {
    "unenhanced": "real-ct/totalsegmentator-example/ct.nii.gz",
    "liver-phantom": "real-ct/liver-phantom",
    "enhanced": "real-ct/tcga-ov",
    "chest": "real-ct/lidc-chest",
}
RUNTIMES = (RuntimeName.TORCH, RuntimeName.OPENVINO)
MIRRORS = (Mirror.NONE, Mirror.FOUR)

PHANTOMS = ("normal", "horseshoe")
"""Kinds of invented kidneys."""

TINY_NETWORK = "network={name: unet, in_channels: 1, out_channels: 4, channels: [16, 16]}"
"""Of both stages of the shipped recipe: the same, whatever its small variant has."""


def main() -> int:
    """Compute the wanted parts and compare them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="JSON")
    add("--against", type=Path, metavar="JSON", help="digests of another version")
    add("--only", nargs="+", default=[""], metavar="NAME", help="parts, by how they begin")
    add("--data", type=Path, default=os.environ.get("RENALIS_DATA", "../shared/data"))
    add("--again", action="store_true", help="also what is in the output already")
    add("--list", action="store_true", help="print the names of all parts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    parts = all_parts(arguments.data)
    if arguments.list:
        print("\n".join(parts))
        return 0
    found: Digests = {}
    if arguments.output.exists():
        found = json.loads(arguments.output.read_text("utf-8"))
    for name in (n for n in parts if n.startswith(tuple(arguments.only))):
        if not arguments.again and any(known.startswith(f"{name}:") for known in found):
            continue
        with tempfile.TemporaryDirectory() as folder:
            digests = parts[name](Path(folder))
        found |= {f"{name}: {what}": digest for what, digest in digests.items()}
        print(name, flush=True)
        arguments.output.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")
    return compare(found, arguments.against) if arguments.against else 0


def compare(found: Digests, earlier: Path) -> int:
    """Name everything that both have and that differs."""
    before = json.loads(earlier.read_text("utf-8"))
    shared = sorted(set(before) & set(found))
    differing = [name for name in shared if before[name] != found[name]]
    for name in differing:
        print(f"DIFFERS  {name}")
    print(f"{len(shared) - len(differing)} of {len(shared)} are equal")
    return 1 if differing else 0


def all_parts(data: Path) -> dict[str, Callable[[Path], Digests]]:
    """Functions from an empty folder to digests, by name."""
    parts: dict[str, Callable[[Path], Digests]] = {}
    for scan in ("demo", *SCANS):
        for runtime in RUNTIMES:
            for mirror in MIRRORS:
                name = f"labels/{scan}/{runtime}/{mirror}"
                parts[name] = partial(_labels, scan, data, runtime, mirror)
    parts["report/demo"] = _report
    for optimizer in ("adamw", "muon"):
        for processes in (1, 2):
            parts[f"shipped/{optimizer}/{processes}"] = partial(_shipped, optimizer, processes)
    for name in published():
        parts[f"recipes/{name}"] = partial(_recipe, name)
    parts["cohort"] = _cohort
    for kidneys in PHANTOMS:
        parts[f"measurements/{kidneys}"] = partial(_measurements, kidneys)
    parts["metrics"] = _metrics
    return parts


def _demo() -> tuple[Volume, Volume]:
    """Image and labels of a synthetic scan as ``make demo`` makes it, at half the resolution."""
    cohort = Cohort(1, 3, (3.0, 1.6, 1.6), 256, "nephrographic", "normal")
    scan, _ = make_scan(cohort, 0, [])
    return scan.image, scan.labels


def _labels(scan: str, data: Path, runtime: RuntimeName, mirror: Mirror, folder: Path) -> Digests:
    del folder
    volume = _demo()[0] if scan == "demo" else _real(data / SCANS[scan])
    options = PredictionOptions(runtime=runtime, mirror=mirror, threads=1)
    said = predict(volume, renalis.load_model(), options)
    digests = {"labels": _of_array(said.labels.array)}
    for name, map_ in (("kidney", said.kidney), ("lesion", said.lesion)):
        digests[name] = "none" if map_ is None else _of_array(map_.array)
    return digests


def _real(path: Path) -> Volume:
    source = renalis.io.find_scans([path])[0] if path.is_dir() else path
    return renalis.read_scan(source).volume


def _report(folder: Path) -> Digests:
    from renalis.io import write_volume

    path = folder / "demo.nii.gz"
    write_volume(path, _demo()[0])
    _run("segment", path, "-o", folder / "out", "--runtime", "torch", "--threads", 1)
    wanted = ("segmentation.nii.gz", "measurements.json", "preview.png", "report.html")
    return {name: _of_file(folder / "out" / "demo" / name) for name in wanted}


def _cohort(folder: Path) -> Digests:
    """Two coarse scans by the shipped model; provenance, which tells seconds, is left out."""
    for number in range(2):
        _write_case(folder / "kits", number)
    scans, out = folder / "scans", folder / "out"
    scans.mkdir()
    for case in sorted((folder / "kits").iterdir()):
        (case / "imaging.nii.gz").rename(scans / f"{case.name}.nii.gz")
    _run("segment", scans, "-o", out, "--jobs", 2, "--threads", 1, "--runtime", "torch",
         "--mirror", "none", "--no-report")  # fmt: skip
    found = [*out.glob("*/segmentation.nii.gz"), *out.glob("*/measurements.json")]
    found.append(out / "measurements.csv")
    return {str(path.relative_to(out)): _of_file(path) for path in sorted(found)}


def _measurements(kidneys: str, folder: Path) -> Digests:
    del folder
    cohort = Cohort(1, 4, (3.0, 1.6, 1.6), 256, "nephrographic", kidneys)
    scan, _ = make_scan(cohort, 0, [])
    text = measure(scan.image, scan.labels).to_json()
    return {"measurements.json": hashlib.sha256(text.encode()).hexdigest()}


def _shipped(optimizer: str, processes: int, folder: Path) -> Digests:
    """Averaged weights in float32, and the checksum of the packed model."""
    labels = folder / "labels"
    labels.mkdir()
    for number in range(7):
        # Never read: the kidneys of all bodies are invented.
        (labels / f"case_{number:05d}.nii.gz").touch()
    run = folder / "run"
    changes = [
        f"{stage}{change}"
        for stage in ("", "stages.fine.")
        for change in (TINY_NETWORK, f"optimisation.optimizer={optimizer}")
    ]
    sets = [part for change in changes for part in ("--set", change)]
    more = ("--data", labels, "-o", run, "--processes", processes, "--device", "cpu")
    _run("train", "renalis-kidney", "--tiny", *more, *sets)
    digests = {
        stage: _of_weights(run / "fold_0" / f"{stage}.safetensors", "")
        for stage in ("coarse", "fine")
    }
    digests["packed"] = renalis.load_model(run / "renalis-kidney.safetensors").header.sha256
    return digests


def _recipe(name: str, folder: Path) -> Digests:
    """Weights of each network, and label maps before and after the system's rules."""
    data, run = folder / "kits", folder / "run"
    for number in range(8):
        _write_case(data, number)
    more = ("--tiny", "--data", data, "--kind", "kits19", "-o", run, "--device", "cpu")
    _run("train", name, *more)
    digests = {
        str(path.relative_to(run)): _of_weights(path, "")
        for path in sorted(run.glob("fold_*/*.safetensors"))
    }
    scan = renalis.read_scan(data / "case_00001" / "imaging.nii.gz").volume
    said = predict_scan(open_run(run), scan)
    digests["raw"] = _of_array(said.raw.array)
    digests["tidied"] = _of_array(said.tidied.labels.array)
    return digests


def _write_case(data: Path, number: int) -> None:
    """A coarse synthetic scan in the layout and orientation of KiTS."""
    cohort = Cohort(8, 5, (6.0, 6.0, 6.0), 64, "nephrographic", body_mm=6.0)
    scan, _ = make_scan(cohort, number, [])
    case = data / f"case_{number:05d}"
    case.mkdir(parents=True)
    # Published systems know tumors; small coarse scans have none, so lower poles become one.
    labels = np.minimum(scan.labels.array, 2)
    places = np.argwhere(labels > 0)
    for half in (places[: len(places) // 4],):
        labels[tuple(half.T)] = 2
    for name, array in (("imaging", scan.image.array), ("segmentation", labels)):
        image = nibabel.Nifti1Image(np.asarray(array), scan.image.affine)  # type: ignore[attr-defined]
        nibabel.save(image, case / f"{name}.nii.gz")  # type: ignore[attr-defined]


def _metrics(folder: Path) -> Digests:
    """Scores of label maps that were moved by two voxels."""
    for number in range(2):
        _write_case(folder / "kits", number)
        case = f"case_{number:05d}"
        image: Any = nibabel.load(folder / "kits" / case / "segmentation.nii.gz")  # type: ignore[attr-defined]
        moved = np.roll(np.asarray(image.dataobj), 2, 0)
        (folder / "found").mkdir(exist_ok=True)
        target = folder / "found" / f"{case}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(moved, image.affine), target)  # type: ignore[attr-defined]
    _run("evaluate", "-r", folder / "kits", "-p", folder / "found", "-o", folder / "scores")
    return {"metrics.csv": _of_file(folder / "scores" / "metrics.csv")}


def _run(*words: object) -> None:
    """The program's own command line, in a process of its own."""
    command = [sys.executable, "-m", "renalis", *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")


def _of_weights(path: Path, prefix: str) -> str:
    """Of the tensors whose names begin with ``prefix``, in order of the rest of the names."""
    digest = hashlib.sha256()
    with safe_open(path, "np") as file:
        for name in sorted(file.keys()):
            if name.startswith(prefix):
                digest.update(name.removeprefix(prefix).encode())
                digest.update(_of_array(file.get_tensor(name)).encode())
    return digest.hexdigest()


def _of_array(array: Any) -> str:
    whole = np.ascontiguousarray(array)
    head = f"{whole.dtype} {whole.shape} ".encode()
    return hashlib.sha256(head + whole.tobytes()).hexdigest()


def _of_file(path: Path) -> str:
    # A report says how long the prediction took.
    return hashlib.sha256(re.sub(rb">\d+ s \(", b">(", path.read_bytes())).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
