"""Prepared cases: right places, right values, and a cache that is whole or not there."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.vanishing import bring_back, take_away

from renalis.errors import DamageWarning, InputError, OutputError
from renalis.preparation import (
    GridSpec,
    PreparedCase,
    cached_case,
    file_hash,
    hu_histogram,
    mean_and_std,
    normalized,
    open_prepared,
    prepare_case,
    regrid_labels,
    weight_map,
)
from renalis.preparation.resample import Grid
from renalis.volume import Kind, Volume

RNG = np.random.default_rng(3)
KITS = np.array([[0, 0, -0.8, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])
"""Slices first, from the head down: as KiTS stores its scans."""


def _scan(shape: tuple[int, int, int] = (18, 40, 40)) -> tuple[Volume, Volume]:
    hu = RNG.integers(-1000, 1200, shape).astype(np.int16)
    label = np.zeros(shape, np.uint8)
    label[7:12, 10:25, 12:30] = 1
    label[9:11, 14:20, 15:22] = 2
    return Volume(hu, KITS), Volume(label, KITS, Kind.LABELS)


MM1 = GridSpec("mm1", spacing_mm=(1, 1, 1), clip_hu=(-500, 400), sub=-500, div=900)
MM4 = replace(MM1, name="mm4", spacing_mm=(4, 4, 4))
SLICES = GridSpec("native2d", kind="native2d", order=1, slice_size=20, weight_map="foreground",
                  drop_far_slices=3)  # fmt: skip


def cases_in(cache: Path) -> list[Path]:
    """All that lies there, half written too, but notes of who uses what."""
    return [path for path in cache.iterdir() if path.name != ".use"]


def test_every_voxel_of_a_ramp_knows_its_place() -> None:
    """Values are world coordinates: image, crop, frame and affine agree on all grids."""
    shape = (30, 44, 52)
    empty = Volume(np.zeros(shape, np.int16), KITS)
    points = empty.world(np.moveaxis(np.indices(shape), 0, -1))
    specs = [
        GridSpec("a", spacing_mm=(2, 2, 2), order=3),
        GridSpec("b", spacing_mm=(2.3, 1.7, None), order=1, crop_body=True),
        GridSpec("c", kind="native2d", order=1, slice_size=26),
        GridSpec("d", kind="native2d", order=1, frame=40),
    ]
    for axis in range(3):
        ramp = Volume((points[..., axis] * 100).astype(np.int16), KITS)
        case = prepare_case(ramp, None, specs)
        for spec in specs:
            grid = case.grid(spec.name)
            expected = grid.volume.world(np.moveaxis(np.indices(grid.shape), 0, -1))[..., axis]
            inside = np.ones(grid.shape, bool)
            native = ramp.index(grid.volume.world(np.moveaxis(np.indices(grid.shape), 0, -1)))
            for a in range(3):
                inside &= (native[..., a] >= 13) & (native[..., a] <= shape[a] - 14)
            assert inside.any(), spec.name
            np.testing.assert_allclose(
                grid.image[inside] / 100, expected[inside], rtol=0, atol=0.03
            )


def test_coarse_voxels_cover_fine_ones() -> None:
    image, label = _scan()
    case = prepare_case(image, label, [MM1, MM4])
    fine, coarse = case.grid("mm1"), case.grid("mm4")
    assert coarse.shape == tuple(-(-n // 4) for n in fine.shape)
    np.testing.assert_allclose(
        coarse.volume.world([5, 3, 2]), fine.volume.world([21.5, 13.5, 9.5]), atol=1e-9
    )


def test_labels_survive_there_and_back() -> None:
    z, y, x = np.indices((30, 90, 90)) - np.array([15, 45, 45]).reshape(3, 1, 1, 1)
    r = np.sqrt((3 * z) ** 2 + (0.8 * y) ** 2 + (0.8 * x) ** 2)
    label = Volume((r < 34).astype(np.uint8) + (r < 20), KITS, Kind.LABELS)
    image = label.like(np.zeros(label.shape, np.int16), Kind.IMAGE)
    spec = GridSpec("g", spacing_mm=(3.22, 1.62, 1.62))
    grid = prepare_case(image, label, [spec]).grid("g")
    assert grid.label is not None
    assert set(np.unique(grid.label)) == {0, 1, 2}
    native = label.reoriented()
    ratio = tuple(1 / (new / old) for new, old in zip(grid.spacing, native.spacing, strict=True))
    back = regrid_labels(
        Volume(grid.label, grid.affine, Kind.LABELS), Grid(native.shape, native.affine, ratio)
    ).array
    assert set(np.unique(back)) == {0, 1, 2}
    for value in (1, 2):
        a, b = back == value, native.array == value
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9


def test_identity_grid_keeps_every_voxel() -> None:
    image, label = _scan()
    for spec in (
        GridSpec("g", kind="native2d"),
        GridSpec("g", spacing_mm=(None, None, None)),
        GridSpec("g", spacing_mm=(3.0, 0.8, 0.8)),
    ):
        grid = prepare_case(image, label, [spec]).grid("g")
        np.testing.assert_array_equal(grid.image, image.reoriented().array)
        np.testing.assert_array_equal(grid.label, label.reoriented().array)


def test_wide_slices_are_padded_not_squeezed() -> None:
    image, label = _scan((4, 30, 44))
    grid = prepare_case(image, label, [replace(SLICES, slice_size=22)]).grid("native2d")
    assert grid.shape == (4, 22, 22)
    assert grid.spacing == pytest.approx((3.0, 1.6, 1.6))
    assert (grid.image[:, :3] == -1024).all()
    # The frame begins 7 pixels above the slice, so its rows of two are one pixel off.
    pairs = image.reoriented().array[:, 1:29].reshape(4, 14, 2, 22, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(grid.image[:, 4:18], pairs, atol=0.51)


def test_halving_a_slice_is_the_mean_of_four_and_every_second_label() -> None:
    image, label = _scan()
    grid = prepare_case(image, label, [SLICES]).grid("native2d")
    native = image.reoriented().array
    means = native.reshape(18, 20, 2, 20, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(grid.image, means, atol=0.51)
    np.testing.assert_array_equal(grid.label, label.reoriented().array[:, ::2, ::2])


def test_body_is_cropped_with_its_last_plane() -> None:
    hu = np.full((12, 20, 24), -1000, np.int16)
    hu[3:10, 4:15, 6:20] = 40
    spec = GridSpec("g", spacing_mm=(None,) * 3, clip_hu=(-79, 304), crop_body=True)
    scan = Volume(hu, np.diag([-1.0, -1.0, 1.0, 1.0])[:, [2, 1, 0, 3]])
    assert scan.orientation == "SPL"
    grid = prepare_case(scan, None, [spec]).grid("g")
    assert grid.shape == (7, 11, 14)
    assert (grid.image == 40).all()
    np.testing.assert_allclose(grid.volume.world([0, 0, 0]), scan.world([3, 4, 6]))
    nothing = Volume(np.full_like(hu, -1000), scan.affine)
    assert prepare_case(nothing, None, [spec]).grid("g").shape == hu.shape


def test_hu_are_stored_unclipped() -> None:
    image, _ = _scan()
    plain = prepare_case(image, None, [MM4]).grid("mm4").image
    assert plain.min() < -500
    assert normalized(plain, MM4).min() == 0
    assert normalized(plain, MM4).max() == 1


def test_labels_on_another_grid_are_refused() -> None:
    image, label = _scan()
    shifted = label.affine.copy()
    shifted[0, 3] += 2
    with pytest.raises(InputError, match="case 7 do not lie on the same grid"):
        prepare_case(image, Volume(label.array, shifted, Kind.LABELS), [MM4], "case 7")
    turned = label.reoriented("LAS")
    a = prepare_case(image, turned, [MM4]).grid("mm4").label
    np.testing.assert_array_equal(a, prepare_case(image, label, [MM4]).grid("mm4").label)


def test_weights_follow_the_formula() -> None:
    label = np.zeros((6, 12, 12), np.uint8)
    label[2:4, 3:8, 4:9] = 1
    weights = weight_map(label, edge=2.0, largest=10.0).astype(float)
    counts = np.bincount(label.ravel())
    grads = np.gradient(label.astype(float))
    expected = np.median(counts) / counts[label] + 2.0 * (grads[1] ** 2 + grads[2] ** 2 > 0)
    np.testing.assert_allclose(weights, np.minimum(expected, 10), rtol=1e-3)
    few = weight_map(label, np.array([0, 1, 1, 1, 1, 0], bool)).astype(float)
    assert few[0, 0, 0] > weights[0, 0, 0]


def test_intensity_statistics_equal_numpy() -> None:
    image, label = _scan()
    histogram = hu_histogram(image.array) + hu_histogram(image.array[:4])
    values = np.concatenate([image.array.ravel(), image.array[:4].ravel()]).astype(float)
    assert mean_and_std(histogram) == pytest.approx((values.mean(), values.std()))
    clipped = np.clip(values, 0, 200)
    assert mean_and_std(histogram, (0, 200)) == pytest.approx((clipped.mean(), clipped.std()))
    inside = image.array[label.array > 0].astype(float)
    assert mean_and_std(hu_histogram(image.array, label.array))[0] == pytest.approx(inside.mean())


def _equal(a: PreparedCase, b: PreparedCase) -> None:
    assert a.grids.keys() == b.grids.keys()
    for name in a.grids:
        x, y = a.grid(name), b.grid(name)
        np.testing.assert_array_equal(x.image, y.image)
        np.testing.assert_array_equal(x.label, y.label)
        np.testing.assert_array_equal(x.slice_labels, y.slice_labels)
        np.testing.assert_array_equal(x.affine, y.affine)
        if x.weights is not None:
            np.testing.assert_array_equal(x.weights, y.weights)


def test_cache_gives_what_was_prepared_and_prepares_once(tmp_path: Path) -> None:
    image, label = _scan()
    calls = []

    def load() -> tuple[Volume, Volume | None]:
        calls.append(1)
        return image, label

    grids = [MM1, MM4, SLICES]
    first = cached_case(tmp_path, "both", load, grids)
    _equal(first, prepare_case(image, label, grids))
    assert isinstance(first.grid("mm1").image, np.memmap)
    assert first.grid("native2d").weights is not None
    later = [replace(spec, sub=7.0, div=3.0) for spec in grids]
    again = cached_case(tmp_path, "both", load, later)
    assert len(calls) == 1
    assert again.grid("mm1").spec.sub == 7
    cached_case(tmp_path, "both", load, [replace(MM1, order=1)])
    cached_case(tmp_path, "another", load, grids)
    assert len(calls) == 3
    assert len(cases_in(tmp_path)) == 3


def test_a_case_is_not_kept_where_the_drive_of_the_cache_was(tmp_path: Path) -> None:
    cache = tmp_path / "run" / "prepared"
    scan = _scan()
    cached_case(cache, "first", lambda: scan, [MM4])

    def load() -> tuple[Volume, Volume | None]:
        take_away(tmp_path / "run")
        return scan

    with pytest.raises(OutputError, match="is gone: its drive was unmounted"):
        cached_case(cache, "second", load, [MM4])
    bring_back(tmp_path / "run")
    assert len(cases_in(cache)) == 1


def test_mapped_grids_travel_as_a_name(tmp_path: Path) -> None:
    image, label = _scan()
    case = cached_case(tmp_path, "x", lambda: (image, label), [MM1])
    sent = pickle.dumps(case)
    assert len(sent) < 3000
    _equal(pickle.loads(sent), case)  # noqa: S301


def test_hash_tells_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert file_hash([tmp_path / "a"]) == file_hash([tmp_path / "b"])
    before = file_hash([tmp_path])
    (tmp_path / "b").write_bytes(b"2")
    assert file_hash([tmp_path]) != before
    with pytest.raises(InputError, match="cannot read"):
        file_hash([tmp_path / "missing"])


def _race(root: str, barrier: object, results: object) -> None:
    image, label = _scan()

    def load() -> tuple[Volume, Volume | None]:
        barrier.wait(30)  # type: ignore[attr-defined]
        return image, label

    case = cached_case(root, "the same", load, [MM4])
    results.put(int(case.grid("mm4").image.astype(int).sum()))  # type: ignore[attr-defined]


@pytest.mark.slow
def test_two_processes_at_once(tmp_path: Path) -> None:
    """Both find the case missing, both prepare it, one folder remains and both read it."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [
        context.Process(target=_race, args=(str(tmp_path), barrier, results)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    sums = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sums[0] == sums[1]
    assert len(cases_in(tmp_path)) == 1


def test_nothing_is_left_when_preparing_fails(tmp_path: Path) -> None:
    image, label = _scan()
    bad = Volume(label.array, np.eye(4), Kind.LABELS)
    with pytest.raises(InputError):
        cached_case(tmp_path, "x", lambda: (image, bad), [MM4])
    assert not cases_in(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write the prepared case"):
        cached_case(tmp_path / "file", "x", lambda: (image, label), [MM4])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: os.truncate(path, 0),
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-50] + bytes(50)),
        lambda path: (path.parent / "prepared.json").write_text("{"),
    ],
    ids=["truncated", "empty", "gone", "other voxels", "index"],
)
def test_a_damaged_case_is_prepared_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    image, label = _scan()
    whole = cached_case(tmp_path, "x", lambda: (image, label), [MM4])
    kept = {name: np.array(grid.image) for name, grid in whole.grids.items()}
    (path,) = tmp_path.glob("*/*-image.npy")
    damage(path)
    with pytest.warns(DamageWarning, match="is damaged .*; it is prepared again"):
        again = cached_case(tmp_path, "x", lambda: (image, label), [MM4])
    for name, grid in again.grids.items():
        np.testing.assert_array_equal(grid.image, kept[name])
    assert len(cases_in(tmp_path)) == 1


def test_damage_is_named(tmp_path: Path) -> None:
    image, label = _scan()
    cached_case(tmp_path, "x", lambda: (image, label), [MM4])
    (folder,) = cases_in(tmp_path)
    array = folder / "mm4-image.npy"
    array.write_bytes(array.read_bytes()[:-100])
    with pytest.raises(InputError, match="delete the folder"):
        open_prepared(folder, [MM4])
    with pytest.raises(InputError, match="delete the folder"):
        open_prepared(folder, [MM1])


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a/b"},
        {"spacing_mm": None},
        {"spacing_mm": (1, 0, 1)},
        {"order": 2},
        {"clip_hu": (3, 3)},
        {"div": 0.0},
        {"kind": "native2d"},
    ],
)
def test_nonsense_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="grid"):
        GridSpec(**({"name": "g", "spacing_mm": (1, 1, 1)} | fields))  # type: ignore[arg-type]
