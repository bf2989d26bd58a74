"""The scrollable stack of axial slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial

from renalis.boxes import Box, grown_mm
from renalis.report.embedded_pictures import EmbeddedPicture, shown
from renalis.report.findings import Findings
from renalis.report.picture_choice import Tile, evenly, spread
from renalis.report.planes import Plane
from renalis.report.scene import Scene, view

__all__ = ["Stack", "stack"]

TILE = Tile(width=620, height=480)
FEWEST_MM = 2.0
FEWEST, MOST_SLICES = 8, 128
BUDGET = 3_200_000
"""Characters that the pictures of the stack may take in the page."""
AROUND_MM = 12.0


@dataclass(frozen=True)
class Stack:
    """Axial slices from head to feet.

    Parameters
    ----------
    pictures : tuple of EmbeddedPicture
    indices : tuple of int
        Canonical index of each picture.
    words : str
        Which slices are shown.
    """

    pictures: tuple[EmbeddedPicture, ...]
    indices: tuple[int, ...]
    words: str

    def entries(self) -> list[dict[str, object]]:
        """What the page's script needs of each slice."""
        return [
            {
                "image": picture.image,
                "paths": {kind: path for kind, path in picture.paths.items() if path},
                "tags": picture.tags,
                "place": picture.place,
            }
            for picture in self.pictures
        ]

    def nearest(self, index: int) -> int:
        """The picture nearest to a canonical slice."""
        return min(range(len(self.indices)), key=lambda i: abs(self.indices[i] - index))


def stack(scene: Scene, findings: Findings, budget: int = BUDGET) -> Stack | None:
    """Show the axial slices through everything labeled, as many as fit.

    Parameters
    ----------
    scene : Scene
    findings : Findings
        For the names of lesions.
    budget : int
        Characters that the pictures may take; at least eight slices are shown in any case.
    """
    if scene.box is None:
        return None
    box = TILE.filled(scene.box, scene, Plane.AXIAL)
    labeled = _labeled(scene)
    spacing = scene.image.spacing[0]
    draw = cache(partial(_slice, scene, findings, box))
    densest = spread(labeled[0], step_mm=FEWEST_MM, most=MOST_SLICES, spacing=spacing)
    probes = [draw(densest[place]) for place in evenly(slice(0, len(densest)), 5)]
    typical = sum(len(probe.image) for probe in probes) / len(probes)
    most = min(MOST_SLICES, max(FEWEST, int(budget / typical)))
    while True:
        indices = spread(labeled[0], step_mm=FEWEST_MM, most=most, spacing=spacing)[::-1]
        pictures = tuple(draw(index) for index in indices)
        size = sum(len(picture.image) for picture in pictures)
        if size <= budget or most <= FEWEST:
            break
        most = max(FEWEST, int(0.95 * len(indices) * budget / size))
    apart = abs(indices[0] - indices[1]) if len(indices) > 1 else 1
    every = "Every slice" if apart == 1 else f"Every {apart}th slice"
    every = {2: "Every second slice", 3: "Every third slice"}.get(apart, every)
    words = f"{every} from head to feet, {apart * spacing:.1f} mm apart."
    return Stack(pictures, tuple(indices), words)


def _labeled(scene: Scene) -> Box:
    """The labeled voxels with a few slices more above and below."""
    assert scene.tight is not None  # there is one where there is a box
    return grown_mm(scene.tight, scene.image.shape, scene.image.spacing, AROUND_MM)


def _slice(scene: Scene, findings: Findings, box: Box, index: int) -> EmbeddedPicture:
    """One picture of the stack."""
    lesions = findings.lesions.values()
    drawn = view(scene, Plane.AXIAL, index, box=box, size=TILE.size, title="Axial", found=lesions)
    return shown(drawn, quality=80)
