"""Single slices are read on their own grid, alike however their pixels are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from slice_reader import SliceReader, drop_small_tumors

from renalis.networks.unet import UNet


def bright_is_kidney() -> SliceReader:
    """A reader whose network calls bright pixels kidney, and knows nothing else."""
    network = UNet(out_channels=4, channels=(4, 6), stem=1)

    def forward_slices(images: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(images), 4, *images.shape[2:]), -20.0)
        logits[:, 0] = -10 * images[:, 0]
        logits[:, 1] = 10 * images[:, 0]
        return logits

    network.forward_slices = forward_slices  # type: ignore[method-assign]
    return SliceReader(network.eval(), 1.5, (-200, 400), mirrored_copies=4)


def test_labels_lie_where_the_image_does_at_any_spacing() -> None:
    for rows, columns in ((0.5, 0.9), (1.5, 1.5), (2.2, 0.7)):
        shape = (round(180 / rows), round(150 / columns))
        y, x = np.mgrid[: shape[0], : shape[1]]
        mm = np.stack([(y + 0.5) * rows, (x + 0.5) * columns])
        disk = np.hypot(mm[0] - 60, mm[1] - 100) < 25
        hu = np.where(disk, 300.0, -100.0).astype(np.float32)
        labels = bright_is_kidney().labels(hu, (rows, columns))
        assert labels.shape == hu.shape
        overlap = 2 * np.count_nonzero((labels == 1) & disk)
        assert overlap / (np.count_nonzero(labels) + np.count_nonzero(disk)) > 0.96


def test_small_areas_of_tumor_go_to_what_surrounds_them() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[5:20, 5:20] = 1
    labels[8:10, 8:10] = 2  # 4 pixels of 2 mm2 in the kidney
    labels[30:32, 30:32] = 2  # apart from it
    labels[15:17, 6:8] = 3  # cysts are small
    labels[12:18, 12:18] = 2  # 72 mm2
    kept = drop_small_tumors(labels, (2.0, 1.0), least_mm2=20)
    assert (kept[8:10, 8:10] == 1).all()
    assert (kept[30:32, 30:32] == 0).all()
    assert (kept[15:17, 6:8] == 3).all()
    assert (kept[12:18, 12:18] == 2).all()
    assert (labels[8:10, 8:10] == 2).all()


def test_what_is_renal_is_named_though_its_kind_is_open() -> None:
    """Kidney 0.2, tumor 0.25, cyst 0.15: none likelier than the background, but together."""
    reader = bright_is_kidney()
    shares = torch.tensor([0.4, 0.2, 0.25, 0.15]).log()

    def forward_slices(images: torch.Tensor) -> torch.Tensor:
        return shares[None, :, None, None].expand(len(images), 4, *images.shape[2:])

    reader.network.forward_slices = forward_slices  # type: ignore[method-assign]
    assert (reader.labels(np.zeros((48, 48), np.float32), (1.5, 1.5)) == 2).all()


def test_lesions_may_count_more_than_kidney_and_change_nothing_else() -> None:
    """Kidney 0.5, tumor 0.1, cyst 0.3 on the left; 0.1, 0.1, 0.2 on the right: nothing."""
    reader = bright_is_kidney()
    left = torch.tensor([0.1, 0.5, 0.1, 0.3]).log()
    right = torch.tensor([0.6, 0.1, 0.1, 0.2]).log()

    def forward_slices(images: torch.Tensor) -> torch.Tensor:
        _, _, rows, columns = images.shape
        logits = torch.cat([left.expand(columns // 2, 4), right.expand(columns // 2, 4)])
        return logits.T[None, :, None].expand(len(images), 4, rows, columns)

    reader.network.forward_slices = forward_slices  # type: ignore[method-assign]
    reader = replace(reader, mirrored_copies=1)
    hu = np.zeros((48, 48), np.float32)
    assert set(np.unique(reader.labels(hu, (1.5, 1.5))[:, :18])) == {1}
    weighted = replace(reader, lesion_weight=2.0).labels(hu, (1.5, 1.5))
    assert set(np.unique(weighted[:, :18])) == {3}
    assert set(np.unique(weighted[:, 30:])) == {0}


def test_the_scales_are_averaged_where_they_lie_in_the_slice() -> None:
    """Read in pixels of 1.5 mm half of the slice is kidney, in pixels of 3 mm nothing is."""
    reader = replace(bright_is_kidney(), scales=(1.0, 2.0))
    bright = reader.network.forward_slices

    def forward_slices(images: torch.Tensor) -> torch.Tensor:
        logits = bright(images)
        if images.shape[2] < 40:
            logits[:, 1] = -20.0
        return logits

    reader.network.forward_slices = forward_slices  # type: ignore[method-assign]
    hu = np.where(np.arange(64)[:, None] < 32, 300.0, -1000.0) * np.ones((64, 64))
    probability = reader.probability(hu.astype(np.float32), (1.5, 1.5))
    assert probability.shape == (3, 64, 64)
    assert probability[0, :30].mean() == pytest.approx(0.5, abs=0.01)
    assert probability[0, 34:].max() < 0.01
