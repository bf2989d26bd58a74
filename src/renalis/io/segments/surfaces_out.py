"""Write closed surfaces: STL, one file for each, and GLB (glTF 2.0), all with names and colors.

Coordinates are the patient's in mm, DICOM axes (LPS+), which 3D Slicer takes for granted and the
STL's header says. In the GLB a node turns and scales them as that format wants it: meters, up is
+y.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from renalis.conventions import Label
from renalis.io.segments.facts import COLORS, SegmentFacts
from renalis.io.write import whole_file

__all__ = ["Surface", "write_glb", "write_stl"]

_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0], np.float32)
_STL_HEADER = b"renalis surface, mm, SPACE=LPS; research software, not for diagnosis"
_OPACITY = 0.5
"""Of a kidney, so that lesions in it show."""
_FROM_LPS_MM = [0.001, 0, 0, 0, 0, 0, -0.001, 0, 0, 0.001, 0, 0, 0, 0, 0, 1]
"""Column by column: left is +x, up is +y, front is +z."""
_FLOAT, _UINT, _VERTICES, _INDICES = 5126, 5125, 34962, 34963


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed triangle mesh.

    Parameters
    ----------
    facts : SegmentFacts
        Name and color.
    vertices : ndarray of float32, shape (V, 3)
        Patient coordinates in mm (RAS+).
    faces : ndarray of uint32, shape (F, 3)
        Vertex indices, counter-clockwise seen from outside.
    """

    facts: SegmentFacts
    vertices: NDArray[np.float32]
    faces: NDArray[np.uint32]


def write_stl(path: Path, surface: Surface) -> None:
    """Write one surface as binary STL, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    corners = (surface.vertices * _RAS_TO_LPS)[surface.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    stored = np.zeros(
        len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]
    )
    stored["normal"], stored["corners"] = normals, corners
    with whole_file(path) as file:
        file.write(_STL_HEADER.ljust(80, b" "))
        file.write(struct.pack("<I", len(corners)))
        file.write(stored.tobytes())


def write_glb(path: Path, surfaces: Sequence[Surface]) -> None:
    """Write surfaces as one binary glTF file, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    description, binary = _described(surfaces)
    text = json.dumps(description, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary)
    with whole_file(path) as file:
        file.write(struct.pack("<4sII", b"glTF", 2, length))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(binary), b"BIN\0") + binary)


def _described(surfaces: Sequence[Surface]) -> tuple[dict[str, Any], bytes]:
    """glTF's JSON, and the numbers that it refers to."""
    binary = bytearray()
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []

    def stored(array: NDArray[Any], target: int, **how: Any) -> int:
        views.append(
            {"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes, "target": target}
        )
        binary.extend(array.tobytes())
        accessors.append({"bufferView": len(views) - 1, **how})
        return len(accessors) - 1

    meshes, nodes, materials = [], [], []
    for number, one in enumerate(surfaces):
        points = np.ascontiguousarray(one.vertices * _RAS_TO_LPS, "<f4")
        corners = np.ascontiguousarray(one.faces, "<u4").ravel()
        position = stored(
            points,
            _VERTICES,
            componentType=_FLOAT,
            count=len(points),
            type="VEC3",
            min=points.min(axis=0).tolist(),
            max=points.max(axis=0).tolist(),
        )
        indices = stored(corners, _INDICES, componentType=_UINT, count=len(corners), type="SCALAR")
        primitive = {"attributes": {"POSITION": position}, "indices": indices, "material": number}
        meshes.append({"name": one.facts.id, "primitives": [primitive]})
        nodes.append({"name": one.facts.name, "mesh": number})
        materials.append(_material(one.facts))
    everything = {
        "name": "patient (LPS, mm)",
        "matrix": _FROM_LPS_MM,
        "children": list(range(len(nodes))),
    }
    return {
        "asset": {"version": "2.0", "generator": "renalis (research software, not for diagnosis)"},
        "scene": 0,
        "scenes": [{"nodes": [len(nodes)]}],
        "nodes": [*nodes, everything],
        "meshes": meshes,
        "materials": materials,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }, bytes(binary)


def _material(facts: SegmentFacts) -> dict[str, Any]:
    """Color, in linear light as the format has it."""
    opacity = _OPACITY if facts.label == Label.KIDNEY else 1.0
    linear = [round((channel / 255) ** 2.2, 4) for channel in COLORS[facts.label]]
    return {
        "name": facts.label.name.lower(),
        "pbrMetallicRoughness": {
            "baseColorFactor": [*linear, opacity],
            "metallicFactor": 0,
            "roughnessFactor": 0.7,
        },
        **({"alphaMode": "BLEND"} if opacity < 1 else {}),
    }
