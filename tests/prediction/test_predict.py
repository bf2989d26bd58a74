"""From a scan to labels on its own grid, with networks whose right answer is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers.stub import CYST, FAT, KIDNEY, TUMOR, half_phantom, phantom, stub_model

from renalis.errors import UsageError
from renalis.prediction import Mirror, PredictionOptions, RuntimeName, Windows, predict
from renalis.prediction.cascade import open_networks
from renalis.prediction.memory import expected_peak_mb
from renalis.prediction.region_of_interest import large_mass
from renalis.preparation import Interpolation
from renalis.volume import Volume

# The stub answers exactly; a class is then the most probable one.
SURE = {"cyst_at": 0.0, "cyst_sure": 0.0}
OPTIONS = PredictionOptions(runtime=RuntimeName.TORCH, keep_heap=False, thresholds=SURE)
LABEL_OF_HU = {FAT: 0, KIDNEY: 1, TUMOR: 2, CYST: 3}
ORIENTATIONS = [
    "".join(signs)
    for axes in itertools.permutations(["LR", "AP", "IS"])
    for signs in itertools.product(*axes)
]


def truth(scan: Volume) -> np.ndarray:
    labels = np.zeros(scan.shape, np.uint8)
    for hu, label in LABEL_OF_HU.items():
        labels[scan.array == hu] = label
    return labels


def dice(one: np.ndarray, two: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two))


@pytest.fixture(scope="module")
def scan() -> Volume:
    return phantom()


@pytest.fixture(scope="module")
def labels(scan: Volume) -> np.ndarray:
    return predict(scan, stub_model(), OPTIONS).labels.array


def test_labels_are_right(scan: Volume, labels: np.ndarray) -> None:
    expected = truth(scan)
    assert dice(labels > 0, expected > 0) > 0.97
    assert dice(labels == 2, expected == 2) > 0.9
    assert dice(labels == 1, expected == 1) > 0.9


@pytest.fixture(scope="module")
def half() -> Volume:
    return half_phantom((4.0, 2.6, 2.9))


@pytest.fixture(scope="module")
def half_labels(half: Volume) -> np.ndarray:
    found = predict(half, stub_model(), OPTIONS).labels.array
    assert set(np.unique(found)) == {0, 1, 2}
    return found


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_gives_the_same_labels(
    half: Volume, half_labels: np.ndarray, codes: str
) -> None:
    turned = half.reoriented(codes)
    stored = Volume(np.ascontiguousarray(turned.array), turned.affine)
    result = predict(stored, stub_model(), OPTIONS).labels
    assert np.array_equal(result.affine, stored.affine)
    assert result.shape == stored.shape
    back = result.reoriented(half.orientation)
    assert back.same_grid(half)
    # Sums in another order may move a voxel whose probability lies on the threshold.
    assert np.count_nonzero(back.array != half_labels) <= 3


@pytest.mark.parametrize("tilt", [0.12, -0.3, 0.6])
def test_oblique_scans_show_the_same_kidneys_in_patient_space(tilt: float) -> None:
    tilted = phantom(spacing=(3.0, 2.0, 2.0), size_mm=(220, 330, 400), tilt=tilt)
    result = predict(tilted, stub_model(), OPTIONS).labels
    assert np.array_equal(result.affine, tilted.affine)
    assert dice(result.array > 0, truth(tilted) > 0) > 0.97
    # The tumor is on the right. (The cyst's blurred border has the tumor's HU as well.)
    place = np.median(result.world(np.argwhere(result.array == 2)), axis=0)
    np.testing.assert_allclose(place, (88, -5, 20), atol=2.5)


@pytest.mark.parametrize("spacing", [(5.0, 1.1, 1.1), (1.2, 3.0, 2.0), (8.0, 1.5, 1.5)])
def test_any_spacing(spacing: tuple[float, float, float]) -> None:
    scan = phantom(spacing=spacing)
    result = predict(scan, stub_model(), OPTIONS).labels
    assert dice(result.array > 0, truth(scan) > 0) > 0.95


def test_windows_larger_than_the_scan(scan: Volume, labels: np.ndarray) -> None:
    result = predict(scan, stub_model((96, 128, 200)), OPTIONS)
    assert np.count_nonzero(result.labels.array != labels) <= 3
    assert result.windows["fine"] == 1


def test_fine_windows_lie_only_near_kidneys(scan: Volume) -> None:
    """A scan three times as large, the same kidneys: about as many fine windows."""
    near = predict(scan, stub_model(), OPTIONS)
    pad = ((20, 90), (5, 5), (8, 8))
    affine = scan.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [20, 5, 8]
    wide = Volume(np.pad(scan.array, pad, constant_values=FAT), affine)
    far = predict(wide, stub_model(), OPTIONS)
    # The grid lies a little differently, so a box may need one more row of windows.
    assert far.windows["fine"] <= 1.3 * near.windows["fine"]
    assert far.windows["coarse"] > 2 * near.windows["coarse"]
    inside = far.labels.array[20:-90, 5:-5, 8:-8]
    assert dice(inside > 0, near.labels.array > 0) > 0.97
    assert np.count_nonzero(far.labels.array) == np.count_nonzero(inside)


@pytest.mark.parametrize("interpolation", ["average", "linear", "cubic"])
def test_windows_on_a_lattice_and_other_images_show_the_same_kidneys(
    scan: Volume, interpolation: Interpolation
) -> None:
    options = replace(OPTIONS, windows=Windows.LATTICE, interpolation=interpolation)
    result = predict(scan, stub_model(), options)
    assert result.windows["fine"] > predict(scan, stub_model(), OPTIONS).windows["fine"]
    assert dice(result.labels.array > 0, truth(scan) > 0) > 0.97


def test_nothing_there_gives_an_empty_label_map() -> None:
    empty = Volume(np.full((30, 60, 60), FAT, np.int16), np.diag([3.0, 2, 2, 1]))
    result = predict(empty, stub_model(), OPTIONS)
    assert not result.labels.array.any()
    assert result.kidney is None
    assert "No kidney" in result.notes[0]


def test_air_needs_no_window() -> None:
    air = Volume(np.full((30, 60, 60), -1000, np.int16), np.diag([3.0, 2, 2, 1]))
    assert predict(air, stub_model(), OPTIONS).windows["coarse"] == 0


def test_one_voxel_thin_scans_do_not_fail() -> None:
    thin = phantom(size_mm=(6, 240, 330))
    assert predict(thin, stub_model(), OPTIONS).labels.shape == thin.shape


def test_an_unsure_coarse_pass_means_the_whole_scan_is_searched(scan: Volume) -> None:
    options = PredictionOptions(
        runtime=RuntimeName.TORCH, keep_heap=False, thresholds={"find_at": 1.5}
    )
    result = predict(scan, stub_model(), options)
    assert "unsure" in result.notes[0]
    assert dice(result.labels.array > 0, truth(scan) > 0) > 0.97


@pytest.mark.parametrize("mirror", list(Mirror))
def test_mirroring_turns_back_what_it_turned(
    scan: Volume, labels: np.ndarray, mirror: Mirror
) -> None:
    options = replace(OPTIONS, mirror=mirror)
    result = predict(scan, stub_model(), options)
    assert np.count_nonzero(result.labels.array != labels) <= 3


@pytest.mark.parametrize(
    ("mirror", "looks"),
    [(Mirror.NONE, 1), (Mirror.LEFT_RIGHT, 2), (Mirror.FOUR, 4), (Mirror.ALL, 8)],
)
def test_the_fine_network_looks_at_mirrored_images_too(
    scan: Volume, labels: np.ndarray, mirror: Mirror, looks: int
) -> None:
    model = stub_model()
    options = replace(OPTIONS, mirror=mirror)
    networks = open_networks(model, options)
    seen: list[int] = []

    def counted(patches: np.ndarray) -> np.ndarray:
        seen.append(len(patches))
        return networks.fine(patches)

    result = predict(scan, model, options, networks=replace(networks, fine=counted))
    assert sum(seen) == looks * result.windows["fine"]
    assert np.count_nonzero(result.labels.array != labels) <= 3


def test_the_coarse_pass_can_be_averaged_in(scan: Volume) -> None:
    options = PredictionOptions(
        runtime=RuntimeName.TORCH, keep_heap=False, thresholds={"coarse_weight": 0.4}
    )
    result = predict(scan, stub_model(), options)
    assert dice(result.labels.array > 0, truth(scan) > 0) > 0.95


def test_the_coarse_pass_has_the_say_in_masses_that_hold_a_large_ball() -> None:
    renal = np.zeros((50, 50, 60), np.float32)
    z, y, x = np.ogrid[:50, :50, :60]
    renal[(z - 25) ** 2 + (y - 25) ** 2 + (x - 18) ** 2 < 12**2] = 1  # 96 mm across
    renal[18:32, 18:32, 26:52] = 1  # 56 mm thick, grows out of it
    large = large_mass(renal, (4.0,) * 3, 70.0)
    assert large[25, 25, 18]
    assert large[25, 25, 8]
    assert not large[:, :, 40:].any()
    assert (renal[large] == 1).mean() > 0.97  # a ball of whole voxels is a little larger
    assert not large_mass(renal, (4.0,) * 3, 110.0).any()


def test_probability_maps_lie_where_the_labels_lie(scan: Volume) -> None:
    result = predict(scan, stub_model(), OPTIONS)
    assert result.kidney is not None
    assert result.lesion is not None
    for volume, mask in ((result.kidney, truth(scan) > 0), (result.lesion, truth(scan) > 1)):
        expected = np.median(scan.world(np.argwhere(mask)), axis=0)
        place = np.median(volume.world(np.argwhere(volume.array > 127)), axis=0)
        np.testing.assert_allclose(place, expected, atol=2.5)


def test_too_little_memory_is_refused_before_the_start(scan: Volume) -> None:
    options = PredictionOptions(runtime=RuntimeName.TORCH, keep_heap=False, max_ram_mb=100)
    with pytest.raises(UsageError, match="--max-ram"):
        predict(scan, stub_model(), options)


def test_a_limit_below_the_most_holds_where_less_is_needed(scan: Volume) -> None:
    most = expected_peak_mb(scan, stub_model(), OPTIONS)
    free = predict(scan, stub_model(), OPTIONS)
    limited = predict(scan, stub_model(), replace(OPTIONS, max_ram_mb=most - 1))
    np.testing.assert_array_equal(limited.labels.array, free.labels.array)
    assert 0 < free.expected_peak_mb < most
    # Less of the heap is kept.
    assert 0 < limited.expected_peak_mb <= free.expected_peak_mb
    assert "--max-ram" in limited.notes[0]


def test_what_was_found_may_need_more_than_the_limit(scan: Volume) -> None:
    # The coarse grid has an eighth of the fine one's voxels.
    most = expected_peak_mb(scan, stub_model(), OPTIONS)
    coarse_only = 560 + (most - 560) * 0.25
    with pytest.raises(UsageError, match=r"closely.*--max-ram"):
        predict(scan, stub_model(), replace(OPTIONS, max_ram_mb=coarse_only))
