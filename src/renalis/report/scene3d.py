"""The 3D view: bytes for the page's WebGL program, and a still for everything else."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from renalis.conventions import Label
from renalis.measurement import Measurements
from renalis.report.findings import Findings, short_name
from renalis.report.meshes import Mesh, normals, surface
from renalis.report.raster import SHARPNESS, averaged, font
from renalis.report.scene import Found, Scene
from renalis.report.style import STYLES
from renalis.report.tables import kidney_name, largest, right_first
from renalis.volume import Kind, Volume

__all__ = ["meshes_of", "packed", "seen_from_front", "still"]

KIDNEY_OPACITY = 0.5
KIDNEY_CELLS, LESION_CELLS = 56, 36
MOST_LESIONS = 60
"""Beyond this many (polycystic kidneys) the smallest are left out of the 3D view."""
BACKGROUND = "#0b0f14"
LIGHT = np.array([-0.35, 0.55, 0.76])
"""Direction to the lamp in viewer coordinates: right, up, towards the viewer."""


def meshes_of(scene: Scene, findings: Findings, measurements: Measurements) -> list[Mesh]:
    """Surfaces of every kidney and lesion of the tables, in their order."""
    meshes = []
    for kidney in right_first(measurements.kidneys):
        if kidney.id in findings.kidneys:
            mask = _placed(scene, findings.kidneys[kidney.id])
            meshes.append(surface(mask, kidney_name(kidney), Label.KIDNEY, KIDNEY_CELLS))
    for lesion in largest(measurements.lesions, MOST_LESIONS):
        if lesion.id in findings.lesions:
            label = Label[str(lesion.kind).upper()]
            name = f"{short_name(lesion)} ({lesion.kind})"
            mask = _placed(scene, findings.lesions[lesion.id])
            meshes.append(surface(mask, name, label, LESION_CELLS))
    return [mesh for mesh in meshes if mesh is not None]


def _placed(scene: Scene, found: Found) -> Volume:
    """A mask with its place in the patient."""
    return scene.labels.cropped(found.box).like(found.mask, Kind.LABELS)


def packed(meshes: Sequence[Mesh]) -> dict[str, object]:
    """Meshes as numbers that fit into a page.

    Positions are 16-bit steps within the common box of all meshes (below 0.01 mm for kidneys).

    Returns
    -------
    dict
        ``center`` and ``size`` in mm (RAS+), and per mesh its name, class, color, opacity and
        base64 of little-endian uint16 positions and uint16 or uint32 triangles.
    """
    if not meshes:
        return {"meshes": []}
    low = np.min([mesh.vertices.min(axis=0) for mesh in meshes], axis=0).astype(np.float64)
    high = np.max([mesh.vertices.max(axis=0) for mesh in meshes], axis=0).astype(np.float64)
    step = float((high - low).max()) / 65535 or 1.0
    entries = []
    for mesh in meshes:
        steps = np.round((mesh.vertices - low) / step).astype("<u2")
        wide = len(mesh.vertices) > 65535
        entries.append(
            {
                "name": mesh.name,
                "kind": STYLES[mesh.label].name,
                "color": [channel / 255 for channel in STYLES[mesh.label].rgb],
                "opacity": KIDNEY_OPACITY if mesh.label is Label.KIDNEY else 1.0,
                "positions": base64.b64encode(steps.tobytes()).decode("ascii"),
                "triangles": base64.b64encode(
                    mesh.faces.astype("<u4" if wide else "<u2").tobytes()
                ).decode("ascii"),
                "wide": wide,
            }
        )
    return {"low": low.tolist(), "high": high.tolist(), "step": step, "meshes": entries}


def seen_from_front(meshes: Sequence[Mesh], size: tuple[int, int]) -> Image.Image:
    """The meshes seen from the front, kidneys translucent, as an RGB image.

    Parameters
    ----------
    meshes : sequence of Mesh
    size : (int, int)
        Width and height in pixels.

    Notes
    -----
    Painter's algorithm: triangles from back to front. The viewer stands in front of the patient,
    so the patient's right is on the viewer's left.
    """
    picture = Image.new("RGB", size, BACKGROUND)
    if meshes:
        frame = _frame(meshes, size)
        lesions = [mesh for mesh in meshes if mesh.label is not Label.KIDNEY]
        kidneys = [mesh for mesh in meshes if mesh.label is Label.KIDNEY]
        for group, opacity in ((lesions, 1.0), (kidneys, KIDNEY_OPACITY)):
            painted = averaged(_painted(group, size, frame))
            if painted is not None:
                layer, place = painted
                mask = layer.getchannel("A").point(lambda value, o=opacity: round(value * o))
                picture.paste(layer.convert("RGB"), place, mask)
    return picture


def still(solid: Image.Image, size: tuple[int, int]) -> Image.Image:
    """What is `seen_from_front`, fitted into a size, with the letters of the patient's sides."""
    picture = ImageOps.pad(solid, size, Image.Resampling.LANCZOS, BACKGROUND)
    pen = ImageDraw.Draw(picture)
    width, height = size
    for text, place, anchor in (
        ("R", (8, height / 2), "lm"),
        ("L", (width - 8, height / 2), "rm"),
        ("H", (width / 2, 6), "ma"),
        ("F", (width / 2, height - 6), "md"),
    ):
        pen.text(place, text, (255, 255, 255), font(15), anchor=anchor)
    return picture


def _frame(meshes: Sequence[Mesh], size: tuple[int, int]) -> tuple[NDArray[np.float64], float]:
    """Middle of all meshes in mm, and pixels per mm so that all fit with a margin."""
    points = np.concatenate([mesh.vertices for mesh in meshes]).astype(np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1.0)
    return (low + high) / 2, 0.82 * min(size[0] / extent[0], size[1] / extent[2])


def _painted(
    meshes: Sequence[Mesh], size: tuple[int, int], frame: tuple[NDArray[np.float64], float]
) -> Image.Image:
    """One opaque layer of shaded triangles, RGBA, `SHARPNESS` times as large."""
    middle, scale = frame
    layer = Image.new("RGBA", (size[0] * SHARPNESS, size[1] * SHARPNESS), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    triangles, colors, depths = [], [], []
    for mesh in meshes:
        # Viewer coordinates: right is the patient's left, up is the head, near is the front.
        seen = (mesh.vertices - middle) * np.array([-1.0, 1.0, 1.0])
        direction = normals(mesh) * np.array([-1.0, 1.0, 1.0])
        facing = direction[mesh.faces].mean(axis=1)[:, [0, 2, 1]]
        bright = 0.40 + 0.60 * np.clip(facing @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
        flat = np.stack(
            [size[0] / 2 + seen[:, 0] * scale, size[1] / 2 - seen[:, 2] * scale], axis=1
        )
        shown = facing[:, 2] > -0.05
        triangles.append((flat * SHARPNESS)[mesh.faces][shown])
        colors.append((bright[:, None] * np.asarray(STYLES[mesh.label].rgb))[shown])
        depths.append(seen[:, 1][mesh.faces].mean(axis=1)[shown])
    if triangles:
        order = np.argsort(np.concatenate(depths), kind="stable")
        # Lists at once: much faster than taking numbers out of arrays one by one.
        corners = np.concatenate(triangles)[order].reshape(-1, 6).tolist()
        shades = np.concatenate(colors)[order].astype(int).tolist()
        for corner, (red, green, blue) in zip(corners, shades, strict=True):
            pen.polygon(corner, (red, green, blue, 255))
    return layer
