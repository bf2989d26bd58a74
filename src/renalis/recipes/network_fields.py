"""Parts of a recipe that say which network: one typed model per registered network.

``config()`` gives what ``renalis.networks.build`` takes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from renalis.plugins import NETWORKS
from renalis.recipes.by_name import ByName
from renalis.recipes.fields import Frozen, Positive, Share

__all__ = [
    "Cascade3d",
    "Network",
    "NetworkOptions",
    "QuickNat",
    "ResNet34UNet",
    "SimpleUNet",
    "UNet",
    "UNet3d",
]


class NetworkOptions(Frozen):
    """What every network's fields begin with; those of other packages too."""

    name: str
    in_channels: Literal[1] = 1
    out_channels: PositiveInt

    def config(self) -> dict[str, Any]:
        """The network's name and numbers, for ``renalis.networks.build``."""
        return self.model_dump(mode="python")


class ResNet34UNet(NetworkOptions):
    """R1: the layout of ``segmentation_models_pytorch.Unet("resnet34")``; ``base`` 64 is ResNet34.

    ``init_weights`` is the path of a torchvision ``resnet34`` state dict as safetensors.
    """

    name: Literal["resnet34_unet"]
    out_channels: PositiveInt
    base: PositiveInt
    init_weights: str | None = None

    def config(self) -> dict[str, Any]:
        """Name and numbers; weights are loaded by whoever trains."""
        return self.model_dump(mode="python", exclude={"init_weights"})


class SimpleUNet(NetworkOptions):
    """R1's baseline; ``base`` channels at full resolution, doubled at every further level."""

    name: Literal["simple_unet"]
    out_channels: PositiveInt
    base: PositiveInt
    levels: PositiveInt


class QuickNat(NetworkOptions):
    """R2; ``bottleneck_excitation: unused`` keeps weights that the published code never calls."""

    name: Literal["quicknat"]
    out_channels: PositiveInt
    filters: PositiveInt
    kernel: PositiveInt
    dropout: Share
    activation: Literal["prelu", "relu"] = "prelu"
    bottleneck_excitation: Literal["unused", "applied", "none"] = "unused"


class UNet3d(NetworkOptions):
    """R3; ``base`` channels doubled at every level up to ``max_channels``.

    ``share_repeats`` applies the weights of a level's repeated blocks again and again, as the
    published code does; otherwise each repeat has its own.
    """

    name: Literal["unet3d"]
    out_channels: PositiveInt
    variant: Literal["plain", "residual", "preact"]
    base: PositiveInt
    max_channels: PositiveInt
    levels: PositiveInt
    share_repeats: bool = True
    deep_supervision: NonNegativeInt = 0
    attention: bool = False


class UNet(NetworkOptions):
    """The shipped model's; see ``renalis.networks.unet.UNet``.

    ``channels`` at each level, finest first. ``stem``: voxels along each side that one voxel of the
    finest level stands for. ``pooled``: windows of a scan are normalized together in prediction.
    """

    name: Literal["unet"]
    out_channels: PositiveInt
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=8)]
    stem: PositiveInt = 1
    pooled: bool = False


class Cascade3d(NetworkOptions):
    """R4 and R5: a low- and a high-resolution 3D U-Net of valid convolutions, trained as one.

    Parameters
    ----------
    base, low_base : int
        First filters of the two U-Nets.
    patch : int
        Side of the input in voxels; the classifier's size follows from it.
    multires : bool
        False leaves the low-resolution network out.
    mask_input : str
        How the fine network sees the masked patch: ``skip_branch`` or ``concat`` (second channel).
    classify : bool
        Whether the head that says "tumor in this patch" is there.
    last_fc : int
        Width of its layer that the tumor volume joins.
    volume_scale : float
        The tumor volume in voxels is divided by this.
    ratio : int
        Fine voxels per coarse voxel.
    dropout : float
        Chance of the spatial dropout after the blocks of the bottom and the decoder.
    """

    name: Literal["cascade3d"]
    out_channels: PositiveInt
    base: PositiveInt
    low_base: PositiveInt
    levels: PositiveInt
    patch: PositiveInt
    multires: bool = True
    mask_input: Literal["skip_branch", "concat"] = "skip_branch"
    classify: bool
    last_fc: PositiveInt = 256
    volume_scale: Positive = 8000.0
    ratio: PositiveInt = 4
    dropout: Share = 0.0
    norm: Literal["batch", "group"] = "batch"


Network = Annotated[
    ResNet34UNet | SimpleUNet | QuickNat | UNet | UNet3d | Cascade3d | NetworkOptions,
    ByName(NETWORKS, "name", NetworkOptions),
]
"""One of renalis's own, or of an installed package."""
