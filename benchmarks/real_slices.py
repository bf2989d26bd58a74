"""What the shipped model says about single real slices.

    python benchmarks/real_slices.py --slices FILE.npz [FILE.npz ...] --output DIR [--cases "%5"]

Each file holds axial slices with label maps (`renalis.dataset.slices` says how). The rule: a slice
is taken to go on unchanged along the body, the model's fine network looks at all of it and at its
mirror image (`slice_reader`), and what it names is compared on the slice's own
grid. Areas of tumor that are smaller than ``--least-mm2`` are given to what lies around them.

Masks that hold only tumors, or only kidneys, score what they hold: kidneys are scored in files
that have label 1 somewhere, tumors (false ones too) in files that have label 2 somewhere, cysts
likewise. A tumor is touched when one of its pixels is named tumor, found when a tenth of them is.
A slice has a false tumor when a pixel of it is named tumor and none is.

``--cases``: patients to take, comma separated: ``7``, ``0-209``, ``%5`` (divisible by five),
``!%5`` (not divisible). Writes ``real_slices.json``, ``slices.csv`` and pictures of the worst, the
median and the best.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from slice_reader import SCALES, SliceReader, drop_small_tumors

from renalis.conventions import Label
from renalis.dataset.slices import SliceSet, read_slices, slice_hu
from renalis.errors import InputError
from renalis.evaluation.statistics import summary
from renalis.model import load_model

REGIONS: dict[str, tuple[int, ...]] = {"kidney": (1, 2, 3), "tumor": (2,), "cyst": (3,)}
_COLORS = {1: (80, 220, 80), 2: (255, 60, 60), 3: (70, 150, 255)}
_SIZES_MM = (0.0, 10.0, 20.0, 40.0, math.inf)


@dataclass(frozen=True)
class Score:
    """One slice: Dice of each region (None: not there, or not annotated) and its tumors."""

    file: str
    number: int
    case: int
    dice: dict[str, float | None]
    has_tumor: bool | None
    """None where the file's masks hold no tumors at all."""
    diameter_mm: float
    """Of a disk of the tumor's area."""
    overlap: float
    """Share of the tumor that is named tumor."""
    false_mm2: float
    """Area named tumor in a slice without one."""
    confusion: dict[str, int]
    """Pixels by "truth>named" among tumor and cyst."""


def chosen(expression: str) -> Callable[[int], bool]:
    """The function that says whether a patient's number is wanted.

    >>> wanted = chosen("3,10-12,%5")
    >>> [n for n in range(16) if wanted(n)]
    [0, 3, 5, 10, 11, 12, 15]
    """
    tests: list[Callable[[int], bool]] = []
    for part in expression.replace(" ", "").replace("case", "").split(","):
        inverse = part.startswith("!") or part.endswith("!=0")
        text = part.lstrip("!").removesuffix("!=0").removesuffix("==0")
        try:
            if text.startswith("%"):
                divisor = int(text[1:])
                tests.append(lambda n, d=divisor, i=inverse: (n % d == 0) != i)  # type: ignore[misc]
            elif "-" in text:
                low, high = (int(end) for end in text.split("-"))
                tests.append(lambda n, a=low, b=high, i=inverse: (a <= n <= b) != i)  # type: ignore[misc]
            else:
                tests.append(lambda n, v=int(text), i=inverse: (n == v) != i)  # type: ignore[misc]
        except (ValueError, ZeroDivisionError):
            raise SystemExit(f"--cases: {part!r} is none of 7, 0-209, %5, !%5") from None
    return lambda number: any(test(number) for test in tests)


def score(
    slices: SliceSet, number: int, named: NDArray[np.uint8], annotated: dict[str, bool]
) -> Score:
    """Compare a slice's label map with the reference."""
    truth = slices.labels[number]
    dice: dict[str, float | None] = {}
    for region, values in REGIONS.items():
        real, found = np.isin(truth, values), np.isin(named, values)
        there = annotated[region] and bool(real.any())
        overlap = 2 * np.count_nonzero(real & found)
        dice[region] = overlap / (real.sum() + found.sum()) if there else None
    tumor, called = truth == Label.TUMOR, named == Label.TUMOR
    pixel = float(np.prod(slices.spacing_mm[number, 1:]))
    area = np.count_nonzero(tumor) * pixel
    kinds = {"kidney": 1, "tumor": 2, "cyst": 3, "nothing": 0}
    return Score(
        slices.name,
        number,
        int(slices.case[number]),
        {region: None if value is None else float(value) for region, value in dice.items()},
        bool(tumor.any()) if annotated["tumor"] else None,
        2 * math.sqrt(area / math.pi),
        float(np.count_nonzero(tumor & called) / max(1, np.count_nonzero(tumor))),
        float(np.count_nonzero(called) * pixel) if not tumor.any() else 0.0,
        {
            f"{real}>{name}": int(np.count_nonzero((truth == kinds[real]) & (named == value)))
            for real in ("tumor", "cyst")
            for name, value in kinds.items()
        },
    )


def table(scores: Sequence[Score]) -> dict[str, Any]:
    """Everything that is said about all slices together."""
    result: dict[str, Any] = {"slices": len(scores), "patients": len({s.case for s in scores})}
    for region in REGIONS:
        values = [s.dice[region] for s in scores if s.dice[region] is not None]
        figures = summary(values, limits=(0, 1)) if values else None  # type: ignore[arg-type]
        result[f"{region}_dice"] = round(figures.mean, 4) if figures else None
        result[f"{region}_slices"] = len(values)
        if figures:
            result[f"{region}_dice_median"] = round(figures.median, 4)
            known = figures.has_interval
            limits = [round(figures.low, 4), round(figures.high, 4)] if known else None
            result[f"{region}_dice_interval"] = limits
    tumors = [s for s in scores if s.has_tumor]
    others = [s for s in scores if s.has_tumor is False]
    result["tumor_slices"] = len(tumors)
    result["tumor_slices_touched"] = sum(s.overlap > 0 for s in tumors)
    result["tumor_slices_found"] = sum(s.overlap >= 0.1 for s in tumors)
    result["slices_without_tumor"] = len(others)
    result["false_tumor_slices"] = sum(s.false_mm2 > 0 for s in others)
    result["by_size_mm"] = [
        {
            "from": low,
            "to": high if math.isfinite(high) else None,
            "slices": len(those),
            "touched": sum(s.overlap > 0 for s in those),
            "found": sum(s.overlap >= 0.1 for s in those),
            "dice": round(float(np.mean([s.dice["tumor"] for s in those])), 4) if those else None,
        }
        for low, high in pairwise(_SIZES_MM)
        for those in [[s for s in tumors if low <= s.diameter_mm < high]]
    ]
    total: dict[str, int] = {}
    for one in scores:
        for key, count in one.confusion.items():
            total[key] = total.get(key, 0) + count
    result["pixels_named"] = total
    return result


def picture(slices: SliceSet, number: int, named: NDArray[np.uint8]) -> Image.Image:
    """The slice with the reference's outlines on the left and the model's on the right."""
    grey = slices.image[number]
    sides = []
    for labels in (slices.labels[number], named):
        color = np.repeat(grey[:, :, None], 3, axis=2)
        for value, paint in _COLORS.items():
            mask = labels == value
            inner = mask.copy()
            for axis in (0, 1):
                inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
            color[mask & ~inner] = paint
        sides.append(color)
    return Image.fromarray(np.concatenate(sides, axis=1))


Naming = Callable[[SliceSet, int], NDArray[np.uint8]]
"""What is scored: from a file and a slice's number in it to a label map (Y, X)."""


def scored(
    files: Sequence[SliceSet], wanted: Callable[[int], bool], naming: Naming
) -> tuple[list[Score], list[NDArray[np.uint8]]]:
    """Scores and label maps of all slices of the wanted patients."""
    scores: list[Score] = []
    maps: list[NDArray[np.uint8]] = []
    for slices in files:
        own = {1: "kidney", 2: "tumor", 3: "cyst"}
        annotated = {name: bool((slices.labels == value).any()) for value, name in own.items()}
        for number in np.flatnonzero([wanted(int(case)) for case in slices.case]):
            named = naming(slices, int(number))
            scores.append(score(slices, int(number), named, annotated))
            maps.append(named)
    return scores, maps


def shipped_naming(reader: SliceReader, least_mm2: float | None = None) -> Naming:
    """What a model of two passes names, without the small tumors."""
    least = {} if least_mm2 is None else {"least_mm2": least_mm2}

    def naming(slices: SliceSet, number: int) -> NDArray[np.uint8]:
        row, column = (float(mm) for mm in slices.spacing_mm[number, 1:])
        named = reader.labels(slice_hu(slices, number), (row, column))
        return drop_small_tumors(named, (row, column), **least)

    return naming


def pictures(
    folder: Path, files: dict[str, SliceSet], scores: list[Score], named: list[NDArray[np.uint8]]
) -> None:
    """Worst, median and best of each region, and the largest false tumors."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    for region in REGIONS:
        ranked = sorted(
            (s.dice[region], i) for i, s in enumerate(scores) if s.dice[region] is not None
        )
        middle = max(0, len(ranked) // 2 - 1)
        groups = {"worst": ranked[:6], "median": ranked[middle : middle + 3], "best": ranked[-3:]}
        for group, members in groups.items():
            for place, (value, index) in enumerate(members):
                one = scores[index]
                name = f"{region}-{group}-{place}-case{one.case:05d}-dice{value:.2f}.png"
                picture(files[one.file], one.number, named[index]).save(folder / name)
    false = sorted((-s.false_mm2, i) for i, s in enumerate(scores) if s.false_mm2 > 0)[:6]
    for place, (_, index) in enumerate(false):
        one = scores[index]
        name = f"false-tumor-{place}-case{one.case:05d}-{one.false_mm2:.0f}mm2.png"
        picture(files[one.file], one.number, named[index]).save(folder / name)


def main() -> int:
    """Read, look, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--slices", type=Path, nargs="+", required=True, metavar="FILE.npz")
    parser.add_argument("--cases", default="0-999999")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--looks", type=int, default=2, choices=(1, 2, 4))
    text = "sizes of the pixels that slices are read in, in the network's own"
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES, help=text)
    text = "how much tumor and cyst count against kidney"
    parser.add_argument("--lesion-weight", type=float, default=1.0, help=text)
    parser.add_argument("--least-mm2", type=float, default=None, help="default: the model's")
    text = "HU of the greys 0 and 255; default: guessed for each file"
    parser.add_argument("--hu", type=float, nargs=2, metavar=("BLACK", "WHITE"), help=text)
    arguments = parser.parse_args()
    wanted = chosen(arguments.cases)
    scale = tuple(arguments.hu) if arguments.hu else None
    try:
        files = {path.stem: read_slices(path, scale) for path in arguments.slices}
        reader = replace(
            SliceReader.of(load_model(arguments.model), arguments.looks),
            scales=tuple(arguments.scales),
            lesion_weight=arguments.lesion_weight,
        )
    except InputError as error:
        print(error)
        return 2
    naming = shipped_naming(reader, arguments.least_mm2)
    scores, maps = scored(list(files.values()), wanted, naming)
    if not scores:
        print(f"no slice of the patients {arguments.cases}")
        return 2
    arguments.output.mkdir(parents=True, exist_ok=True)
    result = {
        **table(scores),
        "model": arguments.model,
        "looks": arguments.looks,
        "scales": [round(scale, 3) for scale in reader.scales],
        "lesion_weight": reader.lesion_weight,
        "cases": arguments.cases,
        "grey_hu": {name: list(slices.grey_hu) for name, slices in files.items()},
    }
    (arguments.output / "real_slices.json").write_text(json.dumps(result, indent=1) + "\n")
    with (arguments.output / "slices.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        lesion = ("has_tumor", "diameter_mm", "overlap", "false_mm2")
        writer.writerow(["file", "number", "case", *REGIONS, *lesion])
        for one in scores:
            figures = (round(one.diameter_mm, 1), round(one.overlap, 3), round(one.false_mm2))
            head = (one.file, one.number, one.case)
            writer.writerow([*head, *one.dice.values(), one.has_tumor, *figures])
    pictures(arguments.output / "pictures", files, scores, maps)
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
