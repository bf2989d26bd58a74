"""A model whose networks decide by HU alone, so that the right answer is known everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from helpers.points import points_near
from renalis.model import Model
from renalis.model_header import ModelHeader
from renalis.volume import Volume

WINDOW = (-200.0, 400.0)
FAT, KIDNEY, TUMOR, CYST = -100, 160, 250, 340


class ByHu(nn.Module):
    """Logits from the distance to each class's HU; pointwise, so windows cannot differ."""

    def forward(self, image: Tensor) -> Tensor:
        hu = image * 300 + 100
        centers = [FAT, KIDNEY, TUMOR, CYST]
        return torch.cat([-(((hu - c) / 20) ** 2) for c in centers], 1).clamp_min(-60)


class StubModel(Model):
    """A model that builds `ByHu` for each stage."""

    def network(self, stage: str) -> nn.Module:
        return ByHu().eval()


def stub_model(patch: tuple[int, int, int] = (24, 24, 24)) -> StubModel:
    network = {"name": "unet", "channels": [4, 8]}
    header = ModelHeader.model_validate(
        {
            "name": "by-hu",
            "version": "1",
            "created": "2026-01-01",
            "stages": [
                {"name": name, "spacing_mm": [mm] * 3, "patch": patch, "window_hu": WINDOW,
                 "network": network}
                for name, mm in (("coarse", 4), ("fine", 2))
            ],
            "licence": "Apache-2.0",
            "commercial_use": True,
            "data_credit": "nobody",
        }
    )  # fmt: skip
    return StubModel(header, {}, Path("stub"))


def phantom(
    spacing: tuple[float, float, float] = (3.0, 1.7, 1.9),
    size_mm: tuple[float, float, float] = (220.0, 240.0, 330.0),
    tilt: float = 0.0,
    turn: NDArray[np.float64] | None = None,
) -> Volume:
    """Two unequal kidneys in fat, in orientation SPL; the patient's right one has a tumor.

    ``tilt`` turns the scan's axes (radians) without turning the patient; ``turn`` (3, 3) is put
    in front of the axes instead, and may shear them.
    """
    shape = tuple(round(length / mm) for length, mm in zip(size_mm, spacing, strict=True))
    if turn is None:
        turn = np.array(
            [[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1.0]]
        )
    axes = turn @ np.array([[0, 0, -1.0], [0, -1, 0], [1, 0, 0]]) * spacing
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = -axes @ ((np.asarray(shape) - 1) / 2)
    volume = Volume(np.full(shape, FAT, np.int16), affine)

    def paint(center: tuple[float, ...], radius: tuple[float, ...], hu: int) -> None:
        box, points = points_near(volume, center, radius)
        inside = (((points - center) / radius) ** 2).sum(-1) < 1
        volume.array[box][inside] = hu

    paint((-75, -20, 10), (24, 26, 50), KIDNEY)  # patient's left: x is negative in RAS+
    paint((80, -15, -5), (27, 24, 42), KIDNEY)
    paint((88, -5, 20), (18, 18, 18), TUMOR)
    paint((-80, -30, -25), (12, 12, 12), CYST)
    return volume


def half_phantom(spacing: tuple[float, float, float]) -> Volume:
    """The half with the patient's right kidney and its tumor: less to predict, measure and draw."""
    both = phantom(spacing)
    return both.cropped((slice(None), slice(None), slice(both.shape[2] // 2)))
