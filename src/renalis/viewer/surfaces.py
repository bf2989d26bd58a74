"""Surfaces of kidneys and lesions as one small binary file, for the page's 3D view.

Little-endian: the number of surfaces (uint32); then for each its label, numbers of vertices and of
triangles (3 uint32), the vertices (3 float32, patient mm, RAS+) and triangles (3 uint32).
"""

from __future__ import annotations

import struct

import numpy as np

from renalis.boxes import bounding_box
from renalis.conventions import Label
from renalis.postprocessing.components import find_components
from renalis.report.meshes import Mesh, surface
from renalis.volume import CANONICAL, Kind, Volume

__all__ = ["packed_surfaces", "surfaces_of"]

_CELLS = {Label.KIDNEY: 72, Label.TUMOR: 40, Label.CYST: 36}
_MOST = 60
"""Surfaces; of polycystic kidneys the smallest cysts are left out."""


def surfaces_of(labels: Volume) -> list[Mesh]:
    """One surface per connected component; a kidney's goes around the lesions in it.

    Parameters
    ----------
    labels : Volume
        KiTS23 labels, uint8, any orientation.
    """
    canonical = labels.reoriented(CANONICAL)
    box = bounding_box(canonical.array)
    if box is None:
        return []
    crop = canonical.cropped(box)
    array = np.ascontiguousarray(crop.array)
    found: list[Mesh | None] = []
    for label in (Label.TUMOR, Label.CYST, Label.KIDNEY):
        components = find_components(array == label)
        for component in components.each[: _MOST - len(found)]:
            mask = crop.cropped(component.box).like(components.mask(component), Kind.LABELS)
            found.append(surface(mask, label.name.lower(), label, _CELLS[label]))
    return [mesh for mesh in found if mesh is not None]


def packed_surfaces(labels: Volume) -> bytes:
    """`surfaces_of` as bytes."""
    meshes = surfaces_of(labels)
    parts = [struct.pack("<I", len(meshes))]
    for mesh in meshes:
        parts.append(struct.pack("<III", mesh.label, len(mesh.vertices), len(mesh.faces)))
        parts.append(np.ascontiguousarray(mesh.vertices, "<f4").tobytes())
        parts.append(np.ascontiguousarray(mesh.faces, "<u4").tobytes())
    return b"".join(parts)
