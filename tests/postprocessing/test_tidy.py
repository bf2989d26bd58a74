"""Each rule on bodies drawn for it; and what the rules leave alone."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from renalis.boxes import bounding_box, grown
from renalis.postprocessing import DEFAULT, NONE, Rules, Tidied, tidy
from renalis.volume import Kind, Volume

KIDNEY, TUMOR, CYST = 1, 2, 3
SPACING = np.array([2.0, 2.0, 3.0])
SHAPE = (170, 110, 70)
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = -SPACING * (np.array(SHAPE) - 1) / 2
X, Y, Z = (
    AFFINE[i, i] * index + AFFINE[i, 3] for i, index in enumerate(np.indices(SHAPE, sparse=True))
)
"""Places in mm along each axis."""
LEFT = ((-65, -10, 0), (24, 22, 45), KIDNEY)
RIGHT = ((65, -10, 0), (24, 22, 45), KIDNEY)

Blob = tuple[tuple[float, float, float], tuple[float, float, float], int]


def ball(center: tuple[float, float, float], radius: float, label: int) -> Blob:
    return center, (radius, radius, radius), label


def inside(blob: Blob) -> np.ndarray:
    x, y, z = (((at - c) / r) ** 2 for at, c, r in zip((X, Y, Z), blob[0], blob[1], strict=True))
    return np.asarray(x + y + z <= 1)


def draw(*blobs: Blob) -> tuple[Volume, Volume]:
    labels = np.zeros(SHAPE, np.uint8)
    for blob in blobs:
        labels[inside(blob)] = blob[2]
    image = np.full(SHAPE, -1000, np.int16)
    image[((X / 150) ** 2 + (Y / 95) ** 2 <= 1)[..., 0]] = 40
    image[(X**2 + (Y + 55) ** 2 <= 16**2)[..., 0]] = 600
    return Volume(labels, AFFINE, Kind.LABELS), Volume(image, AFFINE)


def changed(tidied: Tidied) -> dict[str, int]:
    return {change.name: change.voxels for change in tidied.changes if change.voxels}


def kept(*blobs: Blob, rules: Rules = DEFAULT) -> tuple[bool, dict[str, int]]:
    """Whether the last blob comes through as it was drawn, and what changed."""
    labels, image = draw(*blobs)
    done = tidy(labels, image, rules)
    last = inside(blobs[-1])
    return bool((done.labels.array[last] == labels.array[last]).all()), changed(done)


@pytest.mark.parametrize(
    "blobs",
    [
        (LEFT, RIGHT),
        (RIGHT,),
        (LEFT, RIGHT, ((0, 0, -25), (60, 9, 9), KIDNEY)),
        (LEFT, ((5, 20, -60), (28, 20, 25), KIDNEY)),
        (LEFT, RIGHT, ((80, 40, -70), (20, 20, 28), KIDNEY)),
        (((-65, -10, 0), (16, 15, 20), KIDNEY), RIGHT),
        (LEFT, RIGHT, ball((95, -10, 15), 12, TUMOR), ball((-65, -10, 48), 9, CYST)),
        (LEFT, ball((70, -10, 0), 40, TUMOR)),
        (LEFT, RIGHT, ball((90, -10, 12), 11, TUMOR), ball((90, -10, -12), 12.5, CYST)),
    ],
    ids=[
        "two",
        "one",
        "horseshoe",
        "pelvic",
        "transplant",
        "small",
        "lesions",
        "replaced",
        "touch",
    ],
)
def test_anatomy_comes_through_untouched(blobs: tuple[Blob, ...]) -> None:
    labels, image = draw(*blobs)
    for scan in (image, None):
        done = tidy(labels, scan)
        assert changed(done) == {}
        assert (done.labels.array == labels.array).all()


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        (ball((-130, 78, 0), 8, KIDNEY), "body"),
        (ball((110, 10, 40), 9, KIDNEY), "minimum_volume"),
        (ball((0, 40, 30), 16, KIDNEY), "lateral"),
        (ball((70, 60, 40), 17, KIDNEY), "lateral"),
        (ball((40, 60, 40), 15, TUMOR), "attached"),
        (ball((0, 40, -50), 38, CYST), "attached"),
        (ball((75, 47, -30), 29.5, CYST), "attached"),
    ],
    ids=["outside", "fragment", "midline", "second", "far tumor", "pelvic mass", "lateral mass"],
)
def test_one_rule_drops_it_and_only_that_rule(extra: Blob, rule: str) -> None:
    labels, image = draw(LEFT, RIGHT, extra)
    without, _ = draw(LEFT, RIGHT)
    if rule == "body":
        image = image.like(
            np.where(inside(extra) | (image.array < 0), -1000, image.array), image.kind
        )
    done = tidy(labels, image)
    assert changed(done) == {rule: int(inside(extra).sum())}
    assert (done.labels.array == without.array).all()
    change = next(entry for entry in done.changes if entry.name == rule)
    assert change.ml == pytest.approx(inside(extra).sum() * 0.012)
    assert f"{change.ml:.2f} ml" in change.sentence
    others = [name for name in Rules.names() if name != rule]
    assert changed(tidy(labels, image, DEFAULT.without(*others))) == changed(done)


def test_the_border_excuses_small_kidneys() -> None:
    top = float(Z.max())
    stump = ((65, -10, top + 6), (20, 20, 16), KIDNEY)
    whole, changes = kept(LEFT, stump)
    assert whole
    assert changes == {}


def test_a_fragment_near_its_kidney_stays() -> None:
    near, _ = kept(LEFT, RIGHT, ball((94.5, -10, 0), 4.5, KIDNEY))
    far, changes = kept(LEFT, RIGHT, ball((96.5, -10, 0), 4.5, KIDNEY))
    assert near
    assert not far
    assert set(changes) == {"minimum_volume"}


@pytest.mark.parametrize(("gap_mm", "stays"), [(-1.5, True), (0.5, True), (2.5, False)])
def test_lesions_near_a_kidney_are_attached(gap_mm: float, stays: bool) -> None:
    x = 65 + 24 + gap_mm + 12
    assert kept(LEFT, RIGHT, ball((x, -10, 0), 12, TUMOR))[0] is stays


def test_two_halves_of_one_lesion_become_one() -> None:
    labels, image = draw(LEFT, RIGHT, ball((90, -10, 0), 14, TUMOR))
    half = labels.array.copy()
    half[(half == TUMOR) & (Z + X - 90 > 4)] = CYST
    done = tidy(labels.like(half, labels.kind), image)
    assert (done.labels.array == labels.array).all()
    assert changed(done) == {"vote": int((half == CYST).sum())}


def test_a_core_of_the_other_kind_joins_its_lesion() -> None:
    lesion = ball((90, -10, 0), 14, CYST)
    whole, image = draw(LEFT, RIGHT, lesion)
    cored, _ = draw(LEFT, RIGHT, lesion, ball((90, -10, 0), 6, TUMOR))
    assert (tidy(cored, image).labels.array == whole.array).all()


def test_tiny_lesions_become_kidney() -> None:
    labels, image = draw(LEFT, RIGHT)
    speckled = labels.array.copy()
    middle = tuple(int(n) for n in labels.index(np.array([65.0, -10.0, 0.0])).round())
    speckled[middle] = CYST
    done = tidy(labels.like(speckled, labels.kind), image)
    assert (done.labels.array == labels.array).all()
    assert changed(done) == {"minimum_volume": 1}


def test_pinholes_are_filled_and_the_sinus_is_not() -> None:
    labels, image = draw(LEFT, RIGHT, ball((65, -10, 0), 8, 0), ball((90, -10, 10), 10, TUMOR))
    holed = labels.array.copy()
    spots = [np.array([65.0, -10.0, 30.0]), np.array([93.0, -10.0, 10.0])]
    for spot in spots:
        holed[tuple(int(n) for n in labels.index(spot).round())] = 0
    done = tidy(labels.like(holed, labels.kind), image)
    assert changed(done) == {"holes": 2}
    assert (done.labels.array == labels.array).all()


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SPL", "IAR", "PSR", "ALI"])
def test_orientation_does_not_matter(codes: str) -> None:
    labels, image = draw(LEFT, RIGHT, ball((0, 40, 30), 16, KIDNEY), ball((40, 60, 40), 15, TUMOR))
    expected = tidy(labels, image)
    turned = labels.reoriented(codes)
    copied = Volume(np.ascontiguousarray(turned.array), turned.affine, turned.kind)
    done = tidy(copied, image.reoriented(codes))
    assert (done.labels.affine == copied.affine).all()
    assert done.labels.orientation == codes
    assert (done.labels.array == expected.labels.reoriented(codes).array).all()
    assert [change.voxels for change in done.changes] == [c.voxels for c in expected.changes]


@settings(max_examples=40, deadline=None)
@given(
    array=arrays(np.uint8, (9, 8, 7), elements=st.integers(0, 3)),
    off=st.lists(st.sampled_from(Rules.names()), unique=True),
)
def test_any_labels_and_any_switches(array: np.ndarray, off: list[str]) -> None:
    labels = Volume(array, np.diag([3.0, 4.0, 5.0, 1.0]), Kind.LABELS)
    image = Volume(np.where(array > 2, -900, 30).astype(np.int16), labels.affine)
    before = array.copy()
    done = tidy(labels, image, DEFAULT.without(*off))
    assert (array == before).all()
    assert done.labels.array.dtype == np.uint8
    assert done.labels.same_grid(labels)
    assert [change.name for change in done.changes] == list(Rules.names())
    assert all(
        change.voxels == 0 and "switched off" in change.sentence
        for change in done.changes
        if change.name in off
    )
    moved = int((done.labels.array != array).sum())
    assert moved <= sum(change.voxels for change in done.changes)
    assert (moved > 0) <= any(change.voxels for change in done.changes)
    grew = (done.labels.array > 0) & (array == 0)
    assert grew.sum() <= next(c.voxels for c in done.changes if c.name == "holes")


def test_everything_off_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    labels = Volume(rng.integers(0, 4, SHAPE).astype(np.uint8), AFFINE, Kind.LABELS)
    done = tidy(labels, draw()[1], NONE)
    assert (done.labels.array == labels.array).all()
    assert changed(done) == {}


def test_empty_labels() -> None:
    labels, image = draw()
    done = tidy(labels, image)
    assert not done.labels.array.any()
    assert all(change.voxels == 0 for change in done.changes)


def test_wrong_input_is_refused() -> None:
    labels, image = draw(LEFT)
    with pytest.raises(ValueError, match="same grid"):
        tidy(labels, image.cropped((slice(1, None), slice(None), slice(None))))
    with pytest.raises(ValueError, match="labels hold 9"):
        tidy(labels.like(labels.array * 9, labels.kind), image)
    with pytest.raises(ValueError, match="no rule is called 'largest'"):
        DEFAULT.without("largest")


@pytest.mark.parametrize("case", ["case_00012", "case_00151", "case_00165", "case_00582"])
def test_real_references_hardly_change(case: str, data_folder: Path) -> None:
    nifti = nib.load(data_folder / "kits23-labels" / f"{case}.nii.gz")
    labels = Volume(np.asarray(nifti.dataobj).astype(np.uint8), nifti.affine, Kind.LABELS)
    done = tidy(labels, None)
    assert sum(change.ml for change in done.changes) < 1.0
    overlap = ((done.labels.array > 0) & (labels.array > 0)).sum()
    assert 2 * overlap / ((done.labels.array > 0).sum() + (labels.array > 0).sum()) > 0.998


@pytest.mark.parametrize("number", ["00210", "00213"])
def test_published_predictions_do_not_get_worse(number: str, data_folder: Path) -> None:
    folder = data_folder / "unet3d-predictions"
    reference = nib.load(next((folder / "references").glob(f"*{number}*")))
    predicted = nib.load(next((folder / "predictions").glob(f"*{number}*")))
    truth = np.asarray(reference.dataobj) > 0
    whole = Volume(np.asarray(predicted.dataobj).astype(np.uint8), reference.affine, Kind.LABELS)
    renal = bounding_box(truth | (whole.array > 0))
    assert renal is not None
    box = grown(renal, truth.shape, 4)
    labels, truth = whole.cropped(box), truth[box]

    def dice(mask: np.ndarray) -> float:
        return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))

    done = tidy(labels, None)
    assert dice(done.labels.array > 0) >= dice(labels.array > 0) - 1e-4
