"""One scan stored in many ways gives the same kidneys on the same sides.

Run: ``python benchmarks/orientations.py --data DATA`` with the folder that holds ``real-ct``.
The unenhanced scan is stored in all 48 axis orders and flips and on oblique grids, the DICOM series
also as the NIfTI that dcm2niix makes of it, and both with oblique affines and the same voxels; each
is segmented with the shipped model. Prints the Dice in world coordinates and the sides and volumes
of the kidneys.

Oblique versions hold what the scan holds: its cubic spline, sampled every 0.8 mm over a grid in
which the whole scan fits. On 3 mm voxels a turned copy would lose the finest detail along the
diagonals, and its label map could not come nearer than 0.95 to another. All of them, one along the
patient's axes included, are compared with each other, and with the 3 mm scan itself.

The Dice of two label maps on grids that are turned against each other stays below 1 even if both
come from the same probabilities, the more so the larger the voxels: each map is made of its own
voxels. So two more numbers are given: that limit, and the Dice of what is more probable than not,
before tidying, asked at the same points of a 1 mm grid.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

import renalis
from renalis.measurement import measure
from renalis.postprocessing import tidy
from renalis.prediction import PredictionOptions, predict
from renalis.volume import Volume

ANGLES = ((0, 0, 0), (0, 0, 8), (0, 6, 0), (10, 0, 0), (5, -7, 12))
"""Degrees about the x, y and z axis of the patient."""

COPY_MM = 0.8
"""Voxels of the oblique versions."""

HALF = 127.5
"""Of the largest uint8: as probable as not."""


def main() -> None:
    """Segment every version and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="renalis-kidney")
    parser.add_argument("--orders", type=int, default=48, help="how many of the 48 to try")
    parser.add_argument("--angles", type=int, default=len(ANGLES), help="how many turns to try")
    arguments = parser.parse_args()
    folder = arguments.data / "real-ct"
    with tempfile.TemporaryDirectory() as scratch:
        own = folder / "totalsegmentator-example" / "ct.nii.gz"
        first = _segmented(own, arguments.model)
        least: list[Agreement] = []
        for number, path in enumerate(_reordered(own, Path(scratch))):
            if number >= arguments.orders:
                break
            version = _segmented(path, arguments.model)
            least.append(_report(f"order {path.stem}", first, version))
        turned: dict[str, Segmented] = {}
        for path in _oblique(own, Path(scratch), ANGLES[: arguments.angles]):
            version = _segmented(path, arguments.model)
            coarse = _dice_of_probabilities(version, first)
            print(f"turned {path.stem}: Dice of probabilities {coarse:.4f} with the scan itself")
            for name, other in turned.items():
                least.append(_report(f"turned {name} and {path.stem}", other, version))
            turned[path.stem] = version
        archive = next((folder / "tcga-ov").glob("*.zip"))
        series = _segmented(archive, arguments.model)
        nifti = _converted(archive, Path(scratch))
        converted = _segmented(nifti, arguments.model)
        least.append(_report("NIfTI of the DICOM series", series, converted))
        for name, path, straight in (("scan", own, first), ("series", nifti, converted)):
            for angles in ANGLES[1 : arguments.angles]:
                version = _segmented(_in_place(path, angles, Path(scratch)), arguments.model)
                same = _dice(straight.labels.array > 0, version.labels.array > 0)
                print(f"{name} lying {angles}: Dice {same:.4f} voxel by voxel", flush=True)
    print(
        f"least Dice of labels {min(one.labels for one in least):.4f}, "
        f"of probabilities {min(one.probabilities for one in least):.4f}"
    )


@dataclass(frozen=True)
class Segmented:
    """What the program says about one version of a scan."""

    labels: Volume
    renal: Volume
    sides: str


@dataclass(frozen=True)
class Agreement:
    """Dice of two versions: of their labels, of their probabilities, and the labels' limit."""

    labels: float
    probabilities: float
    limit: float


def _segmented(path: Path, model: str) -> Segmented:
    scan = renalis.read_scan(path)
    prediction = predict(scan.volume, renalis.load_model(model), PredictionOptions())
    labels = tidy(prediction.labels, scan.volume).labels
    kidneys = measure(scan.volume, labels).kidneys
    if prediction.kidney is None:
        raise SystemExit(f"no kidney was found in {path}")
    sides = " ".join(f"{k.side} {k.volume_ml:.0f} ml" for k in kidneys)
    return Segmented(labels, prediction.kidney, sides)


def _report(name: str, first: Segmented, other: Segmented) -> Agreement:
    limit = _dice_in_world(_renal_on(other.labels, first), _renal_on(first.labels, first))
    agreement = Agreement(
        _dice_in_world(other.labels, first.labels), _dice_of_probabilities(other, first), limit
    )
    print(
        f"{name}: Dice of labels {agreement.labels:.4f} (same probabilities would give "
        f"{limit:.4f}), of probabilities {agreement.probabilities:.4f}; "
        f"{other.sides} and {first.sides}",
        flush=True,
    )
    return agreement


def _renal_on(grid: Volume, one: Segmented) -> Volume:
    """What is more probable than not, at the voxels of a grid."""
    array = np.asarray(one.renal.array, np.float32)
    return grid.like(_sampled(array, one.renal.affine, grid, 1, 0.0) >= HALF, grid.kind)


def _dice_of_probabilities(one: Segmented, other: Segmented) -> float:
    """Dice of what is more probable than not, at the points of a 1 mm grid around both."""
    points = np.concatenate(
        [v.world(np.argwhere(v.array >= HALF)) for v in (one.renal, other.renal)]
    )
    affine = np.eye(4)
    affine[:3, 3] = points.min(axis=0) - 5
    i, j, k = (int(n) for n in np.ceil(points.max(axis=0) - points.min(axis=0) + 10))
    grid = Volume(np.broadcast_to(np.uint8(0), (i, j, k)), affine)
    mine, theirs = (_renal_on(grid, version).array for version in (one, other))
    return _dice(mine, theirs)


def _dice_in_world(labels: Volume, other: Volume) -> float:
    """Dice of everything renal at the voxels of ``labels``, the other sampled nearest there."""
    mine = np.asarray(labels.array) > 0
    return _dice(mine, _sampled(np.asarray(other.array) > 0, other.affine, labels, 0, False))


def _sampled(
    array: NDArray[np.generic], affine: NDArray[np.float64], onto: Volume, order: int, fill: float
) -> NDArray[np.generic]:
    matrix = np.linalg.inv(affine) @ onto.affine
    return np.asarray(
        ndimage.affine_transform(
            array, matrix[:3, :3], matrix[:3, 3], onto.shape, order=order, cval=fill
        )
    )


def _reordered(path: Path, scratch: Path) -> Iterator[Path]:
    image = nibabel.load(path)
    array = np.asarray(image.dataobj)
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            turned = np.transpose(array, order)[tuple(slice(None, None, f) for f in flips)]
            matrix = np.zeros((4, 4))
            matrix[3, 3] = 1
            for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
                matrix[old, new] = flip
                matrix[old, 3] = 0 if flip == 1 else array.shape[old] - 1
            affine = image.affine @ matrix
            name = "".join(nibabel.aff2axcodes(affine))
            target = scratch / f"{name}.nii"
            nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(turned), affine), target)
            yield target
            target.unlink()


def _oblique(path: Path, scratch: Path, turns: tuple[tuple[int, int, int], ...]) -> Iterator[Path]:
    """The scan's cubic spline on turned grids that hold the whole scan."""
    image = nibabel.load(path)
    array = np.asarray(image.dataobj, np.float32)
    spline = ndimage.spline_filter(array, order=3, output=np.float32, mode="nearest")
    scan = Volume(array, image.affine)
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in scan.shape])).reshape(3, -1).T
    corners = scan.world(ends)
    for angles in turns:
        axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        low, high = (corners @ axes).min(axis=0), (corners @ axes).max(axis=0)
        affine = np.eye(4)
        affine[:3, :3] = axes * COPY_MM
        affine[:3, 3] = axes @ (low + COPY_MM / 2)
        i, j, k = (int(n) for n in np.ceil((high - low) / COPY_MM - 1e-3))
        grid = Volume(np.broadcast_to(np.int16(0), (i, j, k)), affine)
        matrix = np.linalg.inv(image.affine) @ affine
        turned = ndimage.affine_transform(
            spline, matrix[:3, :3], matrix[:3, 3], grid.shape, cval=-1024, prefilter=False
        )
        target = scratch / ("-".join(str(a) for a in angles) + ".nii")
        # Splines overshoot at metal.
        stored = np.rint(turned.clip(array.min(), array.max())).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(stored, affine), target)
        yield target
        target.unlink()


def _in_place(path: Path, angles: tuple[int, int, int], scratch: Path) -> Path:
    """The same voxels with an oblique affine: the patient lay tilted."""
    image = nibabel.load(path)
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    target = scratch / "lying.nii"
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine), target)
    return target


def _dice(mine: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    return float(2 * np.count_nonzero(mine & theirs) / (mine.sum() + theirs.sum()))


def _converted(archive: Path, scratch: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-e", str(archive), str(scratch / "dicom")], check=True
    )
    program = Path(sys.executable).with_name("dcm2niix")
    command = [str(program), "-z", "n", "-b", "n", "-f", "series", "-o", str(scratch)]
    subprocess.run([*command, str(scratch / "dicom")], check=True, capture_output=True)
    made = sorted(scratch.glob("series*.nii"), key=lambda file: file.stat().st_size)
    return made[-1]


if __name__ == "__main__":
    main()
