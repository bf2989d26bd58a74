"""Altered copies of both real scans: are two kidneys found, the same ones, and no lesion?

Run: ``python benchmarks/altered.py --data DATA`` with the folder that holds ``real-ct``. Both
patients' kidneys have neither tumor nor cyst that anyone has described. Each scan is made noisier,
brighter, darker, of more or less contrast, with thicker, thinner or cubic voxels, mirrored, turned
onto the belly, clipped, padded and cut, and segmented with the shipped model and the tidying rules.
Prints volumes and lesions, and the Dice with the whole, unaltered scan's kidneys where both show
the same places. Lesions found in copies are false, but for what was overlooked in the scans.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import renalis
from renalis.conventions import Label
from renalis.postprocessing import tidy
from renalis.prediction import PredictionOptions, predict
from renalis.prediction.cascade import open_networks
from renalis.preparation import resample
from renalis.volume import Volume

SCANS = {
    "unenhanced": "totalsegmentator-example/ct.nii.gz",
    "enhanced": "tcga-ov/TCGA-09-2043-abdomen-dicom.zip",
}
KIDNEYS = {"unenhanced": (66, 112), "enhanced": (78, 119)}
"""Slices that show kidneys, from the lowest."""

VESSELS_HU = (60, 400)
"""What contrast medium makes brighter."""


def main() -> None:
    """Alter, segment, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    model = renalis.load_model(arguments.model)
    options = PredictionOptions(threads=arguments.threads)
    networks = open_networks(model, options)

    def segmented(scan: Volume) -> Volume:
        found = predict(scan, model, options, networks=networks)
        return tidy(found.labels, scan).labels

    wrong = 0
    for name, file in SCANS.items():
        scan = renalis.read_scan(arguments.data / "real-ct" / file).volume.reoriented()
        whole = segmented(scan)
        for title, make in alterations(KIDNEYS[name]).items():
            copy = make(scan)
            labels = segmented(copy)
            lesion_ml = volume_ml(labels, Label.TUMOR), volume_ml(labels, Label.CYST)
            wrong += any(lesion_ml)
            print(
                f"{name}, {title}: {volume_ml(labels, *Label):.0f} ml renal, tumor "
                f"{lesion_ml[0]:.1f} ml, cyst {lesion_ml[1]:.1f} ml, "
                f"{agreement(labels, flipped(whole, FLIPPED.get(title, ())))}",
                flush=True,
            )
    print(f"copies with a lesion: {wrong}")


def alterations(kidneys: tuple[int, int]) -> dict[str, Callable[[Volume], Volume]]:
    """What is done to a scan in orientation SPL whose kidneys lie in these slices."""
    low, high = kidneys
    middle = (low + high) // 2
    return {
        "as it is": lambda v: v,
        "noise of 12 HU": lambda v: noisy(v, 12),
        "noise of 25 HU": lambda v: noisy(v, 25),
        "8 HU brighter": lambda v: changed(v, lambda hu: hu + 8),
        "8 HU darker": lambda v: changed(v, lambda hu: hu - 8),
        "12 % more contrast": lambda v: changed(v, lambda hu: contrast(hu, 1.12)),
        "15 % less contrast": lambda v: changed(v, lambda hu: contrast(hu, 0.85)),
        "slices of 5 mm": lambda v: resample(v, (5.0, 1.0, 1.0)),
        "voxels of 1.5 mm": lambda v: resample(v, (1.5, 1.5, 1.5)),
        "slices of 1.25 mm": lambda v: resample(v, (1.25, 0.9, 0.9)),
        **{title: partial(flipped, axes=axes) for title, axes in FLIPPED.items()},
        "clipped at 1023": lambda v: changed(v, lambda hu: np.minimum(hu, 1023)),
        "padded with -2048": lambda v: changed(v, lambda hu: np.where(hu == hu.min(), -2048, hu)),
        "cut below the kidneys' middle": lambda v: v.cropped((slice(middle, v.shape[0]), *ALL)),
        "cut above the kidneys' middle": lambda v: v.cropped((slice(0, middle), *ALL)),
        "cut to the kidneys": lambda v: v.cropped(
            (slice(low - 3, min(high + 3, len(v.array))), *ALL)
        ),
    }


ALL = (slice(None), slice(None))

FLIPPED = {"mirrored": (2,), "on the belly": (1, 2)}
"""Axes along which these copies run the other way, in the same coordinates."""


def flipped(scan: Volume, axes: tuple[int, ...]) -> Volume:
    """Voxels the other way around on the same grid: another patient, or another position."""
    return scan.like(np.flip(scan.array, axes).copy(), scan.kind)


def noisy(scan: Volume, sd_hu: float) -> Volume:
    """With white noise added."""
    rng = np.random.default_rng(5)
    return changed(scan, lambda hu: hu + rng.normal(0, sd_hu, hu.shape))


def changed(scan: Volume, how: Callable[[NDArray[np.float32]], NDArray[np.floating]]) -> Volume:
    """The same grid with other HU."""
    hu = how(scan.array.astype(np.float32))
    return scan.like(np.rint(hu).clip(-2048, 3071).astype(np.int16), scan.kind)


def contrast(hu: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Enhanced tissue brighter or darker."""
    low, high = VESSELS_HU
    return np.where((hu > low) & (hu < high), hu * np.float32(factor), hu)


def volume_ml(labels: Volume, *kinds: Label) -> float:
    """Of some labels together."""
    wanted = [int(kind) for kind in kinds if kind != Label.BACKGROUND]
    return float(np.isin(labels.array, wanted).sum() * labels.voxel_ml)


def agreement(labels: Volume, whole: Volume) -> str:
    """Dice of everything renal where a copy has the voxels of the whole scan, flipped like it."""
    if labels.shape[1:] != whole.shape[1:]:
        return "on other voxels"
    start = round(float(labels.affine[2, 3] - whole.affine[2, 3]) / whole.spacing[0])
    same = whole.array[start : start + labels.shape[0]] > 0
    both = np.count_nonzero((labels.array > 0) & same)
    total = np.count_nonzero(labels.array) + np.count_nonzero(same)
    dice = 2 * both / total if total else 1.0
    return f"Dice {dice:.4f} with the scan as it is"


if __name__ == "__main__":
    main()
