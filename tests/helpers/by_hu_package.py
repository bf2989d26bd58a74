"""A model file that decides by HU alone, for programs that open models by their names.

Its network comes from a package, as anybody's may: `install_by_hu` puts it into a folder that has
to be on the path of the program.
"""

from __future__ import annotations

import sys
from pathlib import Path

from helpers.packages import install
from helpers.stub import CYST, FAT, KIDNEY, TUMOR, WINDOW
from renalis.model import save_model
from renalis.model_header import ModelHeader
from renalis.networks import build
from renalis.plugins import Need

__all__ = ["by_hu_model"]

_CODE = f'''
from typing import Literal
import torch
from renalis.networks import register
from renalis.recipes import NetworkOptions
from torch import nn

class Options(NetworkOptions):
    name: Literal["by_hu"]

@register("by_hu", options=Options)
class ByHu(nn.Module):
    """Logits from the distance to each class's HU; pointwise, so windows cannot differ."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        centers = torch.tensor([{FAT}.0, {KIDNEY}, {TUMOR}, {CYST}])
        self.centers = nn.Parameter(centers.reshape(1, 4, 1, 1, 1), requires_grad=False)

    multiple = 1

    def forward(self, image):
        #first
        return -(((image * 300 + 100 - self.centers) / 20) ** 2).clamp_max(60)
'''


def by_hu_model(folder: Path, first: str = "") -> tuple[Path, Path]:
    """The model's file, and the folder of the package that it needs, both below ``folder``.

    The package can be imported from now on, here as well. ``first`` is a statement that its network
    begins with.
    """
    site = folder / "site"
    site.mkdir(parents=True)
    points = {"renalis.networks": {"by_hu": "by_hu:ByHu"}}
    install(site, "by-hu", "1.0", {"by_hu": _CODE.replace("#first", first)}, points)
    if str(site) not in sys.path:
        sys.path.insert(0, str(site))
    network = {"name": "by_hu", "in_channels": 1, "out_channels": 4}
    header = ModelHeader.model_validate(
        {
            "name": "by-hu",
            "version": "1",
            "created": "2026-01-01",
            "stages": [
                {"name": name, "spacing_mm": [mm] * 3, "patch": [24, 24, 24], "window_hu": WINDOW,
                 "network": network}
                for name, mm in (("coarse", 6), ("fine", 3))
            ],
            "licence": "Apache-2.0",
            "commercial_use": True,
            "data_credit": "nobody",
            "needs": [Need(kind="network", name="by_hu", package="by-hu", version="1.0")],
        }
    )  # fmt: skip
    networks = {name: build(network) for name in ("coarse", "fine")}
    return save_model(folder / "by-hu.safetensors", header, networks), site
