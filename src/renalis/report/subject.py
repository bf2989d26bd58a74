"""What preview and page are both about, made once for a case."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from renalis.measurement import Measurements
from renalis.report.findings import Findings, find
from renalis.report.meshes import Mesh
from renalis.report.scene import Scene
from renalis.report.scene3d import meshes_of, seen_from_front
from renalis.volume import Volume

__all__ = ["Subject"]

SOLID = (760, 570)
"""Width and height of the picture of the surfaces."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A case as it is drawn.

    Parameters
    ----------
    scene : Scene
        Scan and labels; nothing about what is uncertain.
    findings : Findings
        The voxels of each row of the tables.
    meshes : tuple of Mesh
        Surfaces of kidneys and lesions; empty when nothing is labeled.
    solid : Image
        The surfaces from the front, `SOLID` pixels, without letters.
    """

    scene: Scene
    findings: Findings
    meshes: tuple[Mesh, ...]
    solid: Image.Image

    @classmethod
    def of(cls, image: Volume, labels: Volume, measurements: Measurements) -> Subject:
        """The subject of a scan, its label map and what was measured in both.

        Raises
        ------
        ValueError
            If the label map lies on another grid than the scan.
        """
        scene = Scene.of(image, labels)
        findings = find(scene, measurements)
        meshes = tuple(meshes_of(scene, findings, measurements))
        return cls(scene, findings, meshes, seen_from_front(meshes, SOLID))
