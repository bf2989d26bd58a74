"""Real axial slices and synthetic ones, measured by the same code.

    python benchmarks/synthesis_against_real.py --slices FILE.npz [FILE.npz ...] --labels DIR

Real: files of slices as `renalis.dataset.slices` reads them, of patients whose number is not
divisible by five (``--cases``; the others are kept for choosing). Synthetic: bodies composed around
label maps of the same patients, scanned as `renalis.synthesis.scan` does in the corticomedullary
and the nephrographic phase, which are those of the real scans; their slices are clipped and rounded
to the same greys. `slice_measures` says what is measured.

Writes ``benchmarks/results/synthesis-against-real.json`` (percentiles, nothing of a single
patient), ``docs/synthesis-against-real.md`` and ``.svg``. ``--before FILE`` takes the synthetic
column of an earlier result as the one before a change; an earlier ``before`` is kept if that is
left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import synthesis_against_real_page as page
import torch
from arms import HERE
from numpy.typing import NDArray
from real_slices import chosen
from slice_measures import Slice, measures
from slice_organs import organs

from renalis.dataset.slices import SliceSet, read_slices
from renalis.errors import InputError
from renalis.synthesis.anatomy import compose
from renalis.synthesis.label_maps import label_maps, read_label_map
from renalis.synthesis.scan import scan_body
from renalis.synthesis.tissues import LABEL_OF_TISSUE, Phase, Tissue
from renalis.volume import Volume

RESULT = HERE / "results" / "synthesis-against-real.json"
PAGE = HERE.parent / "docs" / "synthesis-against-real.md"

_GREYS = (-79.0, 304.0)
_SLAB_MM = 33.0
_PHASES = {Phase.CORTICOMEDULLARY: 0.55, Phase.NEPHROGRAPHIC: 0.45}
_BODY_MM = 1.5
_SPREAD = 40
"""So many bodies are spread over all label maps: fewer ones are the first of more."""
_FEWEST = 10
"""With fewer synthetic slices, the ends of their range say nothing."""
_PERCENTS = (5, 25, 50, 75, 95)
_ORGAN_TISSUES = {
    "liver": (Tissue.LIVER, Tissue.PORTAL_VEIN, Tissue.ORGAN_LESION),
    "spleen": (Tissue.SPLEEN, Tissue.ORGAN_LESION),
    "muscle": (Tissue.MUSCLE,),
    "aorta": (Tissue.ARTERY, Tissue.CALCIFICATION),
}


@dataclass
class Measured:
    """Values of every measure, one a slice, and how much of the organs was what it should be."""

    slices: int
    values: dict[str, list[float]]
    organ_shares: dict[str, list[float]]

    def add(self, one: Slice, tissue: NDArray[np.uint8] | None = None) -> None:
        """Measure a slice; ``tissue`` (Y, X): what its pixels are, where that is known."""
        self.slices += 1
        found = organs(one.hu, one.labels, one.spacing)
        for key, value in measures(one, found).items():
            self.values.setdefault(key, []).append(value)
        if tissue is not None:
            for name, mask in found.items():
                share = float(np.isin(tissue[mask], _ORGAN_TISSUES[name]).mean())
                self.organ_shares.setdefault(name, []).append(share)

    def table(self) -> dict[str, dict[str, float]]:
        """Percentiles of every measure."""
        return {
            key: {
                "slices": len(values),
                **{f"p{p}": round(float(np.percentile(values, p)), 3) for p in _PERCENTS},
            }
            for key, values in sorted(self.values.items())
        }


def through_greys(hu: NDArray[Any]) -> NDArray[np.float32]:
    """HU (any shape) after they were stored as greys from 0 to 255: clipped and rounded."""
    low, high = _GREYS
    grey = np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255)
    return np.asarray(grey * ((high - low) / 255) + low, np.float32)


def real_slices(files: list[SliceSet]) -> Iterator[Slice]:
    """The slices of files in HU, without anything in place of what was clipped."""
    for file in files:
        low, high = file.grey_hu
        fine = bool((file.place == np.rint(file.place)).all())
        for number in range(len(file)):
            hu = file.image[number].astype(np.float32) * np.float32((high - low) / 255) + low
            row, column = (float(mm) for mm in file.spacing_mm[number, 1:])
            yield Slice(np.asarray(hu, np.float32), file.labels[number], (row, column), fine)


def synthetic_slice(
    body: Volume, rng: np.random.Generator
) -> tuple[Slice, NDArray[np.uint8]] | None:
    """One slice through a kidney of a body, and its tissues; None where the body has no kidney.

    Half of the slices go through a lesion, where there is one.
    """
    codes = np.asarray(body.array)
    heights = [np.flatnonzero((LABEL_OF_TISSUE[codes] > n).any((1, 2))) for n in (0, 1)]
    if len(heights[0]) == 0:
        return None
    lesion = len(heights[1]) > 0 and rng.random() < 0.5
    middle = int(rng.choice(heights[int(lesion)]))
    half = int(np.ceil(_SLAB_MM / 2 / body.spacing[0]))
    slab = slice(max(0, middle - half), middle + half + 1)
    part = body.cropped((slab, slice(None), slice(None)))
    phase = list(_PHASES)[int(rng.choice(len(_PHASES), p=list(_PHASES.values())))]
    scan = scan_body(part, rng, phase=phase)
    place = scan.image.index(part.world(np.array([[part.shape[0] // 2, 0, 0]])))[0, 2]
    k = int(np.clip(np.rint(place), 1, scan.image.shape[2] - 2))
    x, y = np.indices(scan.image.shape[:2])
    index = np.stack([x.ravel(), y.ravel(), np.full(x.size, k)], 1)
    voxels = np.rint(part.index(scan.image.world(index))).astype(int)
    voxels = np.clip(voxels, 0, np.asarray(part.shape) - 1)
    tissue = np.asarray(part.array)[tuple(voxels.T)].reshape(x.shape).T
    hu = through_greys(np.asarray(scan.image.array)[:, :, k].T)
    labels = np.ascontiguousarray(np.asarray(scan.labels.array)[:, :, k].T)
    column, row, _ = scan.image.spacing
    return Slice(hu, labels, (row, column)), tissue


def synthetic(maps: list[Path], bodies: int, each: int, report: Callable[[str], None]) -> Measured:
    """Measure ``each`` slices of ``bodies`` bodies; the same ones every time."""
    result = Measured(0, {}, {})
    for number in range(bodies):
        rng = np.random.default_rng((24, number))
        labels = read_label_map(maps[number * len(maps) // _SPREAD % len(maps)])
        body = compose(labels, rng, _BODY_MM)
        for turn in range(each):
            drawn = synthetic_slice(body, np.random.default_rng((24, number, turn)))
            if drawn is None:
                continue
            result.add(*drawn)
        report(f"body {number + 1} of {bodies}: {result.slices} slices")
    return result


def share_inside(values: list[float], table: dict[str, float] | None) -> float | None:
    """Share of values within the 5th and 95th percentile of a row of a table of enough slices."""
    if not table or not values or table["slices"] < _FEWEST:
        return None
    inside = (np.asarray(values) >= table["p5"]) & (np.asarray(values) <= table["p95"])
    return round(float(inside.mean()), 3)


def compared(real: Measured, made: Measured, before: dict[str, Any] | None) -> dict[str, Any]:
    """All figures of the result file. ``before``: the table of an earlier synthesis."""
    tables = {"real": real.table(), "synthetic": made.table(), "before": before}
    inside = {
        name: {
            key: share_inside(v, (tables[name] or {}).get(key)) for key, v in real.values.items()
        }
        for name in ("synthetic", "before")
    }
    return {
        "slices": {"real": real.slices, "synthetic": made.slices},
        **tables,
        "real_inside_synthetic": inside["synthetic"],
        "real_inside_before": inside["before"] if before else None,
        "organs_right_on_synthetic": {
            name: {"slices": len(shares), "median_share": round(float(np.median(shares)), 3),
                   "slices_mostly_wrong": round(float((np.asarray(shares) < 0.5).mean()), 3)}
            for name, shares in sorted(made.organ_shares.items())
        },
    }  # fmt: skip


def _before(path: Path | None, output: Path) -> dict[str, Any] | None:
    """The synthetic table of an earlier result, or the earlier ``before`` of this one."""
    if path is not None:
        table: dict[str, Any] = json.loads(path.read_text("utf-8"))["synthetic"]
        return table
    if output.exists():
        kept: dict[str, Any] | None = json.loads(output.read_text("utf-8"))["before"]
        return kept
    return None


def main() -> int:
    """Measure both, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slices", type=Path, nargs="+", required=True, metavar="FILE.npz")
    parser.add_argument("--labels", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cases", default="!%5")
    parser.add_argument("--bodies", type=int, default=24)
    parser.add_argument("--each", type=int, default=6, help="slices of every body")
    parser.add_argument("--before", type=Path, metavar="FILE.json")
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    wanted = chosen(arguments.cases)
    real = Measured(0, {}, {})
    try:
        before = _before(arguments.before, arguments.output)
        files = [read_slices(path) for path in arguments.slices]
        unfit = [file.name for file in files if file.grey_hu != _GREYS]
        if unfit:
            raise InputError(f"{', '.join(unfit)}: greys are not {_GREYS[0]} to {_GREYS[1]} HU")
        numbers = {path: int("".join(filter(str.isdigit, path.name)) or 0)
                   for path in label_maps(arguments.labels)}  # fmt: skip
        for one in real_slices([file.of_cases(wanted) for file in files]):
            real.add(one)
    except InputError as error:
        print(error)
        return 2
    print(f"{real.slices} real slices", flush=True)
    maps = [path for path, number in numbers.items() if wanted(number)]
    made = synthetic(maps, arguments.bodies, arguments.each, lambda line: print(line, flush=True))
    result = compared(real, made, before)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    page.write(result, arguments.page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
