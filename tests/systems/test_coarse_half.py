"""How much of the coarse network a fine tile needs when a cascade predicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from renalis.networks import Cascade3d
from renalis.networks.two_grids import FineHalf
from renalis.prediction.tiles import Pairing
from renalis.preparation import prepare_case
from renalis.recipes import load_system
from renalis.systems import inference
from renalis.systems.recipe_cases import grid_specs
from renalis.volume import Volume

AFFINE = np.array([[0, 0, -2, 0], [0, -2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1.0]])


def cascade(**options: object) -> Cascade3d:
    """With batch statistics that are not those of the start."""
    torch.manual_seed(0)
    network = Cascade3d(base=2, low_base=2, levels=2, classify=False, **options)
    network(torch.randn(2, 1, 36, 36, 36), torch.randn(2, 1, 36, 36, 36))
    return network.eval()


def test_fine_tiles_compute_less_of_the_coarse_network_and_give_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = (
        "network={name: cascade3d, in_channels: 1, out_channels: 3, base: 2, low_base: 2,"
        " levels: 2, mask_input: skip_branch, patch: 36, classify: false, dropout: 0.0,"
        " norm: batch}",
        "prediction.tile=36",
        "prediction.output=20",
        "prediction.gate=null",
    )
    stage = load_system("multires3d", changes, tiny=True).all_stages()[0]
    specs = grid_specs(stage)
    hu = np.random.default_rng(0).normal(60, 80, (60, 100, 100)).astype(np.int16)
    case = prepare_case(Volume(hu, AFFINE), None, list(specs.values()))
    network = cascade()
    assert network.low is not None
    seen: list[int] = []
    network.low.encoder[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].numel()))
    fast = inference.predict_stage(stage, [network], case, specs)
    computed, seen[:] = list(seen), []
    monkeypatch.setattr(inference, "FineHalf", lambda whole: whole)
    slow = inference.predict_stage(stage, [network], case, specs)
    np.testing.assert_allclose(fast.probability, slow.probability, atol=1e-6)
    assert slow.probability.std() > 0.01
    # The coarse pass itself is as it was; then each tile sees 24 coarse voxels in place of 36.
    tiles = seen.count(36**3) - computed.count(36**3)
    assert tiles == computed.count(24**3) > 5
    assert len(computed) == len(seen)


@pytest.mark.parametrize(
    ("options", "sides", "kept"),
    [
        ({}, (36, 48, 60), (24, 28, 32)),
        ({"mask_input": "concat"}, (36, 48, 60), (36, 48, 60)),
        ({"norm": "group"}, (36, 48, 60), (36, 48, 60)),
    ],
)
def test_what_is_left_out_changes_nothing(
    options: dict[str, object], sides: tuple[int, int, int], kept: tuple[int, int, int]
) -> None:
    network = cascade(**options)
    assert network.low_sides(sides, sides) == kept
    assert network.train().low_sides(sides, sides) == sides
    network.eval()
    image, low_image = torch.randn(1, 1, *sides), torch.randn(1, 1, *sides)
    half: nn.Module = FineHalf(network)
    with torch.no_grad():
        torch.testing.assert_close(
            half(image, low_image)["seg"], network(image, low_image)["seg"], rtol=1e-4, atol=1e-5
        )


def test_at_the_published_sizes_all_of_the_coarse_patch_counts() -> None:
    network = Cascade3d(base=1, low_base=1, classify=False).eval()
    assert network.low_sides((108,) * 3, (108,) * 3) == (108,) * 3
    # Larger tiles share more: these give 100 voxels a side.
    assert network.low_sides((188,) * 3, (188,) * 3) == (124,) * 3


def test_no_coarse_tile_has_the_answer_that_a_published_fine_tile_needs() -> None:
    """Why a fine tile asks the coarse network again: poolings lie differently."""
    tile, margin, step, ratio = 20, 44, 8, 4
    needed = 8  # those under the 28 fine voxels that the branch sees
    pairing = Pairing(ratio)
    first = pairing.first_block(tile)[0]
    for number in range(200):
        begin = pairing.coarse_start((first + tile * number,) * 3, tile, margin)[0] + margin
        window = begin + (tile - needed) // 2
        for start in range(0, 2000, tile):
            inside = start <= window and window + needed <= start + tile
            assert not (inside and (begin - start) % step == 0)
