"""What each tidying rule does to reference label maps and to predictions.

    python benchmarks/tidying.py --reference DIR [--prediction DIR] [--recipe NAME] [--limit N]

Reference alone: how many ml each rule would take from maps that are right, which should be next
to nothing. With predictions of the same cases (matched by the number in the file name, voxel by
voxel): Dice before and after, all rules and each rule left out. There is no image, so the body
rule rests. The rules are the shipped model's, or with --recipe (a name or a file) a published
system's own.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import nibabel as nib
import numpy as np

from renalis.postprocessing import DEFAULT, Rules, Tidied, tidy
from renalis.postprocessing.steps import make_step, run_steps
from renalis.recipes import load_system
from renalis.volume import Kind, Volume

Clean = Callable[[Volume, str | None], Tidied]
"""A clean-up; the name is that of a rule to leave out."""


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="folder of label maps")
    parser.add_argument("--prediction", type=Path, help="folder of predictions of the same cases")
    parser.add_argument("--recipe", help="a published system, by name or file, for its own rules")
    parser.add_argument("--limit", type=int, help="only the first N cases")
    arguments = parser.parse_args()
    references = sorted(arguments.reference.glob("*.nii.gz"))[: arguments.limit]
    clean, rules = shipped() if arguments.recipe is None else published(arguments.recipe)
    if arguments.prediction is None:
        names = [path.name for path in references]
        harm((centred(read(path)) for path in references), names, clean, rules)
    else:
        found = {number(path): path for path in arguments.prediction.glob("*.nii.gz")}
        pairs = (pair(read(path), read(found[number(path)])) for path in references)
        gain(pairs, clean, rules)


def shipped() -> tuple[Clean, list[str]]:
    """The shipped model's rules."""

    def clean(labels: Volume, left_out: str | None) -> Tidied:
        return tidy(labels, None, DEFAULT if left_out is None else DEFAULT.without(left_out))

    return clean, list(Rules.names())


def published(recipe: str) -> tuple[Clean, list[str]]:
    """A published system's rules; cysts are lesions where they have no label of their own."""
    rules = [rule.model_dump() for rule in load_system(recipe).postprocessing]

    def clean(labels: Volume, left_out: str | None) -> Tidied:
        kept = [rule for rule in rules if rule["rule"] != left_out]
        one = labels.like(np.minimum(labels.array, 2), Kind.LABELS)
        return run_steps(one, [make_step(**rule) for rule in kept])

    return clean, [rule["rule"] for rule in rules]


def centred(labels: Volume) -> Volume:
    """A crop grown along patient x so that its middle is x = 0, where the scan's middle is.

    Without an image the sides of a published system part in the middle of the grid.
    """
    one = labels.reoriented("RAS")
    step, first, count = one.affine[0, 0], one.affine[0, 3], one.shape[0]
    missing = round((2 * first + step * (count - 1)) / step)
    affine = one.affine.copy()
    affine[0, 3] -= max(missing, 0) * step
    pads = ((max(missing, 0), max(-missing, 0)), (0, 0), (0, 0))
    return Volume(np.ascontiguousarray(np.pad(one.array, pads)), affine, Kind.LABELS)


def read(path: Path) -> Volume:
    """A label map."""
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj).astype(np.uint8), image.affine, Kind.LABELS)


def number(path: Path) -> str:
    """The case's number in a file name."""
    return re.findall(r"\d+", path.name)[0]


def harm(cases: Iterable[Volume], names: list[str], clean: Clean, rules: list[str]) -> None:
    """What the rules change in label maps that are right."""
    print(f"{len(names)} reference label maps\n")
    changes, scores = [], []
    for case in cases:
        done = clean(case, None)
        changes.append(done.changes)
        scores.append(both(case, done.labels))
    print("rule              maps changed   total ml   largest ml   in")
    for index, name in enumerate(rules):
        ml = np.array([change[index].ml for change in changes])
        print(
            f"{name:<16}{(ml > 0).sum():>15}{ml.sum():>11.2f}{ml.max():>13.2f}"
            f"   {names[int(ml.argmax())] if ml.max() else ''}"
        )
    print("Dice with itself: kidney {:.5f}, parenchyma {:.5f}, lesions {:.5f}".format(
        *np.nanmean(scores, axis=0)))  # fmt: skip


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """2|A∩B| / (|A|+|B|); nothing (NaN) where the first has none."""
    if not one.any():
        return float("nan")
    return 2.0 * int((one & other).sum()) / (int(one.sum()) + int(other.sum()))


def both(truth: Volume, guess: Volume) -> tuple[float, float, float]:
    """Dice of everything renal, of parenchyma alone, and of lesions."""
    one, other = truth.array, guess.array
    return dice(one > 0, other > 0), dice(one == 1, other == 1), dice(one > 1, other > 1)


def pair(truth: Volume, guess: Volume) -> tuple[Volume, Volume]:
    """Reference and prediction on one grid, both in KiTS19's labels: cysts are kidney."""
    truth.array[truth.array == 3] = 1
    return truth, truth.like(guess.array, Kind.LABELS)


def gain(pairs: Iterable[tuple[Volume, Volume]], clean: Clean, rules: list[str]) -> None:
    """Mean Dice of predictions with the rules, without them, and with one rule left out."""
    scores: dict[str, list[tuple[float, ...]]] = {}
    for truth, guess in pairs:
        scores.setdefault("none", []).append((*both(truth, guess), 0.0))
        for left_out in (None, *rules):
            done = clean(guess, left_out).labels
            moved = float((done.array != guess.array).sum()) * guess.voxel_ml
            title = "all" if left_out is None else f"all but {left_out}"
            scores.setdefault(title, []).append((*both(truth, done), moved))
    print(f"{len(scores['none'])} predictions\n")
    print("rules                     kidney  parenchyma   lesions   changed ml per case")
    for title, values in scores.items():
        kidney, parenchyma, lesions, moved = np.nanmean(values, axis=0)
        print(f"{title:<22}{kidney:>10.5f}{parenchyma:>12.5f}{lesions:>10.5f}{moved:>22.2f}")


if __name__ == "__main__":
    main()
