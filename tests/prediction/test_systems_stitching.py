"""Slices, windows, two phases and three planes: every voxel is seen, once or averaged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from renalis.prediction.network_inputs import mean_network, torch_network
from renalis.prediction.padded_patches import cut
from renalis.prediction.slices import predict_slices
from renalis.prediction.sliding import slide
from renalis.prediction.strided_windows import predict_windows, strided_windows
from renalis.prediction.three_plane import predict_three_planes
from renalis.prediction.window_mean import WindowMean
from renalis.prediction.windows import gaussian

RNG = np.random.default_rng(3)


def two_classes(*inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The image is the probability of the second class."""
    return {"seg": np.concatenate([1 - inputs[0], inputs[0]], axis=1)}


def noting(seen: list[np.ndarray]) -> Callable[..., dict[str, np.ndarray]]:
    """`two_classes`, noting what it is shown."""

    def look(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(inputs[0].copy())
        return two_classes(*inputs)

    return look


@settings(max_examples=50, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 60)] * 3), data=st.data())
def test_strided_windows_leave_no_voxel_out(
    shape: tuple[int, int, int], data: st.DataObject
) -> None:
    sides = data.draw(st.tuples(*[st.integers(4, 25)] * 3))
    steps = tuple(data.draw(st.integers(n // 2, n)) for n in sides)
    windows = strided_windows(shape, sides, steps)
    seen = np.zeros(shape, bool)
    for start in windows:
        assert all(s == 0 or s + p <= n for s, p, n in zip(start, sides, shape, strict=True))
        seen[tuple(slice(s, s + p) for s, p in zip(start, sides, strict=True))] = True
    assert seen.all()
    assert len(set(windows)) == len(windows)


@pytest.mark.parametrize("weight", ["uniform", "gaussian"])
@settings(max_examples=25, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 13)] * 3), batch=st.integers(1, 4))
def test_an_identity_comes_back_through_windows(
    weight: str, shape: tuple[int, int, int], batch: int
) -> None:
    image = RNG.random(shape, np.float32)
    found = predict_windows(image, two_classes, (5, 6, 4), (3, 4, 4), batch=batch, weight=weight)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[1], image, atol=1e-6)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-6)


def test_windows_are_averaged_and_each_counts_alike() -> None:
    calls = iter(range(100))

    def numbered(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        return {"seg": np.full_like(inputs[0], next(calls))}

    found = predict_windows(np.zeros((1, 1, 7)), numbered, (1, 1, 4), (1, 1, 2))
    # Windows start at 0, 2 and 3.
    np.testing.assert_allclose(found[0, 0, 0], [0, 0, 0.5, 1, 1.5, 1.5, 2])


def test_windows_look_at_a_region_alone() -> None:
    image = RNG.uniform(0.1, 1, (4, 9, 12)).astype(np.float32)
    region = np.zeros(image.shape, bool)
    region[1:3, 2:5, 1:4] = True
    seen: list[np.ndarray] = []
    look = noting(seen)
    where = {"region": region, "outside": -7.0}
    found = predict_windows(image, look, (4, 4, 4), (2, 2, 2), **where)
    np.testing.assert_allclose(found[1], np.where(region, image, 0), atol=1e-6)
    np.testing.assert_allclose(found.sum(0), region, atol=1e-6)
    patches = np.concatenate(seen)[:, 0]
    assert all((patch != -7).any() for patch in patches)
    assert np.isin(patches[patches != -7], image[region]).all()
    with pytest.raises(ValueError, match="a region of"):
        predict_windows(image, look, (4, 4, 4), (2, 2, 2), region=region[:-1])
    none = predict_windows(image, two_classes, (4, 4, 4), (2, 2, 2), region=region & False)
    assert none.shape == (2, *image.shape)
    assert not none.any()


def test_beyond_the_image_is_the_fill_after_preparing() -> None:
    hu = np.array([[40, 60]], np.int16)
    patch = cut(hu, (-1, 0), (2, 3), -2.0, lambda part: part.astype(np.float32) / 20)
    assert patch.tolist() == [[-2, -2, -2], [2, 3, -2]]
    assert cut(hu, (5, 5), (1, 2), 7.0).tolist() == [[7, 7]]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("divisor", [1, 8])
def test_an_identity_comes_back_through_slices(axis: int, divisor: int) -> None:
    image = RNG.random((5, 11, 6), np.float32)
    sizes = []

    def look(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        sizes.append(inputs[0].shape[2:])
        return two_classes(*inputs)

    found = predict_slices(image, look, axis=axis, batch=3, divisor=divisor)
    np.testing.assert_array_equal(found[1], image)
    assert all(n % divisor == 0 for size in sizes for n in size)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_look_at_a_region_alone(axis: int) -> None:
    image = RNG.uniform(0.1, 1, (4, 5, 6)).astype(np.float32)
    region = np.zeros(image.shape, bool)
    region[1:3, 2:4, 1:3] = True
    seen: list[np.ndarray] = []
    look = noting(seen)
    found = predict_slices(image, look, axis=axis, divisor=8, fill=-7, region=region, outside=-7)
    np.testing.assert_array_equal(found[1], np.where(region, image, 0))
    np.testing.assert_allclose(found.sum(0), region, atol=1e-6)
    slices = np.concatenate(seen)
    assert len(slices) == 2
    np.testing.assert_array_equal(np.sort(slices[slices != -7]), np.sort(image[region]))
    with pytest.raises(ValueError, match="a region of"):
        predict_slices(image, look, region=region[:-1])
    none = predict_slices(image, two_classes, region=region & False)
    assert none.shape == (2, *image.shape)
    assert not none.any()


def test_three_planes_look_at_a_region_alone() -> None:
    image = RNG.uniform(0.1, 1, (4, 5, 6)).astype(np.float32)
    region = image > 0.5
    found = predict_three_planes(image, two_classes, region=region, outside=0.0)
    np.testing.assert_allclose(found[1], np.where(region, image, 0), atol=1e-6)
    np.testing.assert_allclose(found.sum(0), region, atol=1e-6)


def test_three_planes_agree_on_what_each_sees() -> None:
    image = RNG.random((6, 5, 7), np.float32)
    found = predict_three_planes(image, two_classes, divisor=4)
    np.testing.assert_allclose(found[1], image, atol=1e-6)

    def by_height(slices: np.ndarray) -> dict[str, np.ndarray]:
        """Sees which plane it is given: axial slices here are 5 high, the others 6."""
        return {"seg": np.full_like(slices, 0.2 if slices.shape[2] == 5 else 0.8)}

    mean = predict_three_planes(image, by_height)
    np.testing.assert_allclose(mean, (0.2 + 2 * 0.8) / 3, rtol=1e-6)


def test_a_mean_of_networks_is_the_mean_of_their_predictions() -> None:
    image = RNG.random((9, 8, 7), np.float32)

    def other(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        value = inputs[0] ** 2
        return {"seg": np.concatenate([1 - value, value], axis=1)}

    args = ((5, 5, 5), (3, 3, 3))
    alone = [predict_windows(image, network, *args) for network in (two_classes, other)]
    both = predict_windows(image, mean_network([two_classes, other]), *args)
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-6)


class Heads(nn.Module):
    """Two outputs and a dropout that must rest."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.drop = nn.Dropout(0.5)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        seg = self.drop(self.conv(image))
        return {"seg": seg, "cls": seg.mean((1, 2, 3))[:, None]}


def test_a_trained_module_gives_probabilities() -> None:
    module = Heads().train()
    network = torch_network(module, {"seg": "softmax", "cls": "sigmoid"})
    image = RNG.random((2, 1, 4, 4), np.float32)
    one, two = network(image), network(image)
    assert set(one) == {"seg", "cls"}
    np.testing.assert_array_equal(one["seg"], two["seg"])
    np.testing.assert_allclose(one["seg"].sum(1), 1, atol=1e-6)
    with torch.inference_mode():
        logits = module(torch.from_numpy(image))
    np.testing.assert_allclose(one["cls"], torch.sigmoid(logits["cls"]).numpy(), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(*[st.integers(8, 30)] * 3),
    side=st.sampled_from([6, 8]),
    seed=st.integers(0, 99),
)
def test_both_sliding_windows_are_one_to_the_bit(
    shape: tuple[int, int, int], side: int, seed: int
) -> None:
    image = np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
    patch, stride = (side,) * 3, (side // 2 + 1,) * 3

    def three(patches: np.ndarray) -> np.ndarray:
        return np.concatenate([patches, 0.3 - patches / 3, patches**2], axis=1)

    one = slide(image[None], three, patch, strided_windows(shape, patch, stride))
    other = predict_windows(
        image, lambda patches: {"seg": three(patches)}, patch, stride, weight="gaussian"
    )
    np.testing.assert_array_equal(one.probability, other)
    assert one.seen.all()


def test_a_mean_of_windows_is_weighted_and_ends_with_the_array() -> None:
    importance = gaussian((4, 4, 4))
    mean = WindowMean(1, (6, 4, 5), importance)
    mean.add((0, 0, 0), np.full((1, 4, 4, 4), 1.0, np.float32))
    mean.add((2, 0, 0), np.full((1, 4, 4, 4), 3.0, np.float32))
    assert not mean.seen[:, :, 4].any()  # no window lay there
    weights = importance[2:, 0, 0], importance[:2, 0, 0]
    expected = (weights[0] + 3 * weights[1]) / (weights[0] + weights[1])
    result = mean.mean()
    np.testing.assert_allclose(result[0, 2:4, 0, 0], expected, rtol=1e-6)
    assert (result[0, :2, :, :4] == 1).all()
    assert (result[0, 4:, :, :4] == 3).all()
    assert (result[0, :, :, 4] == 0).all()
    over = WindowMean(1, (3, 4, 4), importance)
    over.add((0, 0, 0), np.ones((1, 4, 4, 4), np.float32))
    assert over.mean().shape == (1, 3, 4, 4)
