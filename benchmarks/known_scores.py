"""Scores of shapes whose distances are known, and what other definitions of HD95 make of them.

    python benchmarks/known_scores.py

Writes both tables into ``docs/explanation/evaluation.md``. MedPy's ``hd95`` and MONAI's
``compute_hausdorff_distance`` are written anew from their documented formulas: borders are the
voxels that an erosion by the six neighbours takes away; MedPy takes the percentile of both
directions' distances together, MONAI of each direction and the larger. Every border voxel counts
the same. DeepMind's, KiTS's and ours weigh by area.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from inserted import insert, table
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from renalis.evaluation.label_boxes import label_boxes
from renalis.evaluation.surface import PlacedMasks, surface_distances
from renalis.evaluation.voxel_geometry import VoxelGeometry
from renalis.volume import Kind, Volume

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "evaluation.md"


def grid(shape: tuple[int, int, int], affine: Floats) -> Volume:
    """An empty grid."""
    return Volume(np.zeros(shape, np.uint8), affine, Kind.LABELS)


def tilted(degrees: float, spacing: tuple[float, float, float]) -> Floats:
    """Axes (slice, row, column); slices lean by the tilt, the table moves along z."""
    angle = np.deg2rad(degrees)
    affine = np.eye(4)
    affine[:3, 0] = 0, 0, spacing[0] / np.cos(angle)
    affine[:3, 1] = 0, spacing[1] * np.cos(angle), spacing[1] * np.sin(angle)
    affine[:3, 2] = spacing[2], 0, 0
    return affine


def ball(space: Volume, radius: float, from_center: tuple[float, float, float]) -> Mask:
    """A ball in patient mm; the position counts from the middle of the grid."""
    places = space.world(np.moveaxis(np.indices(space.shape), 0, -1))
    middle = space.world((np.array(space.shape) - 1) / 2) + from_center
    return np.asarray(np.linalg.norm(places - middle, axis=-1) <= radius)


def moved_ball(radius: float, shift: float) -> float:
    """HD95 of a ball against itself, moved by less than its radius; the same in each direction."""
    cosine = np.linspace(-1, 1, 200_001)  # of the angle to the movement: uniform over a sphere
    away = np.sqrt(radius**2 + shift**2 - 2 * radius * shift * cosine) - radius
    return float(np.percentile(np.abs(away), 95))


def ours(one: Mask, two: Mask, lattice: VoxelGeometry) -> float:
    """HD95 as renalis computes it; on perpendicular axes DeepMind's."""
    boxes = label_boxes(one.view(np.uint8), two.view(np.uint8))
    placed = [PlacedMasks(one[b], two[b], (b[0].start, b[1].start, b[2].start)) for b in boxes]
    i, j, k = one.shape
    return surface_distances(placed, (i, j, k), lattice).hausdorff(95)


def borders(one: Mask, two: Mask, place: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
    """Distances from each border voxel to the other mask's border, both directions."""
    first, second = (place(np.argwhere(m & ~binary_erosion(m)).astype(float)) for m in (one, two))
    return cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]


def medpy(one: Mask, two: Mask, spacing: Floats) -> float:
    """MedPy's ``hd95(result, reference, voxelspacing)``."""
    return float(np.percentile(np.hstack(borders(one, two, lambda p: p * spacing)), 95))


def monai(one: Mask, two: Mask, spacing: Floats) -> float:
    """MONAI's ``compute_hausdorff_distance(percentile=95, spacing=...)``."""
    return max(float(np.percentile(d, 95)) for d in borders(one, two, lambda p: p * spacing))


def tilted_table() -> str:
    """A ball of 16 mm radius, moved, in grids of 1 mm with a tilted gantry."""
    rows = []
    for degrees in (0, 10, 20, 30):
        space = grid((74, 68, 46), tilted(degrees, (1.0, 1.0, 1.0)))
        found: dict[str, list[float]] = {"ours": [], "clouds": [], "straight": []}
        for shift in ((0, 12, 0), (8.5, 8.5, 0), (0, 8.5, 8.5), (0, 8.5, -8.5), (0, 0, 12)):
            half = np.array(shift) / 2
            one, two = (ball(space, 16, tuple(s * half)) for s in (-1, 1))
            found["ours"].append(ours(one, two, VoxelGeometry.of(space)))
            found["straight"].append(ours(one, two, VoxelGeometry.straight(space.spacing)))
            clouds = borders(one, two, space.world)
            found["clouds"].append(max(float(np.percentile(d, 95)) for d in clouds))
        cells = [f"{np.mean(v):.2f} ({min(v):.2f} to {max(v):.2f})" for v in found.values()]
        planes = VoxelGeometry.of(space).plane_distances[0]
        rows.append([f"{degrees}°", f"{moved_ball(16, 12):.2f}", *cells,
                     f"{planes:.2f} (way of the table {space.spacing[0]:.2f})"])  # fmt: skip
    header = ["tilt", "truth (mm)", "renalis", "points of the borders in the patient, k-d tree",
              "as if straight", "slice distance of 1.00 mm"]  # fmt: skip
    return table(header, rows)


def phantoms() -> list[tuple[str, str, Volume, Mask, Mask]]:
    """What it is, the true HD95, its grid and both masks."""
    fine, thick = np.diag([1.0, 1, 1, 1]), np.diag([5.0, 0.8, 0.8, 1])
    near = grid((64, 64, 64), fine)
    slices = grid((14, 80, 80), thick)
    long = grid((64, 64, 240), fine)
    kidney = ball(long, 24, (0, 0, -85))
    island = kidney | ball(long, 7, (0, 0, 90))
    speck = kidney | ball(long, 4, (0, 0, 87))
    truth = f"{moved_ball(20, 6):.2f}"
    return [
        ("ball of 40 mm moved by 6 mm, 1 mm voxels", truth, near,
         ball(near, 20, (-3, 0, 0)), ball(near, 20, (3, 0, 0))),
        ("the same, moved across slices of 5 mm", truth, slices,
         ball(slices, 20, (-3, 0, 0)), ball(slices, 20, (3, 0, 0))),
        ("the same, moved within slices of 5 mm", truth, slices,
         ball(slices, 20, (0, -3, 0)), ball(slices, 20, (0, 3, 0))),
        ("a false island of 14 mm far from a ball of 48 mm", "–", long, kidney, island),
        ("a false island of 8 mm there", "–", long, kidney, speck),
    ]  # fmt: skip


def definitions_table() -> str:
    """HD95 of the same masks by four definitions."""
    rows = []
    for name, truth, space, one, two in phantoms():
        spacing = np.array(space.spacing)
        values = (
            ours(one, two, VoxelGeometry.of(space)),
            medpy(one, two, spacing),
            monai(one, two, spacing),
            monai(one, two, np.ones(3)),
        )
        rows.append([name, truth, *(f"{v:.2f}" for v in values)])
    header = ["masks", "truth (mm)", "renalis, DeepMind", "MedPy", "MONAI with spacing",
              "MONAI without spacing (voxels)"]  # fmt: skip
    return table(header, rows)


def main() -> int:
    """Measure and write."""
    command = "`python benchmarks/known_scores.py`"
    tilts, definitions = tilted_table(), definitions_table()
    insert(PAGE, "tilted_grids", f"{command}: HD95 in mm, mean and range of five movements of "
           f"12 mm.\n\n{tilts}")  # fmt: skip
    insert(PAGE, "hd95_definitions", f"{command}: HD95 of the same masks.\n\n{definitions}")
    print(f"{tilts}\n\n{definitions}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
