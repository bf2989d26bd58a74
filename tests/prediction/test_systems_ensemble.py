"""Averages on the scan's grid; nnU-Net's files, sound and unsound."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from renalis.errors import InputError
from renalis.prediction import restore_probabilities
from renalis.prediction.ensemble import LabelVotes, Regrouped, average, open_member
from renalis.prediction.nnunet_probabilities import open_nnunet
from renalis.prediction.restore_probabilities import OnScan
from renalis.preparation import stage_grid
from renalis.volume import Kind, Volume

RNG = np.random.default_rng(11)
SHAPE = (9, 14, 21)
AFFINE = np.array([[0, 0, -0.8, 3], [0, -0.8, 0, 4], [-3, 0, 0, 5], [0, 0, 0, 1.0]])
SCAN = Volume(np.zeros(SHAPE, np.int16), AFFINE)


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several slabs, as in a real scan."""
    monkeypatch.setattr(restore_probabilities, "_SLAB_VOXELS", SHAPE[0] * SHAPE[1] * 4)


def softmax(shape: tuple[int, ...], classes: int = 3) -> np.ndarray:
    logits = RNG.normal(size=(classes, *shape))
    logits[1] += np.linspace(-4, 4, shape[-1])
    value = np.exp(2 * logits)
    return (value / value.sum(0)).astype(np.float32)


def write_nnunet(
    folder: Path, probability: np.ndarray, key: str = "probabilities", **more: object
) -> Path:
    """As nnU-Net does: axes of the NIfTI file reversed, half precision, label map beside."""
    path = folder / "case_1.npz"
    stored = probability.transpose(0, 3, 2, 1).astype(np.float16)
    np.savez_compressed(path, **{key: stored}, **more)
    labels = stored.argmax(0).transpose(2, 1, 0).astype(np.uint8)
    nib.save(nib.Nifti1Image(labels, AFFINE), folder / "case_1.nii.gz")
    return path


def test_the_mean_of_different_members(tmp_path: Path) -> None:
    """Against an average of full-size float64 arrays."""
    grid = stage_grid(SCAN.reoriented(), (5.4, 1.5, 1.9))
    own = softmax(grid.shape)
    other = softmax(SHAPE)
    votes = RNG.integers(0, 3, SHAPE).astype(np.uint8)
    members = [
        OnScan(own, grid.affine, SCAN),
        open_member(write_nnunet(tmp_path, other), SCAN, 3),
        LabelVotes(SCAN.like(votes, Kind.LABELS), 3),
    ]
    weights = (2.0, 1.0, 0.5)
    done = average(members, SCAN, weights=weights)
    full = [
        OnScan(own, grid.affine, SCAN).slab(0, SHAPE[2]),
        other.astype(np.float16),
        np.stack([votes == c for c in range(3)]),
    ]
    mean = sum(w * m.astype(np.float64) for w, m in zip(weights, full, strict=True)) / 3.5
    sure = np.sort(mean, axis=0)[-1] - np.sort(mean, axis=0)[-2] > 1e-5
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(done.labels.array[sure], mean.argmax(0)[sure])
    assert done.labels.same_grid(SCAN)
    assert done.labels.array.dtype == np.uint8
    np.testing.assert_allclose(done.foreground.array, (1 - mean[0]) * 255, atol=0.51)


def test_one_member_alone_is_its_own_prediction() -> None:
    grid = stage_grid(SCAN.reoriented(), (4, 2, 2))
    own = softmax(grid.shape)
    member = OnScan(own, grid.affine, SCAN)
    probability = member.slab(0, SHAPE[2])
    np.testing.assert_array_equal(average([member], SCAN).labels.array, probability.argmax(0))

    def surely_two(mean: np.ndarray) -> np.ndarray:
        return np.asarray(2 * (mean[2] > 0.5), np.uint8)

    strict = average([member, member], SCAN, decide=surely_two)
    np.testing.assert_array_equal(strict.labels.array, surely_two(probability))


def test_classes_are_regrouped() -> None:
    labels = RNG.integers(0, 4, SHAPE).astype(np.uint8)
    member = Regrouped(LabelVotes(SCAN.like(labels, Kind.LABELS), 4), (0, 1, 2, 2), 3)
    found = average([member], SCAN).labels.array
    np.testing.assert_array_equal(found, np.minimum(labels, 2))
    other = LabelVotes(SCAN.like(np.minimum(labels, 1), Kind.LABELS), 2)
    with pytest.raises(ValueError, match="2 and 3 classes"):
        average([member, other], SCAN)
    with pytest.raises(ValueError, match="regrouped"):
        Regrouped(other, (0, 1, 2), 3)


@pytest.mark.parametrize("key", ["probabilities", "softmax"])
def test_nnunet_axes(tmp_path: Path, key: str) -> None:
    probability = softmax(SHAPE)
    member = open_nnunet(write_nnunet(tmp_path, probability, key), SCAN)
    assert member.classes == 3
    found = np.concatenate([member.slab(k, k + 3) for k in range(0, 21, 3)], axis=-1)
    member.finish()
    np.testing.assert_array_equal(found, probability.astype(np.float16))


def test_where_nnunet_had_cropped_there_is_background(tmp_path: Path) -> None:
    probability = softmax(SHAPE)
    probability[:, :2] = 0
    member = open_nnunet(write_nnunet(tmp_path, probability), SCAN)
    found = member.slab(0, 21)
    assert (found[0, :2] == 1).all()
    assert (found[1:, :2] == 0).all()


def test_flipped_probabilities_do_not_pass(tmp_path: Path) -> None:
    """nnU-Net's reorienting reader stores probabilities on another orientation's grid."""
    probability = softmax(SHAPE)
    path = write_nnunet(tmp_path, probability)
    flipped = probability[..., ::-1].transpose(0, 3, 2, 1)
    np.savez_compressed(path, probabilities=flipped.astype(np.float16))
    with pytest.raises(InputError, match="axes are not those of the scan"):
        average([open_nnunet(path, SCAN)], SCAN)


def stored(path: Path, array: np.ndarray, key: str = "probabilities") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        data = io.BytesIO()
        np.lib.format.write_array(data, array, allow_pickle=True)
        archive.writestr(f"{key}.npy", data.getvalue())


class Bomb:
    """Unpickling it leaves a trace."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(Bomb(trace)))  # noqa: S301
    assert trace.exists()
    trace.unlink()
    bomb = np.empty((3, 21, 14, 9), object)
    bomb[...] = Bomb(trace)
    path = tmp_path / "case_1.npz"
    stored(path, bomb)
    with pytest.raises(InputError, match="never unpickled"):
        open_nnunet(path, SCAN)
    assert not trace.exists()


def test_unsound_files_are_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "case_1.npz"
    good = softmax(SHAPE).transpose(0, 3, 2, 1)
    cases: list[tuple[np.ndarray, str, str]] = [
        (good, "values", "called probabilities or softmax"),
        (good[:, :-1], "probabilities", "another scan or were cropped"),
        (good.transpose(0, 3, 2, 1), "probabilities", "another scan or were cropped"),
        (good.argmax(0).astype(np.uint8), "probabilities", "no probabilities as nnU-Net"),
        (good[:1], "probabilities", "no probabilities as nnU-Net"),
    ]
    for array, key, message in cases:
        stored(path, np.ascontiguousarray(array), key)
        with pytest.raises(InputError, match=message) as caught:
            open_nnunet(path, SCAN)
        assert "case_1.npz" in str(caught.value)
    regions = np.ascontiguousarray(good)
    regions[1] += 0.5
    stored(path, regions)
    with pytest.raises(InputError, match="regions, not of classes"):
        average([open_nnunet(path, SCAN)], SCAN)
    regions[1] = np.nan
    stored(path, regions)
    with pytest.raises(InputError, match="do not sum to 1"):
        average([open_nnunet(path, SCAN)], SCAN)


def test_a_damaged_file_is_noticed(tmp_path: Path) -> None:
    path = write_nnunet(tmp_path, softmax(SHAPE))
    whole = bytearray(path.read_bytes())
    path.write_bytes(bytes(whole[: len(whole) // 2]))
    with pytest.raises(InputError, match=r"case_1\.npz"):
        average([open_nnunet(path, SCAN)], SCAN)
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    with pytest.raises(InputError, match="damaged"):
        average([open_nnunet(path, SCAN)], SCAN)
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        open_nnunet(path, SCAN)


def test_label_maps_as_members(tmp_path: Path) -> None:
    labels = RNG.integers(0, 3, SHAPE).astype(np.uint8)
    path = tmp_path / "case_1.nii.gz"
    nib.save(nib.Nifti1Image(labels, AFFINE), path)
    found = average([open_member(path, SCAN, 3)], SCAN).labels.array
    np.testing.assert_array_equal(found, labels)
    with pytest.raises(InputError, match="holds the label 2"):
        open_member(path, SCAN, 2)
    wrong = AFFINE.copy()
    wrong[2, 0] *= -1
    nib.save(nib.Nifti1Image(labels, wrong), path)
    with pytest.raises(InputError, match="lies elsewhere"):
        open_member(path, SCAN, 3)
    forced = open_member(path, SCAN, 3, ignore_geometry=True)
    np.testing.assert_array_equal(average([forced], SCAN).labels.array, labels)
    nib.save(nib.Nifti1Image(labels[1:], AFFINE), path)
    with pytest.raises(InputError, match="voxels"):
        open_member(path, SCAN, 3, ignore_geometry=True)
    with pytest.raises(InputError, match="neither"):
        open_member(tmp_path / "case_1.npy", SCAN, 3)


def test_an_ensemble_needs_members_and_weights_that_fit() -> None:
    member = LabelVotes(SCAN.like(np.zeros(SHAPE, np.uint8), Kind.LABELS), 3)
    with pytest.raises(ValueError, match="no members"):
        average([], SCAN)
    for weights in ((1.0, 1.0), (0.0,), (-1.0,)):
        with pytest.raises(ValueError, match="weights"):
            average([member], SCAN, weights=weights)


@pytest.mark.parametrize("weights", [None, (2.0, 2.0, 2.0), (1.0, 2.0, 1.0)])
def test_members_of_one_weight_tell_how_much_they_differ(
    weights: tuple[float, ...] | None,
) -> None:
    """Against full-size float64 arrays; of members that weigh differently nothing is said."""
    stored = [softmax(SHAPE) for _ in range(3)]
    members = [OnScan(each, SCAN.affine, SCAN) for each in stored]
    done = average(members, SCAN, weights=weights, lesions=(2,))
    mean = np.average([each[2] for each in stored], axis=0, weights=weights)
    assert done.lesion is not None
    np.testing.assert_allclose(done.lesion.array, mean * 255, atol=0.51)
    if weights is not None and len(set(weights)) > 1:
        assert done.spread is None
        return
    spread = done.spread
    assert spread is not None
    assert (spread.looks, spread.among) == (3, "members")
    for found, wanted in (
        (spread.kidney, np.std([1 - each[0] for each in stored], axis=0)),
        (spread.lesion, np.std([each[2] for each in stored], axis=0)),
    ):
        assert found is not None
        places = np.moveaxis(np.indices(found.shape), 0, -1).reshape(-1, 3)
        there = np.rint(SCAN.index(found.world(places))).astype(int)
        np.testing.assert_allclose(
            found.array.ravel() / 510, wanted[tuple(there.T)], atol=1 / 510 + 1e-3
        )


def test_one_member_alone_says_nothing_of_agreement() -> None:
    done = average([OnScan(softmax(SHAPE), SCAN.affine, SCAN)], SCAN)
    assert (done.lesion, done.spread) == (None, None)
