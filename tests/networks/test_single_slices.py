"""A 3D network reads a slice that goes on unchanged along the body as a 2D network would."""

from __future__ import annotations

import pytest
import torch

from renalis.networks.unet import UNet


@pytest.mark.parametrize("stem", [1, 2])
def test_a_slice_is_read_like_the_middle_of_its_repetition(stem: int) -> None:
    torch.manual_seed(0)
    network = UNet(out_channels=4, channels=(4, 6, 8), stem=stem, pooled=True).train()
    slices = torch.randn(2, 1, 8 * network.multiple, 6 * network.multiple)
    # Far from the ends of a long stack nothing is left of the zero padding but its share in the
    # means of the normalization, which a longer stack makes smaller.
    errors = []
    for count in (8, 64):
        length = count * network.multiple
        stack = slices[:, :, None].expand(-1, -1, length, -1, -1)
        with torch.no_grad():
            middle = network(stack)[:, :, length // 2 : length // 2 + stem].mean(2)
            alone = network.forward_slices(slices)
        errors.append(float((middle - alone).abs().max()))
    assert errors[1] < 0.05
    assert errors[1] < errors[0] / 4


def test_learning_from_slices_reaches_every_weight() -> None:
    torch.manual_seed(0)
    network = UNet(out_channels=4, channels=(4, 6), stem=2)
    network.forward_slices(torch.randn(1, 1, 16, 16)).square().mean().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name
