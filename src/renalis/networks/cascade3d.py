"""Two valid 3D U-Nets in one: 4 mm to find the kidneys, 1 mm to outline them, and a classifier.

After Humpire-Mamani et al., the single cascade network for KiTS19 (2019), and, without its
classifier, our reading of their "Kidney abnormality segmentation in thorax-abdomen CT scans"
(2023). Both patches share their center. The low-resolution probability of kidney, enlarged,
masks the high-resolution patch; the masked patch goes to the fine U-Net, softly, so that the
gradient of the fine answer reaches the coarse network.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from renalis.networks.registry import Outputs, register
from renalis.networks.valid_unet3d import (
    Norm,
    ValidUNet3d,
    crop_center,
    double_valid,
    valid_margin,
    valid_output_side,
)

__all__ = ["Cascade3d"]

MaskInput = Literal["skip_branch", "concat"]


class PatchClassifier(nn.Module):
    """Does the patch contain tumor? From the U-Net's bottom and the tumor that it segmented.

    The publication says that the last of the three layers and the tumor volume give "129 neurons";
    with its 256 they would be 257. ``last_fc=128`` gives 129.
    """

    def __init__(self, inputs: int, bottom_side: int, last_fc: int, norm: Norm) -> None:
        super().__init__()
        if bottom_side < 5:
            raise ValueError(
                f"the classifier's two convolutions need 5 voxels at the bottom, not {bottom_side};"
                " use a larger patch"
            )
        self.convolve = double_valid(inputs, 32, 16, norm)
        flat = 16 * (bottom_side - 4) ** 3
        self.describe = nn.Sequential(
            nn.Linear(flat, 1024),
            nn.ReLU(inplace=True),
            nn.Linear(1024, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, last_fc),
            nn.ReLU(inplace=True),
        )
        self.decide = nn.Sequential(
            nn.Linear(last_fc + 1, 64),
            nn.ReLU(inplace=True),
            nn.Linear(64, 32),
            nn.ReLU(inplace=True),
            nn.Linear(32, 1),
        )

    def forward(self, bottom: Tensor, volume: Tensor) -> Tensor:
        """Logits (N, 1) from the bottom's features (N, C, Z, Y, X) and volumes (N, 1)."""
        described = self.describe(self.convolve(bottom).flatten(1))
        logits: Tensor = self.decide(torch.cat([described, volume], dim=1))
        return logits


@register(
    "cascade3d",
    tiny={"base": 4, "low_base": 2, "levels": 2, "patch": 24},
    inputs=((2, 1, 24, 24, 24), (2, 1, 20, 20, 20)),
)
class Cascade3d(nn.Module):
    """Coarse and fine valid U-Net with a soft mask between them, and a patch classifier.

    The parts are ``low`` and ``high`` (`ValidUNet3d`), ``branch`` (the masked patch's filters)
    and ``classifier``. To freeze the coarse network except "the last three blocks of filters",
    as the publication trains its second stage, freeze the parameters of ``low.encoder``.

    Parameters
    ----------
    in_channels : int
        1 for CT; both patches have as many.
    out_channels : int
        Classes of the fine segmentation including background.
    base, low_base : int
        Channels of the first convolution of the fine and of the coarse U-Net.
    levels : int
        Resolutions of both.
    patch : int
        Side of the fine patch in voxels; matters to the classifier only.
    multires : bool
        False leaves the coarse network and the mask out.
    mask_input : {"skip_branch", "concat"}
        How the masked patch enters: by two convolutions of its own, joined to the finest skip, or
        as further input channels.
    classify : bool
        Have the patch classifier.
    last_fc : int
        Width of the classifier's last layer before the tumor volume joins; 256 or 128.
    tumor_class : int
        Class whose probability, added up, is the classifier's tumor volume.
    volume_scale : float, optional
        The tumor volume is divided by it; the number of output voxels when left out, because a
        raw sum of up to 8000 would drown the other 256 numbers. 1 gives the raw sum.
    ratio : int
        Fine voxels per coarse voxel along each axis.
    dropout : float
        Spatial dropout of both U-Nets.
    norm : {"batch", "group"}
        Normalization everywhere.

    Raises
    ------
    ValueError
        If an option has no meaning or the patch does not fit the levels.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        base: int = 32,
        low_base: int = 16,
        levels: int = 4,
        patch: int = 108,
        multires: bool = True,
        mask_input: MaskInput = "skip_branch",
        classify: bool = True,
        last_fc: int = 256,
        tumor_class: int = 2,
        volume_scale: float | None = None,
        ratio: int = 4,
        dropout: float = 0.0,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if mask_input not in {"skip_branch", "concat"}:
            raise ValueError(f"mask_input must be skip_branch or concat, not {mask_input!r}")
        if classify and not 0 < tumor_class < out_channels:
            raise ValueError(f"tumor_class {tumor_class} is none of the {out_channels} classes")
        if volume_scale is not None and volume_scale <= 0:
            raise ValueError(f"volume_scale must be positive, not {volume_scale}")
        self.patch, self.ratio = patch, ratio
        self.tumor_class, self.volume_scale = tumor_class, volume_scale
        self.crop_branch = norm == "batch"
        branch = multires and mask_input == "skip_branch"
        concat = multires and mask_input == "concat"
        self.low = (
            ValidUNet3d(in_channels, 2, low_base, levels, dropout, norm) if multires else None
        )
        self.high = ValidUNet3d(
            in_channels * (2 if concat else 1),
            out_channels,
            base,
            levels,
            dropout,
            norm,
            extra_skip=2 * base if branch else 0,
        )
        self.branch = double_valid(in_channels, base, 2 * base, norm) if branch else None
        self.classifier: PatchClassifier | None = None
        if classify:
            valid_output_side(patch, levels)
            bottom = (patch + 4) // 2 ** (levels - 1) - 8
            self.classifier = PatchClassifier(self.high.bottom_channels, bottom, last_fc, norm)

    @property
    def two_grids(self) -> bool:
        """See `renalis.networks.two_grids.TwoGridNetwork`."""
        return self.low is not None

    def forward(self, image: Tensor | None = None, low_image: Tensor | None = None) -> Outputs:
        """Logits of the middle of both patches, and of the classifier.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Z, Y, X), optional
            Fine patch. Without it, computes the coarse network only, which is trained first.
        low_image : Tensor, shape (N, in_channels, z, y, x), optional
            Coarse patch around the same center; not needed without ``multires``.

        Returns
        -------
        Outputs
            ``seg`` (N, out_channels, ...), ``low`` (N, 2, ...), ``cls`` (N, 1), as far as the
            network has them: 20 voxels a side for patches of 108.

        Raises
        ------
        ValueError
            If a patch is missing or does not fit.
        """
        outputs: Outputs = {}
        mask: Tensor | None = None
        if self.low is not None:
            if low_image is None:
                raise ValueError("a network of two resolutions needs low_image")
            outputs["low"] = self.forward_low(low_image)
            if image is not None:
                mask = self.mask(outputs["low"], tuple(image.shape[2:]))
        if image is not None:
            outputs.update(self.forward_high(image, mask))
        if not outputs:
            raise ValueError("a network of one resolution needs image")
        return outputs

    def forward_low(self, low_image: Tensor) -> Tensor:
        """Logits (N, 2, z - 2 m, ...) of the coarse network; m is `valid_margin`.

        Raises
        ------
        ValueError
            If the network has no coarse part or the patch does not fit.
        """
        if self.low is None:
            raise ValueError("this network has one resolution only")
        return self.low.decode(self.low.encode(low_image))

    def mask(self, low_logits: Tensor, sides: tuple[int, ...]) -> Tensor:
        """Probability of kidney on the fine patch: enlarged, zero where the answer ends.

        Parameters
        ----------
        low_logits : Tensor, shape (N, 2, z, y, x)
            Of the coarse patch with the same center.
        sides : tuple of int
            Z, Y and X of the fine patch.

        Returns
        -------
        Tensor, shape (N, 1, Z, Y, X)
            In 0 to 1; not thresholded, so that gradients pass.

        Raises
        ------
        ValueError
            If the centers cannot meet.
        """
        kidney = torch.softmax(low_logits, dim=1)[:, 1:2]
        for axis in (2, 3, 4):
            kidney = kidney.repeat_interleave(self.ratio, dim=axis)
        missing = [want - have for want, have in zip(sides, kidney.shape[2:], strict=True)]
        if any(each % 2 for each in missing):
            raise ValueError(f"patches of {sides} voxels cannot share their center with the mask")
        margins = [each // 2 for each in reversed(missing) for _ in range(2)]  # negative: crops
        return functional.pad(kidney, margins)

    def forward_high(self, image: Tensor, mask: Tensor | None = None) -> Outputs:
        """Fine segmentation and class from a patch and its mask.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Z, Y, X)
            Fine patch.
        mask : Tensor, shape (N, 1, Z, Y, X), optional
            What `mask` gave; needed with ``multires``.

        Returns
        -------
        Outputs
            ``seg`` and, with a classifier, ``cls``.

        Raises
        ------
        ValueError
            If the mask is missing or superfluous, or the patch does not fit.
        """
        if (mask is None) != (self.low is None):
            raise ValueError("a mask belongs to networks of two resolutions, and only to those")
        if self.classifier is not None and tuple(image.shape[2:]) != (self.patch,) * 3:
            raise ValueError(
                f"the classifier was made for patches of {self.patch} voxels a side, "
                f"not {tuple(image.shape[2:])}"
            )
        extra: Tensor | None = None
        inputs = image
        if mask is not None and self.branch is not None:
            extra = self.branch(self._seen_by_branch(image * mask))
        elif mask is not None:
            inputs = torch.cat([image, image * mask], dim=1)
        levels = self.high.encode(inputs)
        logits = self.high.decode(levels, extra)
        outputs: Outputs = {"seg": logits}
        if self.classifier is not None:
            tumor = torch.softmax(logits, dim=1)[:, self.tumor_class]
            scale = tumor[0].numel() if self.volume_scale is None else self.volume_scale
            volume = tumor.sum(dim=(1, 2, 3))[:, None] / scale
            outputs["cls"] = self.classifier(levels[-1], volume)
        return outputs

    def forward_fine(self, image: Tensor, low_image: Tensor) -> Outputs:
        """``seg`` and, with a classifier, ``cls``, as `forward`, computing no more than they need.

        Parameters
        ----------
        image : Tensor, shape (N, in_channels, Z, Y, X)
            Fine patch.
        low_image : Tensor, shape (N, in_channels, z, y, x)
            Coarse patch around the same center.

        Raises
        ------
        ValueError
            If the network has no coarse part or a patch does not fit.
        """
        sides = tuple(image.shape[2:])
        middle = crop_center(low_image, self.low_sides(sides, tuple(low_image.shape[2:])))
        return self.forward_high(image, self.mask(self.forward_low(middle), sides))

    def low_sides(self, sides: tuple[int, ...], low_sides: tuple[int, ...]) -> tuple[int, ...]:
        """Of a coarse patch, how much decides the fine answer when predicting.

        Only the middle of the mask reaches the output. A smaller coarse patch around the same
        center gives the same there if its margin is a multiple of the coarsest voxel: poolings
        elsewhere would take other voxels together. (So a coarse answer that was computed around
        another center cannot take this one's place: at the published sizes none of them fits.)

        Parameters
        ----------
        sides, low_sides : tuple of int
            Z, Y and X of the fine and of the coarse patch.

        Returns
        -------
        tuple of int
            Sides for `crop_center` of the coarse patch. All of it where every voxel counts: in
            training, with ``mask_input="concat"`` and with group normalization.
        """
        if self.training or self.branch is None or not self.crop_branch:
            return low_sides
        step, margin = 2 ** (self.high.levels - 1), valid_margin(self.high.levels)
        kept = []
        for side, low_side in zip(sides, low_sides, strict=True):
            needed = -(-_branch_side(side, margin) // (2 * self.ratio)) * 2
            spare = (low_side - 2 * margin - needed) // 2
            kept.append(low_side - 2 * step * max(0, spare // step))
        return tuple(kept)

    def _seen_by_branch(self, masked: Tensor) -> Tensor:
        """The part of the masked patch that reaches the output.

        Only the middle of the branch's features joins the skip: 24 of 104 voxels a side. When
        predicting, the rest need not be computed. In training it counts in the batch's statistics.
        """
        if self.training or not self.crop_branch:
            return masked
        margin = valid_margin(self.high.levels)
        return crop_center(masked, tuple(_branch_side(side, margin) for side in masked.shape[2:]))


def _branch_side(side: int, margin: int) -> int:
    # Convolutions at full resolution: two after the skip and two in the branch.
    return side - 2 * margin + 8
