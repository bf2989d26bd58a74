"""Bone, and what lies above most of the lungs, is no kidney; every true kidney stays."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from renalis.measurement import measure
from renalis.postprocessing import DEFAULT, Tidied, tidy
from renalis.volume import Kind, Volume

SPACING = 3.0
SHAPE = (110, 80, 120)
AFFINE = np.diag([SPACING, SPACING, SPACING, 1.0])
AFFINE[:3, 3] = -SPACING * (np.array(SHAPE) - 1) / 2
X, Y, Z = (SPACING * index + AFFINE[i, 3] for i, index in enumerate(np.indices(SHAPE, sparse=True)))
"""Places in mm along each axis."""
KIDNEY = ((65, -20, -90), (25, 22, 45))
SHOULDER = ((-130, 0, 150), (20, 20, 20))
LUNGS = (((70, 0, 60), (50, 60, 75)), ((-70, 0, 60), (50, 60, 75)))

Blob = tuple[tuple[float, float, float], tuple[float, float, float]]


def inside(blob: Blob, wider: float = 0.0) -> np.ndarray:
    radii = np.array(blob[1]) + wider
    x, y, z = (((at - c) / r) ** 2 for at, c, r in zip((X, Y, Z), blob[0], radii, strict=True))
    return np.asarray(x + y + z <= 1)


def chest_and_belly() -> np.ndarray:
    """HU of a body of fat with lungs and a spine."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[((X / 155) ** 2 + (Y / 110) ** 2 <= 1)[..., 0]] = -90
    hu[(X**2 + (Y + 70) ** 2 <= 16**2)[..., 0]] = 500
    for lung in LUNGS:
        hu[inside(lung)] = -820
    hu[inside(KIDNEY)] = 110
    return hu


def scan(hu: np.ndarray, *components: Blob) -> tuple[Volume, Volume]:
    labels = np.zeros(SHAPE, np.uint8)
    for component in (KIDNEY, *components):
        labels[inside(component)] = 1
    return Volume(labels, AFFINE, Kind.LABELS), Volume(hu, AFFINE)


def dropped(tidied: Tidied) -> int:
    return next(change.voxels for change in tidied.changes if change.name == "impossible")


def with_humerus(hu: np.ndarray, at: Blob = SHOULDER) -> np.ndarray:
    """Marrow inside a shell of bone, of which the label takes a part."""
    hu[inside(at, 4.0)] = 750
    hu[inside(at, -2.0)] = 220
    return hu


def test_a_humeral_head_is_dropped_and_the_report_says_why() -> None:
    labels, image = scan(with_humerus(chest_and_belly()), SHOULDER)
    done = tidy(labels, image)
    assert (done.labels.array == scan(image.array)[0].array).all()
    assert dropped(done) == int(inside(SHOULDER).sum())
    (change,) = (one for one in done.changes if one.name == "impossible")
    assert "as dense as bone" in change.sentence
    kept = tidy(labels, image, DEFAULT.without("impossible"))
    assert (kept.labels.array == labels.array).all()


def test_bone_is_dropped_where_no_lung_is_shown() -> None:
    hip: Blob = ((-80, 0, -120), (20, 20, 20))
    labels, image = scan(with_humerus(chest_and_belly(), hip), hip)
    lower = (slice(None), slice(None), slice(0, 50))
    done = tidy(labels.cropped(lower), image.cropped(lower))
    assert dropped(done) == int(inside(hip).sum())


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SPL", "IAR"])
def test_what_lies_above_most_of_the_lungs_is_dropped(codes: str) -> None:
    hu = chest_and_belly()
    hu[inside(SHOULDER)] = 60
    labels, image = scan(hu, SHOULDER)
    done = tidy(labels.reoriented(codes), image.reoriented(codes))
    assert dropped(done) == int(inside(SHOULDER).sum())
    (change,) = (one for one in done.changes if one.name == "impossible")
    assert "of the lungs lie below it" in change.sentence


def stones(hu: np.ndarray) -> None:
    hu[inside((KIDNEY[0], (12, 10, 34)))] = 1200


def contrast(hu: np.ndarray) -> None:
    """Excreted: bright calyces, and a pelvis beside the label."""
    hu[inside(((52, -20, -90), (12, 10, 25)))] = 1500


def stent(hu: np.ndarray) -> None:
    hu[((X - 55) ** 2 + (Y + 20) ** 2 <= 3.1**2) & (Z < -70)] = 2500


def rib(hu: np.ndarray) -> None:
    hu[((np.abs(Y + 46) < 4) & (np.abs(X - 65) < 40))[..., 0]] = 700


def arterial(hu: np.ndarray) -> None:
    hu[inside(KIDNEY)] = 270
    hu[inside(KIDNEY, -8.0)] = 120


def in_muscle(hu: np.ndarray) -> None:
    """A lean patient: no fat around the kidney."""
    hu[hu == -90] = 50


@pytest.mark.parametrize("made", [stones, contrast, stent, rib, arterial, in_muscle])
def test_true_kidneys_stay_and_count(made: object) -> None:
    hu = chest_and_belly()
    made(hu)  # type: ignore[operator]
    labels, image = scan(hu)
    if made is contrast:  # as in reference maps: the sinus is no kidney
        labels.array[inside(((45, -20, -90), (14, 10, 20)))] = 0
    done = tidy(labels, image)
    assert dropped(done) == 0
    (kidney,) = measure(image, done.labels).kidneys
    assert kidney.is_kidney.answer.counts


@pytest.mark.parametrize(
    "blob",
    [
        ((60, 60, -140), (25, 20, 30)),
        ((0, -5, -110), (60, 10, 12)),
        ((-65, -20, -165), (20, 18, 9)),
    ],
    ids=["transplant", "isthmus", "cut tip"],
)
def test_a_kidney_elsewhere_stays(blob: Blob) -> None:
    hu = chest_and_belly()
    hu[inside(blob)] = 110
    labels, image = scan(hu, blob)
    assert dropped(tidy(labels, image)) == 0


def test_a_kidney_below_gas_filled_or_mottled_bowel_stays() -> None:
    """Gas and stool below a kidney are no lungs."""
    colon = inside(((0, 20, -130), (100, 60, 34)))
    for values in (np.full(SHAPE, -990), np.random.default_rng(1).integers(-950, -300, SHAPE)):
        hu = chest_and_belly()
        for lung in LUNGS:
            hu[inside(lung)] = -90
        hu[colon] = values[colon]
        small: Blob = ((-60, -30, -40), (20, 18, 22))
        hu[inside(small)] = 110
        labels, image = scan(hu, small)
        labels.array[inside(KIDNEY)] = 0
        assert dropped(tidy(labels, image)) == 0


def test_in_a_scan_upside_down_sure_kidneys_stay_but_are_doubtful() -> None:
    labels, image = scan(chest_and_belly())
    turned = [v.like(np.ascontiguousarray(v.array[..., ::-1]), v.kind) for v in (labels, image)]

    class Sure:
        kidney = turned[0].like((turned[0].array * 240).astype(np.uint8), Kind.PROBABILITY)
        lesion = None

    done = tidy(turned[0], turned[1], probability=Sure.kidney)
    assert dropped(done) == 0
    found = measure(turned[1], done.labels, Sure())
    assert [str(kidney.is_kidney.answer) for kidney in found.kidneys] == ["doubtful"]
    assert "of the lungs lie below it" in " ".join(found.notes)
    assert found.csv_row()["kidneys"] == "0"
    assert found.csv_row()["kidneys_doubtful"] == "1"


def test_a_small_sure_piece_in_the_shoulder_is_dropped_all_the_same() -> None:
    labels, image = scan(with_humerus(chest_and_belly()), SHOULDER)
    sure = labels.like((labels.array * 240).astype(np.uint8), Kind.PROBABILITY)
    assert dropped(tidy(labels, image, probability=sure)) == int(inside(SHOULDER).sum())


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_real_kidneys_with_stones_are_not_taken_for_bone(data_folder: Path, share: float) -> None:
    folder = data_folder / "real-ct" / "totalsegmentator-example"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    stored = nib.load(folder / "ct.nii.gz")
    mask = np.asarray(nib.load(folder / "kidneys_slices_82_to_111.nii.gz").dataobj) > 0
    hu = np.asarray(stored.dataobj).astype(np.int16)
    depth = np.argsort(np.argwhere(mask)[:, 1], kind="stable")
    places = np.argwhere(mask)[depth[: int(share * len(depth))]]
    hu[tuple(places.T)] = 1200
    labels = Volume(mask.astype(np.uint8), stored.affine, Kind.LABELS)
    assert dropped(tidy(labels, Volume(hu, stored.affine))) == 0


def test_a_vertebra_is_none_and_a_bright_cortex_stays() -> None:
    bone: Blob = ((-10, 20, -100), (24, 24, 24))
    hu = chest_and_belly()
    hu[inside(bone)] = 330  # a thin cortex, partly averaged away
    hu[inside(bone, -3.0)] = 150
    labels, image = scan(hu, bone)
    sure = np.full(SHAPE, 230, np.uint8)
    sure[inside(bone)] = 195  # as the network gave a real one: 0.77
    probability = Volume(sure, AFFINE, Kind.PROBABILITY)
    done = tidy(labels, image, probability=probability)
    assert dropped(done) == int(inside(bone).sum())
    assert "its surface" in next(c for c in done.changes if c.name == "impossible").sentence
    hu[inside(KIDNEY)] = 320  # an arterial cortex around the medulla, where the network is sure
    hu[inside(KIDNEY, -6.0)] = 110
    assert dropped(tidy(*scan(hu), probability=probability)) == 0
