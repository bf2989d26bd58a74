"""What `benchmarks/evaluation.py` runs in the rivals' environment: not part of renalis.

DeepMind's surface-distance is called as its README says. The official KiTS23 evaluation is not on
PyPI; its steps per case are restated here: read both files with SimpleITK, build a mask for each
of the three regions, Dice by counting, surface Dice by DeepMind's code, empty masks by rule.
"""

from __future__ import annotations

import csv
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import surface_distance
from meter import metered

warnings.simplefilter("ignore", DeprecationWarning)

REGIONS = {
    "kidney": ((1, 2, 3), 1.0330772532390826),
    "masses": ((2, 3), 1.1328796488598762),
    "tumor": ((2,), 1.1498198361434828),
}


def mask_of(labels, values):
    mask = np.zeros(labels.shape, dtype=bool)
    for value in values:
        mask[labels == value] = True
    return mask


def dice_of(one, two):
    both = np.count_nonzero(one & two)
    return 2 * both / (np.count_nonzero(one) + np.count_nonzero(two))


def deepmind(reference, prediction, spacing):
    """Dice, surface Dice and HD95 of the three regions, distances computed once per region."""
    scores = {}
    for name, (values, tolerance) in REGIONS.items():
        one, two = mask_of(reference, values), mask_of(prediction, values)
        found = surface_distance.compute_surface_distances(one, two, spacing)
        scores[name] = (
            dice_of(one, two),
            surface_distance.compute_surface_dice_at_tolerance(found, tolerance),
            surface_distance.compute_robust_hausdorff(found, 95),
        )
    return scores


def official_case(prediction_file, reference_file):
    """Dice and surface Dice of the three regions, from files."""
    import SimpleITK

    one, two = (SimpleITK.ReadImage(str(f)) for f in (reference_file, prediction_file))
    spacing = tuple(list(two.GetSpacing())[::-1])
    reference, prediction = (SimpleITK.GetArrayFromImage(i) for i in (one, two))
    scores = []
    for values, tolerance in REGIONS.values():
        first, second = mask_of(reference, values), mask_of(prediction, values)
        lacking = np.count_nonzero(first) == 0, np.count_nonzero(second) == 0
        if any(lacking):
            scores.append((float(all(lacking)),) * 2)
            continue
        found = surface_distance.compute_surface_distances(first, second, spacing)
        surface = surface_distance.compute_surface_dice_at_tolerance(found, tolerance)
        scores.append((dice_of(first, second), surface))
    return np.array(scores).T.ravel()


def official(predictions, references):
    """The official command: every prediction in the folder, one process, a CSV at the end."""
    files = sorted(Path(predictions).glob("*.nii.gz"))
    rows = [official_case(f, Path(references) / f.name) for f in files]
    with (Path(predictions).parent / "official.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["caseID", *(f"{m}_{r}" for m in ("Dice", "SD") for r in REGIONS)])
        names = [f.name[:-7] for f in files]
        for name, row in zip([*names, "average"], [*rows, np.mean(rows, axis=0)], strict=True):
            writer.writerow([name, *(f"{v:.8f}" for v in row)])


if __name__ == "__main__":
    if sys.argv[1] == "official":
        official(*sys.argv[2:])
    else:
        data = np.load(sys.argv[2])
        arrays = data["reference"], data["prediction"]
        print(json.dumps(metered(deepmind, *arrays, tuple(map(float, data["spacing"])))))
