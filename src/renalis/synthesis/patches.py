"""Endless training patches from a pool of tissue maps.

Sample number ``i`` of a stream follows from the seed and ``i`` alone: a training that was killed
goes on with the very patches it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from renalis.synthesis.appearance import PHASE_SHARE, draw_appearance, mottled, render
from renalis.synthesis.patch_additions import (
    paint_large_mass,
    paint_more_lesions,
    paint_new_inside,
    paint_wide_pelvis,
)
from renalis.synthesis.random_fields import Array
from renalis.synthesis.scanner import acquire, draw_scanner
from renalis.synthesis.shoulders import paint_shoulders
from renalis.synthesis.tissues import LABEL_OF_TISSUE, Tissue

__all__ = [
    "Body",
    "PatchPlan",
    "draw_patch",
    "load_body",
    "save_body",
    "windowed",
]

_NOISE_LEFT = (0.6, 1.2)
"""Share of a scan's noise that is left on a network's grid; small voxels are interpolated between
or averaged there, large ones hardly. Muscle in real slices interpolated to 1.5 mm has a noise of 9
to 19 HU."""


@dataclass(frozen=True)
class Body:
    """A tissue map on disk, read where needed, and places in it worth looking at.

    ``tissue`` (Z, Y, X) uint8; ``spacing`` in mm; ``renal`` and ``lesion`` (N, 3) voxel indices.
    """

    tissue: NDArray[np.uint8]
    spacing: float
    renal: NDArray[np.int16]
    lesion: NDArray[np.int16]


@dataclass(frozen=True)
class PatchPlan:
    """Where patches come from and how they are bent.

    Attributes
    ----------
    patch : tuple of int
        Size along Z, Y, X in voxels of the network's grid.
    reduction : int
        Voxels of the tissue map per voxel of the network's grid along each axis.
    window_hu : tuple of float
        HU mapped to -1 and 1; beyond is clipped.
    near : float
        Share of patches with a renal voxel near their center.
    lesion : float
        Share of those centered at a lesion, if there is one.
    jitter : float
        How far, in patch sizes, the center may lie from that voxel.
    flip : float
        Probability of a flip along each axis.
    added_lesions : float
        Share of patches whose kidneys get further lesions, in `draw_patch`.
    large_mass : float
        Share of patches in which a large cyst or tumor grows out of a kidney, in `draw_patch`.
    wide_pelvis : float
        Share of patches in which the renal pelvis bulges out of the sinus, in `draw_patch`.
    new_inside : float
        Share of patches whose cortex, medulla and sinus are drawn anew, in `draw_patch`.
    mottled : float
        Share of patches in which the parenchyma is as uneven as a tumor, in `draw_patch`.
    shoulders : float
        Share of patches that get humeral heads where they show the chest, in `draw_patch`.
    other_patches : tuple of tuple of int
        Sizes that every second patch is drawn from instead, in `draw_patch`: what instance
        normalization takes from a window depends on its shape, and should not be relied on.
    phases : tuple of float, optional
        Shares of the contrast phases, in the order of `Phase`, in `draw_patch`; default: those of
        `draw_appearance`.
    """

    patch: tuple[int, int, int]
    reduction: int
    window_hu: tuple[float, float]
    near: float = 0.75
    lesion: float = 0.35
    jitter: float = 0.4
    flip: float = 0.0
    added_lesions: float = 0.0
    large_mass: float = 0.0
    wide_pelvis: float = 0.0
    new_inside: float = 0.0
    mottled: float = 0.0
    shoulders: float = 0.0
    other_patches: tuple[tuple[int, int, int], ...] = ()
    phases: tuple[float, ...] | None = None


def save_body(path: Path, tissue: NDArray[np.uint8], spacing: float, seed: int) -> None:
    """Store a tissue map for training; appears whole or not at all."""
    rng = np.random.default_rng(seed)
    label = LABEL_OF_TISSUE[tissue]
    places = []
    for mask in (label > 0, label > 1):
        index = np.argwhere(mask).astype(np.int16)
        keep = rng.permutation(len(index))[:2000]
        places.append(index[keep])
    sizes = np.array([len(p) for p in places], np.int64)
    extra = np.concatenate([*places, np.zeros((0, 3), np.int16)])
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, np.array([spacing, *sizes], np.float64), allow_pickle=False)
        np.save(file, extra, allow_pickle=False)
        np.save(file, tissue, allow_pickle=False)
    partial.replace(path)


def load_body(path: Path) -> Body:
    """Open a stored tissue map without reading its voxels."""
    with path.open("rb") as file:
        head = np.load(file, allow_pickle=False)
        places = np.load(file, allow_pickle=False)
        version = np.lib.format.read_magic(file)
        assert version == (1, 0)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        tissue = np.memmap(path, dtype, "r", offset=file.tell(), shape=shape)
    count = int(head[1])
    return Body(tissue, float(head[0]), places[:count], places[count:])


def draw_patch(
    bodies: list[Body], plan: PatchPlan, rng: np.random.Generator
) -> tuple[Array, NDArray[np.uint8]]:
    """One training example.

    Parameters
    ----------
    bodies : list of Body
        The pool.
    plan : PatchPlan
        Size, window and balance.
    rng : Generator
        Source of everything random in the example.

    Returns
    -------
    image : ndarray, shape plan.patch or one of plan.other_patches, float32
        Windowed CT, -1 to 1.
    label : ndarray, same shape, uint8
        KiTS23 labels.
    """
    body = bodies[int(rng.integers(len(bodies)))]
    if plan.other_patches and rng.random() < 0.5:
        shape = plan.other_patches[int(rng.integers(len(plan.other_patches)))]
        plan = replace(plan, patch=shape)
    tissue = _region(body, plan, rng)
    if plan.new_inside and rng.random() < plan.new_inside:
        paint_new_inside(tissue, rng, body.spacing)
    if plan.added_lesions and rng.random() < plan.added_lesions:
        paint_more_lesions(tissue, rng, body.spacing)
    if plan.large_mass and rng.random() < plan.large_mass:
        paint_large_mass(tissue, rng, body.spacing)
    if plan.wide_pelvis and rng.random() < plan.wide_pelvis:
        paint_wide_pelvis(tissue, rng, body.spacing)
    if plan.shoulders and rng.random() < plan.shoulders:
        paint_shoulders(tissue, rng, body.spacing)
    appearance = draw_appearance(rng, shares=plan.phases or PHASE_SHARE)
    if plan.mottled and rng.random() < plan.mottled:
        appearance = mottled(appearance, rng)
    scanner = draw_scanner(rng)
    left = float(np.exp(rng.uniform(*np.log(_NOISE_LEFT))))
    scanner = replace(scanner, noise_hu=scanner.noise_hu * left)
    spacing = body.spacing * plan.reduction
    image = render(tissue, appearance, rng, body.spacing, plan.reduction)
    label = LABEL_OF_TISSUE[tissue]
    if plan.reduction > 1:
        label = _reduced_label(label, plan.reduction)
    image = acquire(image, scanner, rng, spacing)
    if rng.random() < 0.08:
        _cut_field_of_view(image, label, rng)
    return windowed(image, plan.window_hu), label


def windowed(image: Array, window_hu: tuple[float, float]) -> Array:
    """HU clipped to the window and scaled to -1 to 1."""
    low, high = window_hu
    result = np.clip(image, low, high)
    result -= np.float32(0.5 * (low + high))
    result *= np.float32(2 / (high - low))
    return result


def _region(body: Body, plan: PatchPlan, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut a bent piece out of the body's tissue map."""
    z, y, x = (n * plan.reduction for n in plan.patch)
    cut = _bent(body.tissue, _center(body, plan, (z, y, x), rng), (z, y, x), rng)
    if plan.flip:
        axes = tuple(int(axis) for axis in np.flatnonzero(rng.random(3) < plan.flip))
        cut = np.ascontiguousarray(np.flip(cut, axes))
    return cut


def _center(
    body: Body, plan: PatchPlan, shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    size = np.asarray(body.tissue.shape)
    if rng.random() < plan.near and len(body.renal):
        places = body.lesion if len(body.lesion) and rng.random() < plan.lesion else body.renal
        center = places[rng.integers(len(places))].astype(float)
        return np.asarray(center + rng.uniform(-1, 1, 3) * plan.jitter * np.asarray(shape))
    # Anywhere in the body, in-plane not too far from the middle.
    return np.asarray(size * rng.uniform([0.05, 0.25, 0.15], [0.95, 0.75, 0.85]))


def _bent(
    tissue: NDArray[np.uint8],
    center: NDArray[np.float64],
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Sample the tissue map through a random rotation, scaling and elastic deformation."""
    angles = rng.normal(0, [0.08, 0.06, 0.06])
    size = np.exp(rng.normal(0, 0.09))
    scale = size * np.exp(rng.normal(0, 0.05, 3))
    cz, sz = np.cos(angles[0]), np.sin(angles[0])
    cy, sy = np.cos(angles[1]), np.sin(angles[1])
    cx, sx = np.cos(angles[2]), np.sin(angles[2])
    matrix = (
        np.array([[1, 0, 0], [0, cz, -sz], [0, sz, cz]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[cx, -sx, 0], [sx, cx, 0], [0, 0, 1]])
    ) * scale
    knots = [max(3, round(n / 14) + 1) for n in shape]
    bend = rng.standard_normal((1, 3, *knots), dtype=np.float32) * np.float32(rng.uniform(0.3, 1.8))
    moved = functional.interpolate(
        torch.from_numpy(bend), size=shape, mode="trilinear", align_corners=True
    )[0]
    lines = [np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in shape]
    flat = torch.zeros(shape, dtype=torch.int64)
    outside = torch.zeros(shape, dtype=torch.bool)
    for axis, length in enumerate(tissue.shape):
        parts = [
            torch.from_numpy((matrix[axis, other] * lines[other]).astype(np.float32)).reshape(
                [-1 if i == other else 1 for i in range(3)]
            )
            for other in range(3)
        ]
        place = moved[axis]
        place += parts[0] + parts[1] + parts[2] + float(center[axis])
        place = place.round_().long()
        if axis:  # lateral to the body is air; above and below the scan, the last slice goes on
            outside |= (place < 0) | (place >= length)
        flat *= length
        flat += place.clamp_(0, length - 1)
    cut = np.asarray(tissue).reshape(-1)[flat.numpy()]
    cut[outside.numpy()] = Tissue.AIR
    return np.asarray(cut)


def _reduced_label(labels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The commonest renal label of blocks of which at least half is renal."""
    label = torch.from_numpy(labels)
    shares = torch.stack(
        [
            functional.avg_pool3d((label == value)[None, None].float(), factor)[0, 0]
            for value in range(1, 4)
        ]
    )
    which = shares.argmax(0)
    renal = shares.sum(0) >= 0.5
    return np.asarray(torch.where(renal, which + 1, 0).to(torch.uint8).numpy())


def _cut_field_of_view(image: Array, label: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Replace one side by air, as beyond the scanner's field of view or the scan's border."""
    axis = int(rng.integers(3))
    cut = int(image.shape[axis] * rng.uniform(0.05, 0.35))
    side = slice(0, cut) if rng.random() < 0.5 else slice(image.shape[axis] - cut, None)
    index = tuple(side if a == axis else slice(None) for a in range(3))
    image[index] = -1000
    label[index] = 0
