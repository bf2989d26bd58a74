"""Networks of two grids are known by what they can do, whoever wrote them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from renalis.networks import Outputs, build
from renalis.networks.two_grids import CoarseHalf, FineHalf, two_grids


class Somebodys(nn.Module):
    """From another package: coarse kidneys where it is bright, fine ones where both are."""

    two_grids = True
    ratio = 2

    def forward_low(self, low_image: Tensor) -> Tensor:
        return torch.cat([-low_image, low_image], 1)

    def forward_fine(self, image: Tensor, low_image: Tensor) -> Outputs:
        return {"seg": image + low_image.mean()}


def test_a_network_from_elsewhere_has_two_halves() -> None:
    network = Somebodys()
    assert two_grids(network)
    fine, coarse = torch.ones(1, 1, 4, 4, 4), torch.full((1, 1, 2, 2, 2), 3.0)
    assert torch.equal(CoarseHalf(network)(coarse)["low"][:, 1:], coarse)
    assert torch.equal(FineHalf(network)(fine, coarse)["seg"], fine + 3)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "unet", "channels": [4, 8], "in_channels": 1, "out_channels": 2},
        {"name": "cascade3d", "base": 4, "low_base": 2, "levels": 2, "patch": 24,
         "multires": False},
    ],
)  # fmt: skip
def test_networks_of_one_grid_have_none(config: dict[str, object]) -> None:
    network = build(config)
    assert not two_grids(network)
    for half in (CoarseHalf, FineHalf):
        with pytest.raises(ValueError, match="one grid only"):
            half(network)


def test_the_fine_half_of_a_cascade_says_what_the_whole_says() -> None:
    torch.manual_seed(0)
    network = build({"name": "cascade3d", "base": 4, "low_base": 2, "levels": 2, "patch": 24})
    network.eval()
    assert two_grids(network)
    image, low = torch.randn(2, 1, 24, 24, 24), torch.randn(2, 1, 20, 20, 20)
    whole = network(image, low)
    torch.testing.assert_close(CoarseHalf(network)(low)["low"], whole["low"])
    fine = FineHalf(network)(image, low)
    assert set(fine) == {"seg", "cls"}
    torch.testing.assert_close(fine["seg"], whole["seg"])
    torch.testing.assert_close(fine["cls"], whole["cls"])
