"""What each tidying rule does to reference label maps and to predictions.

    python benchmarks/tidying.py --reference DIR [--prediction DIR] [--limit N]

Reference alone: how many ml each rule would take from maps that are right, which should be next
to nothing. With predictions of the same cases (matched by the number in the file name, voxel by
voxel): Dice before and after, all rules and each rule left out. There is no image, so the body
rule rests.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import nibabel as nib
import numpy as np

from renalis.postprocessing import DEFAULT, Rules, tidy
from renalis.volume import Kind, Volume


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reference", type=Path, required=True, help="folder of label maps")
    parser.add_argument("--prediction", type=Path, help="folder of predictions of the same cases")
    parser.add_argument("--limit", type=int, help="only the first N cases")
    arguments = parser.parse_args()
    references = sorted(arguments.reference.glob("*.nii.gz"))[: arguments.limit]
    if arguments.prediction is None:
        harm([read(path) for path in references], [path.name for path in references])
    else:
        found = {number(path): path for path in arguments.prediction.glob("*.nii.gz")}
        pairs = [(read(path), read(found[number(path)])) for path in references]
        gain([(truth, truth.like(guess.array, Kind.LABELS)) for truth, guess in pairs])


def read(path: Path) -> Volume:
    """A label map."""
    image = nib.load(path)
    return Volume(np.asarray(image.dataobj).astype(np.uint8), image.affine, Kind.LABELS)


def number(path: Path) -> str:
    """The case's number in a file name."""
    return re.findall(r"\d+", path.name)[0]


def harm(cases: list[Volume], names: list[str]) -> None:
    """What the rules change in label maps that are right."""
    print(f"{len(cases)} reference label maps\n")
    print("rule              cases changed   total ml   largest ml   in")
    changes = [tidy(case, None).changes for case in cases]
    for index, name in enumerate(Rules.names()):
        ml = np.array([change[index].ml for change in changes])
        print(
            f"{name:<16}{(ml > 0).sum():>15}{ml.sum():>11.2f}{ml.max():>13.2f}"
            f"   {names[int(ml.argmax())] if ml.max() else ''}"
        )


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """2|A∩B| / (|A|+|B|)."""
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 1.0


def gain(pairs: list[tuple[Volume, Volume]]) -> None:
    """Mean Dice of predictions with the rules, without them, and with one rule left out."""
    print(f"{len(pairs)} predictions\n")
    print("rules                     kidney     tumor   changed ml per case")
    settings = {"none": None, "all": DEFAULT}
    settings |= {f"all but {name}": DEFAULT.without(name) for name in Rules.names()}
    for title, rules in settings.items():
        scores, moved = [], []
        for truth, guess in pairs:
            done = guess if rules is None else tidy(guess, None, rules).labels
            moved.append(float((done.array != guess.array).sum()) * guess.voxel_ml)
            scores.append(
                (
                    dice(truth.array > 0, done.array > 0),
                    dice(truth.array == 2, done.array == 2),
                )
            )
        kidney, tumor = np.mean(scores, axis=0)
        print(f"{title:<22}{kidney:>10.5f}{tumor:>10.5f}{np.mean(moved):>22.2f}")


if __name__ == "__main__":
    main()
