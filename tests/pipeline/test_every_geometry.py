"""From reading to the report over 160 geometries, with the right labels and nothing that fails."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers.geometries import Made, made
from helpers.stub import stub_model
from numpy.typing import NDArray
from scipy import ndimage
from test_segment import PREDICTION, SHOWN, save

from renalis.errors import InputError
from renalis.io import read_scan
from renalis.measurement import measure
from renalis.model import Model
from renalis.pipeline import Status, segment
from renalis.postprocessing import tidy
from renalis.prediction import Prediction
from renalis.prediction.cascade import Networks, open_networks, predict
from renalis.report import gather
from renalis.report.picture_choice import Tile, overviews, pair_pictures
from renalis.report.uncertainty import POSSIBLE, Reach, narrowed
from renalis.volume import Volume

STEPS, PER_PART, WHOLE = 144, 36, 16
STUB_MM = 4.0
"""Spacing of the stub's coarse stage, its fine stage's is 2 mm."""


@pytest.fixture(scope="module")
def model() -> Model:
    return stub_model()


@pytest.fixture(scope="module")
def networks(model: Model) -> Networks:
    return open_networks(model, PREDICTION)


@pytest.mark.parametrize("part", range(STEPS // PER_PART))
def test_each_step_is_right_for_every_geometry(
    model: Model, networks: Networks, tmp_path: Path, part: int
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(part * PER_PART, (part + 1) * PER_PART):
        case = made(seed, voxels=12_000)
        try:
            scan = read_scan(save(tmp_path / "scan.nii", case.scan))
        except InputError:  # too little of anything to see whether it is HU
            seen["refused"] += 1
            continue
        np.testing.assert_array_equal(scan.volume.array, case.scan.array)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            prediction = predict(scan.volume, model, PREDICTION, networks=networks)
            tidied = tidy(prediction.labels, scan.volume)
            measured = measure(scan.volume, tidied.labels, prediction)
            content = gather(scan, tidied.labels, measured, prediction=prediction)
            subject = content.subject
            pictures = overviews(subject.scene, Tile(90, 70))
            pictures += pair_pictures(subject.scene, subject.findings, Tile(90, 70))
        assert all(picture.pixels.size for picture in pictures)
        _labels_are_right(case, prediction, seed)
        _reach_is_right(scan.volume, prediction, seed)
        counted = np.bincount(tidied.labels.array.ravel(), minlength=4) * scan.volume.voxel_ml
        assert measured.totals.tumor_ml == pytest.approx(counted[2], rel=1e-3, abs=0.01), seed
        seen["found" if prediction.labels.array.any() else "nothing"] += 1
    assert seen["found"] >= 0.3 * PER_PART, seen
    assert seen["refused"] <= 0.2 * PER_PART, seen


def _labels_are_right(case: Made, prediction: Prediction, seed: int) -> None:
    """Well inside of a large kidney there is one, well outside of everything there is nothing."""
    assert prediction.labels.same_grid(case.scan, tolerance_mm=1e-2), seed
    labels = prediction.labels.array
    # An interpolated voxel reaches as far as the voxels that it is made of.
    reach = 2 * STUB_MM + 1.5 * max(case.scan.spacing)
    depths = [ball.depth(case.points) for ball in case.balls]
    outside = np.ones(labels.shape, bool)
    for ball, depth in zip(case.balls, depths, strict=True):
        # Depth is measured in the shortest radius: outside it may be less than it says.
        outside &= depth < -reach * ball.radius.min() / ball.radius.max() - reach
    assert not labels[outside].any(), seed
    for ball, depth in zip(case.balls, depths, strict=True):
        inside = depth > reach
        if (depth > 0).sum() * case.scan.voxel_ml > 60 and inside.any():
            assert labels[inside].astype(bool).mean() > 0.99, (seed, ball)


def _reach_is_right(scan: Volume, prediction: Prediction, seed: int) -> None:
    """Against an independent interpolation, in a slice of each direction and in a random box."""
    if prediction.kidney is None:
        return
    probability = narrowed(prediction.kidney)
    if probability is None:
        return
    rng = np.random.default_rng(seed)
    canonical = scan.reoriented()
    boxes = [[slice(0, n) for n in canonical.shape] for _ in range(4)]
    for axis in range(3):
        at = int(rng.integers(canonical.shape[axis]))
        boxes[axis][axis] = slice(at, at + 1)
    boxes[3] = [slice(int(rng.integers(n)), n) for n in canonical.shape]
    reach = Reach.of(probability, canonical)
    for z, y, x in boxes:
        grid = canonical.cropped((z, y, x))
        found, values = reach.within((z, y, x)), _sampled(probability, grid)
        clear = np.abs(values - POSSIBLE * 255) > 0.5
        np.testing.assert_array_equal(found[clear], values[clear] > POSSIBLE * 255, str(seed))


def _sampled(probability: Volume, grid: Volume) -> NDArray[np.float64]:
    """Linear interpolation, 0 beyond the centers of the outermost voxels; NaN just at these."""
    places = np.moveaxis(
        probability.index(grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))), -1, 0
    )
    values = ndimage.map_coordinates(
        probability.array.astype(float), places, order=1, mode="constant", cval=0.0
    )
    last = np.array(probability.shape).reshape(3, 1, 1, 1) - 1
    inside = ((places >= 0) & (places <= last)).all(0)
    values[~inside] = 0
    values[(np.abs(np.stack([places, places - last])) < 1e-4).any((0, 1))] = np.nan
    return np.asarray(values)


@pytest.mark.slow
def test_the_whole_way_for_many_geometries(model: Model, tmp_path: Path) -> None:
    refused = 0
    for seed in range(10_000, 10_000 + WHOLE):
        case = made(seed, voxels=12_000)
        file = save(tmp_path / f"{seed}.nii", case.scan)
        (result,) = segment(file, tmp_path / "out", SHOWN, model=model)
        if result.status == Status.FAILED and not result.internal:
            refused += 1
            continue
        assert result.status == Status.DONE, (seed, result.problem, result.traceback)
        written = nib.load(tmp_path / "out" / str(seed) / "segmentation.nii.gz")
        assert written.shape == case.scan.shape
        np.testing.assert_array_equal(written.affine, nib.load(file).affine)
        assert (tmp_path / "out" / str(seed) / "preview.png").stat().st_size > 1000
    assert refused <= 0.2 * WHOLE
