"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from renalis.measurement import Measurements
from renalis.measurement.structure_values import Probabilities
from renalis.report.findings import Findings, find
from renalis.report.meshes import Mesh
from renalis.report.scene import Scene
from renalis.report.scene3d import meshes_of, seen_from_front
from renalis.volume import Volume

__all__ = ["ModelFacts", "ReportContent", "Subject"]


@dataclass(frozen=True)
class ModelFacts:
    """What a reader has to know about the model.

    Parameters
    ----------
    name : str
        Name and version.
    licence : str
        Licence of the weights, with credit where it is required.
    facts : tuple of (str, str)
        Anything else worth a line: training data, measured scores, checksum.
    """

    name: str
    licence: str
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything that preview and page show; nothing in it may identify the patient.

    Parameters
    ----------
    case_id : str
        Name of the case, from the name of its file.
    image : Volume
        The scan, HU.
    labels : Volume
        The label map on the scan's grid (`renalis.conventions.Label`).
    measurements : Measurements
        Made from ``image`` and ``labels``.
    model : ModelFacts, optional
        Absent for label maps that no model made.
    notes : tuple of str
        Sentences about what is uncertain: warnings of reading, prediction and tidying.
    changes : tuple of str
        One sentence for each anatomical rule that changed something.
    scan_facts : tuple of (str, str)
        Further lines about the scan, such as the series that was chosen and those that were not.
    version : str
        Version of renalis.
    probabilities : Probabilities, optional
        Anything with ``kidney`` and ``lesion`` probability volumes, such as a prediction; shows
        how far the structures might reach.
    """

    case_id: str
    image: Volume
    labels: Volume
    measurements: Measurements
    model: ModelFacts | None = None
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    scan_facts: tuple[tuple[str, str], ...] = ()
    version: str = ""
    probabilities: Probabilities | None = None

    @cached_property
    def subject(self) -> Subject:
        """Scene, findings and surfaces, made when they are first asked for.

        Raises
        ------
        ValueError
            If the label map lies on another grid than the scan.
        """
        return Subject.of(self.image, self.labels, self.measurements)


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
