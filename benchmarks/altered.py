"""Altered copies of the real scans: are the same kidneys found, and no tumor?

Run: ``python benchmarks/altered.py --data DATA [--scan NAME] [--output DIR]`` with the folder that
holds ``real-ct``. In none of the four scans has anyone described a tumor. Each is segmented whole
and with every second and every third slice. Two of them, whose kidneys have no cyst either, are
also made noisier, brighter, darker, of more or less contrast, with thicker, thinner or cubic
voxels, mirrored, turned onto the belly, clipped, padded and cut: 16 copies each. Parts without a
kidney (the upper half of the chest, what lies below the kidneys of those two, and above them) are
segmented too, and anything renal in them is false. The shipped model
and the tidying rules say what they say. Prints volumes and lesions, and the Dice with the whole,
unaltered scan's kidneys where both show the same places. Tumors are false, whatever copy they are
found in, and so are cysts, but for one of 11 ml in ``trunk`` that looks like one.

With ``--output`` every copy is entered in ``DIR/altered.json`` as soon as it is measured, and what
stands there is not measured again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from real_scans import THINNED, taken

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
    "trunk": "liver-phantom/ct.nii.gz",
    "chest": "lidc-chest/ct.nii.gz",
}
KIDNEYS = {"unenhanced": (66, 112), "enhanced": (78, 119)}
"""Slices that show kidneys, from the lowest; scans without are only thinned."""
APART = 8
"""So many slices away from those no part of a kidney is left."""

LEAST_TUMOR_ML = 0.5
"""Of a tumor that counts."""

VESSELS_HU = (60, 400)
"""What contrast medium makes brighter."""


def main() -> None:
    """Alter, segment, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--scan", choices=list(SCANS), action="append", help="default: all")
    parser.add_argument("--output", type=Path, help="keep the results here")
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    model = renalis.load_model(arguments.model)
    options = PredictionOptions(threads=arguments.threads)
    networks = open_networks(model, options)
    file = arguments.output / "altered.json" if arguments.output else None
    known = json.loads(file.read_text("utf-8"))["copies"] if file and file.is_file() else {}

    def segmented(scan: Volume) -> Volume:
        found = predict(scan, model, options, networks=networks)
        return tidy(found.labels, scan).labels

    for name in arguments.scan or SCANS:
        copies = {"as it is": lambda v: v} | thinned()
        copies |= alterations(KIDNEYS[name]) if name in KIDNEYS else {}
        copies |= without_kidneys(name)
        copies = {title: how for title, how in copies.items() if f"{name}, {title}" not in known}
        if not copies:
            continue
        path = arguments.data / "real-ct" / SCANS[name]
        scan = renalis.read_scan(path).volume.reoriented()
        whole = None if copies.keys() <= without_kidneys(name).keys() else segmented(scan)
        for title, make in copies.items():
            labels = whole if whole and title == "as it is" else segmented(make(scan))
            dice = agreement(labels, flipped(whole, FLIPPED.get(title, ()))) if whole else None
            known[f"{name}, {title}"] = entry = measured(labels) | {"dice_with_whole": dice}
            print(f"{name}, {title}: {entry}", flush=True)
            if file:
                file.parent.mkdir(parents=True, exist_ok=True)
                content = {"model": arguments.model, **summary(known), "copies": known}
                file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    print(summary(known))


def measured(labels: Volume) -> dict[str, Any]:
    """Volumes of what is renal, of all tumors and cysts, and of the largest of each, in ml."""
    return {
        "renal_ml": round(volume_ml(labels, *Label), 1),
        "tumor_ml": round(volume_ml(labels, Label.TUMOR), 2),
        "largest_tumor_ml": round(largest_ml(labels, Label.TUMOR), 2),
        "cyst_ml": round(volume_ml(labels, Label.CYST), 2),
        "largest_cyst_ml": round(largest_ml(labels, Label.CYST), 2),
    }


def summary(known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How many copies were measured, and in which a tumor that counts was named."""
    false = [name for name, one in known.items() if one["largest_tumor_ml"] >= LEAST_TUMOR_ML]
    parts = {f"{scan}, {title}" for scan in SCANS for title in without_kidneys(scan)}
    renal = [name for name in known if name in parts and known[name]["renal_ml"] > 0]
    return {"measured": len(known), "with_a_tumor": false, "renal_without_kidneys": renal}


def without_kidneys(name: str) -> dict[str, Callable[[Volume], Volume]]:
    """Parts of a scan that hold no kidney."""
    if name == "chest":
        return {"its upper half": lambda v: v.cropped((slice(v.shape[0] // 2, None), *ALL))}
    if name not in KIDNEYS:
        return {}
    low, high = KIDNEYS[name]
    parts = {"below the kidneys": lambda v: v.cropped((slice(0, low - APART), *ALL))}
    if name == "enhanced":  # the other scan ends right above them
        parts["above the kidneys"] = lambda v: v.cropped((slice(high + APART, None), *ALL))
    return parts


def thinned() -> dict[str, Callable[[Volume], Volume]]:
    """Copies of which some slices are left out."""
    ordinal = {2: "second", 3: "third"}
    return {
        f"every {ordinal[step]} slice": lambda v, step=step: taken(v, 0, slice(0, None, step))  # type: ignore[misc]
        for step in THINNED
    }


def alterations(kidneys: tuple[int, int]) -> dict[str, Callable[[Volume], Volume]]:
    """What is done to a scan in orientation SPL whose kidneys lie in these slices."""
    low, high = kidneys
    middle = (low + high) // 2
    return {
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


def largest_ml(labels: Volume, kind: Label) -> float:
    """Of the largest connected component of a label."""
    parts = cc3d.connected_components(np.ascontiguousarray(labels.array == kind), connectivity=26)
    sizes = np.bincount(parts.ravel())[1:]
    return float(sizes.max() * labels.voxel_ml) if sizes.size else 0.0


def agreement(labels: Volume, whole: Volume) -> float | None:
    """Dice of everything renal where a copy has the voxels of the whole scan, flipped like it.

    None where its voxels are others.
    """
    if labels.shape[1:] != whole.shape[1:]:
        return None
    step = round(labels.spacing[0] / whole.spacing[0])
    start = round(float(labels.affine[2, 3] - whole.affine[2, 3]) / whole.spacing[0])
    same = whole.array[start::step][: labels.shape[0]] > 0
    both = np.count_nonzero((labels.array > 0) & same)
    total = np.count_nonzero(labels.array) + np.count_nonzero(same)
    return round(float(2 * both / total), 4) if total else 1.0


if __name__ == "__main__":
    main()
