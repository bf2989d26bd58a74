"""ResNet34 U-Net with its ImageNet weights, simple U-Net and QuickNAT."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from renalis.errors import InputError
from renalis.networks import QuickNat, ResNet34UNet, SimpleUNet, load_imagenet_encoder
from renalis.networks.pretrained import adapt_channels
from renalis.networks.quicknat import SqueezeExcitation


def torchvision_weights(base: int = 64) -> dict[str, Tensor]:
    """Random weights with the names and shapes of torchvision's ``resnet34``, classifier too."""
    weights: dict[str, Tensor] = {}

    def normalization(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean"):
            weights[f"{name}.{part}"] = torch.randn(channels) * 0.1 + (part == "weight")
        weights[f"{name}.running_var"] = torch.rand(channels) + 0.5
        weights[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def convolution(name: str, outputs: int, inputs: int, kernel: int) -> None:
        scale = (2 / (inputs * kernel**2)) ** 0.5
        weights[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * scale

    convolution("conv1", base, 3, 7)
    normalization("bn1", base)
    before = base
    for layer, (width, count) in enumerate(
        zip((base, 2 * base, 4 * base, 8 * base), (3, 4, 6, 3), strict=True), start=1
    ):
        for block in range(count):
            name = f"layer{layer}.{block}"
            convolution(f"{name}.conv1", width, before, 3)
            normalization(f"{name}.bn1", width)
            convolution(f"{name}.conv2", width, width, 3)
            normalization(f"{name}.bn2", width)
            if before != width:
                convolution(f"{name}.downsample.0", width, before, 1)
                normalization(f"{name}.downsample.1", width)
            before = width
    weights["fc.weight"] = torch.randn(1000, before)
    weights["fc.bias"] = torch.randn(1000)
    return weights


def resnet34(image: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """ResNet34 up to its last convolution, written from the publication's table 1, float64."""
    weights = {name: value.double() for name, value in weights.items()}

    def convolve(name: str, features: Tensor, stride: int, norm: str) -> Tensor:
        kernel = weights[f"{name}.weight"]
        features = functional.conv2d(features, kernel, None, stride, kernel.shape[-1] // 2)
        mean, var = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        scale = weights[f"{norm}.weight"] / torch.sqrt(var + 1e-5)
        shift = weights[f"{norm}.bias"] - mean * scale
        return features * scale[:, None, None] + shift[:, None, None]

    features = convolve("conv1", image, 2, "bn1").clamp(min=0)
    features = functional.max_pool2d(features, 3, 2, 1)
    for layer, count in enumerate((3, 4, 6, 3), start=1):
        for block in range(count):
            name = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            inner = convolve(f"{name}.conv1", features, stride, f"{name}.bn1").clamp(min=0)
            inner = convolve(f"{name}.conv2", inner, 1, f"{name}.bn2")
            if stride == 2:
                down = f"{name}.downsample"
                features = convolve(f"{down}.0", features, 2, f"{down}.1")
            features = (inner + features).clamp(min=0)
    return features


@pytest.fixture
def imagenet(tmp_path: Path) -> tuple[Path, dict[str, Tensor]]:
    torch.manual_seed(0)
    weights = torchvision_weights(base=8)
    save_file(weights, tmp_path / "resnet34.safetensors")
    return tmp_path / "resnet34.safetensors", weights


def test_the_encoder_has_torchvisions_names_and_shapes() -> None:
    with torch.device("meta"):
        expected = {name: value.shape for name, value in torchvision_weights().items()}
        found = {n: v.shape for n, v in ResNet34UNet(3).encoder.state_dict().items()}
    assert {name: shape for name, shape in expected.items() if "fc." not in name} == found


def test_imagenet_weights_make_the_same_features(imagenet: tuple[Path, dict[str, Tensor]]) -> None:
    path, weights = imagenet
    network = ResNet34UNet(3, base=8).eval()
    load_imagenet_encoder(network.encoder, path)
    image = torch.randn(2, 3, 64, 96).double()
    with torch.no_grad():
        found = network.double().encoder(image)[-1]
    torch.testing.assert_close(found, resnet34(image, weights))


def test_a_gray_image_gives_what_three_equal_channels_gave(
    imagenet: tuple[Path, dict[str, Tensor]],
) -> None:
    path, weights = imagenet
    network = ResNet34UNet(1, base=8).eval()
    load_imagenet_encoder(network.encoder, path)
    image = torch.randn(2, 1, 64, 64).double()
    expected = resnet34(image.expand(-1, 3, -1, -1), weights)
    with torch.no_grad():
        found = network.double().encoder(image)[-1]
    # The three channels were added in float32.
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_equal_channels_keep_the_brightness(channels: int) -> None:
    weight = torch.randn(4, 3, 7, 7)
    adapted = adapt_channels(weight, channels)
    assert adapted.shape == (4, channels, 7, 7)
    if channels in {1, 3}:
        torch.testing.assert_close(adapted.sum(dim=1), weight.sum(dim=1))
    if channels == 5:
        torch.testing.assert_close(adapted[:, 3] * 5 / 3, weight[:, 0])


def test_weights_that_do_not_fit_change_nothing(
    imagenet: tuple[Path, dict[str, Tensor]], tmp_path: Path
) -> None:
    path, weights = imagenet
    encoder = ResNet34UNet(1, base=8).encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}

    def refused(changed: dict[str, Tensor], why: str) -> None:
        save_file(changed, tmp_path / "other.safetensors")
        with pytest.raises(InputError, match=why):
            load_imagenet_encoder(encoder, tmp_path / "other.safetensors")

    missing = {name: value for name, value in weights.items() if name != "layer4.2.bn2.weight"}
    refused(missing, r"holds no layer4\.2\.bn2\.weight")
    refused({**weights, "bn1.bias": torch.zeros(9)}, r"bn1\.bias .* \(9,\) instead of \(8,\)")
    broken = {**weights, "bn1.bias": torch.full((8,), torch.nan)}
    refused(broken, r"bn1\.bias .* not finite")
    refused({**weights, "conv1.weight": torch.zeros(8, 4, 7, 7)}, r"conv1\.weight .* shape")
    with pytest.raises(InputError, match="shape"):
        load_imagenet_encoder(ResNet34UNet(1, base=16).encoder, path)
    with pytest.raises(InputError, match="cannot be read"):
        load_imagenet_encoder(encoder, tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    with pytest.raises(InputError, match="cannot be read"):
        load_imagenet_encoder(encoder, tmp_path / "text.safetensors")
    after = encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_files_of_old_versions_lack_the_batch_counts(
    imagenet: tuple[Path, dict[str, Tensor]], tmp_path: Path
) -> None:
    old = {name: value for name, value in imagenet[1].items() if "num_batches" not in name}
    save_file(old, tmp_path / "old.safetensors")
    encoder = ResNet34UNet(3, base=8).encoder
    load_imagenet_encoder(encoder, tmp_path / "old.safetensors")
    assert torch.equal(encoder.layer4[2].bn2.weight, old["layer4.2.bn2.weight"])


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save(Malicious(), tmp_path / "resnet34.pth")
    torch.save(Malicious(), tmp_path / "renamed.safetensors")
    for name in ("resnet34.pth", "renamed.safetensors"):
        with pytest.raises(InputError, match=r"is a pickle.*convert it once|cannot be read"):
            load_imagenet_encoder(ResNet34UNet(base=8).encoder, tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_the_larger_excitation_wins() -> None:
    torch.manual_seed(0)
    block = SqueezeExcitation(4)
    features = torch.randn(2, 4, 5, 6)
    inner = (features.mean((2, 3)) @ block.squeeze.weight.T + block.squeeze.bias).clamp(min=0)
    channel = torch.sigmoid(inner @ block.excite.weight.T + block.excite.bias)
    place = torch.sigmoid(
        torch.einsum("ncyx,c->nyx", features, block.spatial.weight[0, :, 0, 0]) + block.spatial.bias
    )
    by_channel = features * channel[:, :, None, None]
    by_place = features * place[:, None]
    expected = torch.where(by_channel > by_place, by_channel, by_place)
    torch.testing.assert_close(block(features), expected)
    assert 0 < (by_channel > by_place).float().mean() < 1


@pytest.mark.parametrize("shape", [(16, 16), (37, 50), (31, 63)])
def test_quicknat_takes_any_size(shape: tuple[int, int]) -> None:
    network = QuickNat(filters=4, kernel=3).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, *shape))["seg"].shape == (1, 1, *shape)


def test_the_bottlenecks_excitation_is_kept_but_not_used() -> None:
    torch.manual_seed(0)
    unused = QuickNat(filters=4, kernel=3).eval()
    applied = QuickNat(filters=4, kernel=3, bottleneck_excitation="applied").eval()
    applied.load_state_dict(unused.state_dict())
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        before, other = unused(image)["seg"], applied(image)["seg"]
        assert unused.bottleneck_excitation is not None
        unused.bottleneck_excitation.excite.bias += 5
        assert torch.equal(unused(image)["seg"], before)
        assert not torch.allclose(other, before)


def test_quicknat_activations() -> None:
    names = [name for name, _ in QuickNat(filters=4).named_parameters() if "activation" in name]
    assert len(names) == 9  # one PReLU a block, shared by its three activations
    relu = QuickNat(filters=4, activation="relu")
    assert not [name for name, _ in relu.named_parameters() if "activation" in name]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        ResNet34UNet(base=8)(torch.zeros(1, 1, 64, 48))
    with pytest.raises(ValueError, match="base"):
        ResNet34UNet(base=6)
    with pytest.raises(ValueError, match="multiples of 16"):
        SimpleUNet(base=2)(torch.zeros(1, 1, 40, 32))
    with pytest.raises(ValueError, match="levels"):
        SimpleUNet(levels=1)
    with pytest.raises(ValueError, match="at least 16"):
        QuickNat(filters=4)(torch.zeros(1, 1, 15, 32))
    with pytest.raises(ValueError, match="activation"):
        QuickNat(activation="gelu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bottleneck_excitation"):
        QuickNat(bottleneck_excitation="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="kernel"):
        QuickNat(kernel=4)
