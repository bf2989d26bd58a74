"""A network that returns the label: what preparing, stitching and restoring lose by themselves.

The ceilings were measured once with other programs on twelve cases of KiTS19: Dice of kidney with
tumor, and of tumor, after label to grid and back with nearest neighbors. Here the whole way is
gone, on other cases of the same kind.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from renalis.boxes import bounding_box, grown
from renalis.io.read_labels import read_label_map
from renalis.prediction.ensemble import average
from renalis.prediction.padded_patches import Prepare
from renalis.prediction.restore_probabilities import OnScan, restore_labels
from renalis.prediction.slices import predict_slices
from renalis.prediction.strided_windows import predict_windows
from renalis.prediction.tiles import Pairing, low_mask, predict_pairs, predict_valid
from renalis.preparation import GridSpec, PreparedGrid, prepare_case
from renalis.volume import Kind, Volume

CASES = ("case_00215", "case_00226", "case_00231")
CLASSES = 3


def identity(*inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Labels in, certain classes out; of two grids the first."""
    return {"seg": np.concatenate([inputs[0] == c for c in range(CLASSES)], 1).astype(np.float32)}


def valid(tile: int) -> object:
    """The same for a network of valid convolutions."""

    def network(*inputs: np.ndarray) -> dict[str, np.ndarray]:
        lost = (inputs[0].shape[-1] - tile) // 2
        inner = (slice(None), slice(None), *[slice(lost, lost + tile)] * 3)
        return identity(inputs[0][inner])

    return network


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def scores(found: Volume, truth: Volume) -> tuple[float, float]:
    assert found.same_grid(truth)
    assert set(np.unique(found.array)) <= {0, 1, 2}
    return (
        dice(found.array > 0, truth.array > 0),
        dice(found.array == 2, truth.array == 2),
    )


@pytest.fixture(scope="module")
def truths(data_folder: Path) -> dict[str, Volume]:
    """Labels of KiTS19's kind, the part of the scan around them."""
    result = {}
    for case in CASES:
        path = data_folder / "unet3d-predictions" / "references" / f"{case}.nii.gz"
        if not path.is_file():
            pytest.skip(f"{path} is missing")
        labels = read_label_map(path)
        array = np.where(labels.array == 3, 1, labels.array).astype(np.uint8)
        box = bounding_box(array)
        assert box is not None
        truth = labels.like(array, Kind.LABELS).cropped(grown(box, array.shape, 8))
        result[case] = truth.like(np.ascontiguousarray(truth.array), Kind.LABELS)
    return result


def prepared(truth: Volume, spec: GridSpec) -> PreparedGrid:
    """The label map on a grid; a body that leaves some border to crop."""
    image = np.full(truth.shape, -1000, np.int16)
    image[2:-1, 3:-2, 1:-3] = 40
    return prepare_case(Volume(image, truth.affine), truth, [spec]).grid(spec.name)


def as_input(part: np.ndarray) -> np.ndarray:
    return part.astype(np.float32)


PREPARE: Prepare = as_input


@pytest.mark.parametrize(
    ("spacing", "kidney", "tumor"),
    [((3.22, 1.62, 1.62), 0.975, 0.951), ((4, 4, 4), 0.949, 0.899)],
)
def test_windows_reach_the_ceilings(
    truths: dict[str, Volume], spacing: tuple[float, float, float], kidney: float, tumor: float
) -> None:
    spec = GridSpec(
        "grid", spacing_mm=spacing, order=0, crop_body=True, clip_hu=(-79, 304),
        min_shape=(80, 160, 160),
    )  # fmt: skip
    nearest, linear = [], []
    for truth in truths.values():
        grid = prepared(truth, spec)
        assert grid.label is not None
        found = predict_windows(
            grid.label, identity, (80, 160, 160), (60, 120, 120), prepare=PREPARE
        )
        labels = found.argmax(0).astype(np.uint8)
        np.testing.assert_array_equal(labels, grid.label)
        nearest.append(scores(restore_labels(labels, grid.affine, truth), truth))
        on_scan = average([OnScan(found, grid.affine, truth)], truth)
        linear.append(scores(on_scan.labels, truth))
    mean = np.mean(nearest, axis=0)
    assert mean[0] == pytest.approx(kidney, abs=0.008)
    assert mean[1] == pytest.approx(tumor, abs=0.015)
    # Probabilities restored linearly lose less.
    assert (np.mean(linear, axis=0) > mean + 0.002).all()


def test_half_size_slices_lose_little(truths: dict[str, Volume]) -> None:
    truth = truths["case_00215"]
    side = max(truth.shape)
    spec = GridSpec("slices", kind="native2d", order=0, slice_size=side // 2)
    grid = prepared(truth, spec)
    assert grid.label is not None
    found = predict_slices(grid.label, identity, divisor=32, prepare=PREPARE)
    labels = found.argmax(0).astype(np.uint8)
    restored = restore_labels(labels, grid.affine, truth)
    kidney, tumor = scores(restored, truth)
    assert kidney > 0.96
    assert tumor > 0.96
    # Slices stay slices: none moves up or down.
    assert (restored.array.any((1, 2)) == truth.array.any((1, 2))).all()


def test_gated_tiles_of_the_published_size_reach_the_ceiling(truths: dict[str, Volume]) -> None:
    truth = truths["case_00226"]
    fine = prepared(truth, GridSpec("mm1", spacing_mm=(1, 1, 1), order=0))
    coarse = prepared(truth, GridSpec("mm4", spacing_mm=(4, 4, 4), order=0))
    assert fine.label is not None
    assert coarse.label is not None
    pairing = Pairing.of(fine.affine, coarse.affine)
    assert pairing == Pairing(4, (0, 0, 0))
    low = predict_valid(coarse.label, valid(20), prepare=PREPARE)
    renal = low.probability[1:].sum(0)
    np.testing.assert_array_equal(renal > 0.5, coarse.label > 0)
    within = low_mask(renal, pairing, fine.shape)
    done = predict_pairs(
        fine.label, coarse.label, valid(20), pairing, within=within, prepare=PREPARE
    )
    assert 0 < done.computed < done.of
    labels = done.probability.argmax(0).astype(np.uint8)
    np.testing.assert_array_equal(labels, fine.label)
    kidney, tumor = scores(restore_labels(labels, fine.affine, truth), truth)
    assert kidney == pytest.approx(0.992, abs=0.008)
    assert tumor == pytest.approx(0.985, abs=0.015)
