"""Measure phantoms whose truth is known by formula; write the page's table.

    python benchmarks/measurements.py [--places N]

Every phantom is drawn at random places within a voxel, on slices of several thicknesses and on
turned grids. The phantoms are those of the tests (tests/helpers).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))

from helpers.kidney_phantoms import KIDNEY, TUMOR, Ellipsoid, Phantom, grid_around, sphere  # noqa: E402

from renalis.laterality import Midline  # noqa: E402
from renalis.measurement import Lesion, measure  # noqa: E402
from renalis.postprocessing.diameters import axial_diameter, diameter_mm  # noqa: E402
from renalis.preparation.body import Body  # noqa: E402

PAGE = HERE.parent / "docs" / "explanation" / "measurements.md"
BEGIN, END = "<!-- phantoms: begin -->", "<!-- phantoms: end -->"
BODY = Body(None, (1, 1, 1), Midline(0.0))
OUTER = Ellipsoid((65, -20, 0), (27, 24, 55), KIDNEY)
HILUM = Ellipsoid((40, -20, 0), (17, 10, 17), 0)
SLICES = (0.5, 0.8, 2.5, 5.0)
TURNS = (0.0, 20.0)
Row = tuple[str, float, list[float]]


def diameters(places: int, rng: np.random.Generator) -> Iterator[Row]:
    """Balls and kidneys; the largest diameter in a slice beside them."""
    for size in (19.0, 38.0, 69.0):
        for slices in SLICES:
            found = []
            for turn in TURNS:
                affine, shape = grid_around((0.8, 0.8, slices), (size / 2 + slices + 2,) * 3, turn)
                for _ in range(places if slices > 1 else 2):
                    mask, steps = _drawn(
                        Ellipsoid((0, 0, 0), (size / 2,) * 3, 1), affine, shape, rng
                    )
                    found.append(diameter_mm(mask, steps))
            yield f"ball, slices of {slices:g} mm: `diameter_mm`", size, found
    for slices in SLICES[1:]:
        found = []
        for turn in (0.0, 15.0, 40.0):
            affine, shape = grid_around((1.0, 1.0, slices), (62, 62, 62), turn)
            for _ in range(places if slices > 1 else 1):
                mask, steps = _drawn(Ellipsoid((0, 0, 0), (26, 22, 55), 1), affine, shape, rng)
                found.append(diameter_mm(mask, steps))
        yield f"kidney, slices of {slices:g} mm, straight and turned: `length_mm`", 110.0, found
    affine, shape = grid_around((0.8, 0.8, 0.8), (22, 22, 22))
    ball = Ellipsoid((0, 0, 0), (19, 19, 19), 1)
    found = [axial_diameter(*_drawn(ball, affine, shape, rng)).long_mm for _ in range(places)]
    yield "ball, pixels of 0.8 mm: `axial_mm`", 38.0, found


def _drawn(
    body: Ellipsoid, affine: np.ndarray, shape: tuple[int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    place = affine[:3, :3] @ rng.uniform(-0.5, 0.5, 3)
    moved = Ellipsoid(tuple(np.array(body.center) + place), body.radii, body.label)
    labels = Phantom((moved,)).draw(affine, shape)[1].reoriented()
    return labels.array > 0, labels.affine[:3, :3].T


def shares(rng: np.random.Generator) -> Iterator[Row]:
    """Tumors at the side, at a pole, in a claw of parenchyma."""
    kinds = {
        "at the side": ((90, -20, 0), 10.0, 0.0),
        "deep at the side": ((82, -20, 20), 12.0, 0.0),
        "inside": ((70, -20, 0), 10.0, 0.0),
        "at a pole": ((65, -20, 43), 15.0, 0.0),
        "at a pole, large": ((66, -22, -50), 22.0, 0.0),
        "in a claw of 4 mm": ((102, -20, 5), 17.0, 4.0),
        "in a claw of 6 mm": ((98, -12, 10), 16.0, 6.0),
    }
    for name, (center, radius, rim) in kinds.items():
        points = rng.uniform(-radius, radius, (200_000, 3))
        points = points[(points**2).sum(axis=1) <= radius**2] + center
        truth = float(1 - OUTER.contains(points).mean())
        claw = [sphere(center, radius + rim, KIDNEY)] if rim else []
        outwards = np.array(center) - OUTER.center
        outwards = outwards / np.linalg.norm(outwards)
        if rim:
            claw.append(sphere(tuple(np.array(center) + outwards * 1.3 * radius), radius, 0))
        shapes = (*claw, OUTER, HILUM, sphere(center, radius, TUMOR))
        found = []
        for slices in (1.5, 4.0):
            share = _measured(shapes, (1.2, 1.2, slices), (62, 50, 84), rng).shape
            found.append(share.exophytic_fraction)
        yield f"tumor {name}: `exophytic_fraction`", truth, [x for x in found if x is not None]


def gaps(rng: np.random.Generator) -> Iterator[Row]:
    """Tumors at a known distance from the sinus."""
    for slices in (0.8, 3.0):
        off = []
        for gap in (1.0, 2.5, 3.6, 4.4, 6.6, 7.4, 10.0):
            tumor = sphere((HILUM.center[0] + HILUM.radii[0] + gap + 7, -20, 0), 7, TUMOR)
            found = _measured((OUTER, HILUM, tumor), (0.8, 0.8, slices), (33, 30, 60), rng)
            off.append(np.nan if found.shape.sinus_mm is None else found.shape.sinus_mm - gap)
        yield (
            f"tumors 1 to 10 mm from the sinus, slices of {slices:g} mm: `sinus_mm` − truth",
            0,
            off,
        )


def _measured(
    shapes: Sequence[Ellipsoid],
    spacing: tuple[float, float, float],
    half: tuple[float, float, float],
    rng: np.random.Generator,
) -> Lesion:
    place = rng.uniform(-0.5, 0.5, 3) * spacing
    moved = [Ellipsoid(tuple(np.array(s.center) + place), s.radii, s.label) for s in shapes]
    affine, shape = grid_around(spacing, half)
    affine[:3, 3] += OUTER.center
    image, labels = Phantom(tuple(moved)).draw(affine, shape)
    return measure(image, labels, body=BODY).lesions[0]


def main() -> None:
    """Measure, and put the table into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--places", type=int, default=6, help="places within a voxel")
    places = parser.parse_args().places
    rng = np.random.default_rng(7)
    lines = [
        "| phantom | truth | mean | mean deviation | largest deviation |",
        "|---|---|---|---|---|",
    ]
    for rows in (diameters(places, rng), shares(rng), gaps(rng)):
        for name, truth, found in rows:
            off = np.array(found) - truth
            digits = 3 if "fraction" in name else 2
            cells = (np.mean(found), off.mean(), np.abs(off).max())
            mean, bias, worst = (f"{round(float(x), digits) + 0.0:.{digits}f}" for x in cells)
            lines.append(f"| {name} | {truth:.{digits}f} | {mean} | {bias} | {worst} |")
            print(lines[-1], flush=True)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    table = "\n".join(lines)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
