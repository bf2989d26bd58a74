"""Bodies are composed around kidneys, place them rightly, and follow from the seed."""

from __future__ import annotations

import functools

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.boxes import bounding_box
from renalis.synthesis.anatomy import compose
from renalis.synthesis.invented_labels import invented_labels
from renalis.synthesis.label_maps import label_maps, read_kits23_labels
from renalis.synthesis.patch_additions import (
    paint_large_mass,
    paint_more_lesions,
    paint_new_inside,
    paint_wide_pelvis,
)
from renalis.synthesis.random_fields import smooth_field
from renalis.synthesis.renal_tissues import paint_sinus, renal_tissues
from renalis.synthesis.tissues import LABEL_OF_TISSUE, RENAL, Tissue
from renalis.synthesis.varied_labels import add_lesions, varied_labels
from renalis.volume import CANONICAL, Volume


@functools.cache
def body_of(seed: int, spacing: float = 6.0) -> tuple[Volume, Volume]:
    rng = np.random.default_rng(seed)
    labels = invented_labels(rng, "normal")
    return labels, compose(labels, rng, spacing, vary=False)


@functools.cache
def invented(seed: int) -> np.ndarray:
    return np.asarray(invented_labels(np.random.default_rng(seed), "normal").array)


def kidneys(seed: int, margin: int = 24, healthy: bool = True) -> np.ndarray:
    """Labels of two invented kidneys at 1.5 mm, with so many voxels around them."""
    labels = invented(seed).copy()
    if healthy:
        labels[labels > 1] = 1
    box = bounding_box(labels)
    assert box is not None
    return np.pad(labels[box], margin)


def test_same_seed_gives_the_same_body_and_another_seed_another() -> None:
    one, two, other = body_of(0)[1], body_of.__wrapped__(0)[1], body_of(1)[1]
    assert np.array_equal(one.array, two.array)
    assert np.array_equal(one.affine, two.affine)
    assert one.shape != other.shape or not np.array_equal(one.array, other.array)


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_kidneys_stay_where_the_label_map_has_them(seed: int) -> None:
    labels, body = body_of(seed, 4.0)
    wanted = labels.world(np.argwhere(labels.array > 0))
    found = body.world(np.argwhere(LABEL_OF_TISSUE[body.array] > 0))
    # The body is bent by a few mm after the kidneys were put in.
    assert np.abs(wanted.mean(0) - found.mean(0)).max() < 6
    ratio = len(found) * body.voxel_ml / (len(wanted) * labels.voxel_ml)
    assert 0.8 < ratio < 1.2


@pytest.mark.parametrize("seed", [0, 3])
def test_a_kidney_that_crosses_the_midline_lies_before_the_spine(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tissue = compose(invented_labels(rng, "crossed"), rng, 4.0, vary=False).array
    spine = np.isin(tissue, (Tissue.SPONGY_BONE, Tissue.DISC))
    middle = int(np.median(np.nonzero(spine)[2]))
    near = (slice(None), slice(None), slice(middle - 4, middle + 5))
    kidney, spine = LABEL_OF_TISSUE[tissue][near] > 0, spine[near]
    assert np.count_nonzero(kidney) * 0.064 > 20
    behind_bone = np.maximum.accumulate(spine, axis=1)  # Y grows to the back
    assert not (kidney & behind_bone).any()


def test_liver_is_right_and_spleen_left_and_spine_behind() -> None:
    for seed in range(2):
        _, body = body_of(seed)

        def center(tissue: Tissue, body: Volume = body) -> np.ndarray:
            return body.world(np.argwhere(body.array == tissue)).mean(0)

        assert body.orientation == CANONICAL
        assert center(Tissue.LIVER)[0] > center(Tissue.SPLEEN)[0] + 50
        canal = center(Tissue.SPINAL_CANAL)
        heart = center(Tissue.HEART)
        assert canal[1] < heart[1]
        assert heart[2] > center(Tissue.LIVER)[2]


def test_a_body_holds_the_tissues_that_are_confused_with_kidneys() -> None:
    _, body = body_of(1, 4.0)
    present = set(np.unique(body.array))
    for tissue in (
        Tissue.SKIN,
        Tissue.FAT,
        Tissue.MUSCLE,
        Tissue.CORTICAL_BONE,
        Tissue.DISC,
        Tissue.LUNG,
        Tissue.LIVER,
        Tissue.SPLEEN,
        Tissue.PANCREAS,
        Tissue.BOWEL_WALL,
        Tissue.GAS,
        Tissue.ARTERY,
        Tissue.VEIN,
        Tissue.BLADDER,
        Tissue.CORTEX,
        Tissue.MEDULLA,
        Tissue.SINUS_FAT,
    ):
        assert int(tissue) in present, tissue.name


@pytest.mark.parametrize(
    ("kind", "parts"),
    [("normal", 2), ("single", 1), ("horseshoe", 1), ("pelvic", 2), ("transplant", 2)],
)
def test_invented_kidneys_have_as_many_parts_as_their_kind(kind: str, parts: int) -> None:
    for seed in range(2):
        labels = invented_labels(np.random.default_rng(seed), kind)
        whole = cc3d.dust(labels.array > 0, 5000, connectivity=26)
        assert cc3d.connected_components(whole, connectivity=26).max() == parts
        assert 80 < np.count_nonzero(labels.array) * labels.voxel_ml < 900


def test_an_unenhanced_kidney_without_lesions_is_among_the_variations() -> None:
    labels = kidneys(0, 20)
    sick = labels.copy()
    z, y, x = np.argwhere(labels == 1)[0]
    sick[z - 3 : z + 3, y - 3 : y + 3, x - 3 : x + 3] = 2
    whole, seen = np.count_nonzero(labels), set[str]()
    for seed in range(25):
        varied = varied_labels(sick, np.random.default_rng(seed), 1.5)
        found = {
            "without lesions": not (varied > 1).any(),
            "with a cyst": bool((varied == 3).any()),
            "one kidney removed": np.count_nonzero(varied) < 0.7 * whole,
        }
        seen |= {name for name, there in found.items() if there}
        if seen == found.keys():
            break
    assert seen == {"without lesions", "with a cyst", "one kidney removed"}


def test_more_lesions_are_painted_and_nothing_that_was_annotated_changes() -> None:
    rng = np.random.default_rng(5)
    labels = kidneys(5, healthy=False)
    before = renal_tissues(labels, rng, 1.5)[0]
    known = LABEL_OF_TISSUE[before]
    added = set()
    for _ in range(6):
        tissue = before.copy()
        paint_more_lesions(tissue, rng, 1.5)
        now = LABEL_OF_TISSUE[tissue]
        changed = now != known
        assert (known[changed] <= 1).all()
        assert (now[changed] > 1).all()
        added |= set(np.unique(now[changed]))
    assert added == {2, 3}


def test_a_large_mass_grows_out_of_a_kidney_and_spares_the_walls_of_the_body() -> None:
    rng = np.random.default_rng(6)
    labels = kidneys(5)
    tissue = renal_tissues(labels, rng, 1.5)[0]
    tissue[tissue == 0] = Tissue.FAT
    tissue[:, : tissue.shape[1] // 2][labels[:, : tissue.shape[1] // 2] == 0] = Tissue.MUSCLE
    grown, added = [], set()
    for _ in range(6):
        after = tissue.copy()
        paint_large_mass(after, rng, 1.5)
        changed = after != tissue
        now = LABEL_OF_TISSUE[after]
        assert (now[changed] > 1).all()
        assert not (tissue[changed] == Tissue.MUSCLE).any()
        parts = cc3d.connected_components(cc3d.dust(now > 0, 500), connectivity=26)
        assert parts.max() <= 2  # nothing floats away from its kidney
        grown.append(np.count_nonzero(changed) * 1.5**3 / 1000)
        added |= set(np.unique(now[changed]))
    assert max(grown) > 150
    assert added == {2, 3}


def test_a_wide_pelvis_fills_fat_at_the_hilum_and_changes_no_label() -> None:
    rng = np.random.default_rng(5)
    labels = kidneys(5)
    tissue, distance = renal_tissues(labels, rng, 1.5)
    tissue[tissue == 0] = Tissue.FAT
    grown = 0
    for _ in range(6):
        after = tissue.copy()
        paint_wide_pelvis(after, rng, 1.5)
        changed = after != tissue
        grown += int(changed.sum())
        assert (after[changed] == Tissue.COLLECTING_SYSTEM).all()
        assert np.array_equal(LABEL_OF_TISSUE[after], labels)
        assert not changed.any() or distance[changed].max() < 45
    assert grown * 1.5**3 / 1000 > 5


def kidneys_in_fat(seed: int) -> np.ndarray:
    """Tissues of two healthy invented kidneys at 1.5 mm."""
    return _kidneys_in_fat(seed).copy()


@functools.cache
def _kidneys_in_fat(seed: int) -> np.ndarray:
    tissue = renal_tissues(kidneys(seed), np.random.default_rng(seed), 1.5)[0]
    tissue[tissue == 0] = Tissue.FAT
    return tissue


def test_a_new_inside_changes_cortex_and_medulla_and_keeps_every_label() -> None:
    tissue = kidneys_in_fat(5)
    after = tissue.copy()
    paint_new_inside(after, np.random.default_rng(1), 1.5)
    changed = after != tissue
    assert np.array_equal(LABEL_OF_TISSUE[after], LABEL_OF_TISSUE[tissue])
    inside = np.isin(tissue, (Tissue.CORTEX, Tissue.MEDULLA))
    assert changed[inside].mean() > 0.1
    assert not changed[np.isin(tissue, (Tissue.FAT, Tissue.MUSCLE))].any()


def test_what_masks_leave_free_inside_is_mostly_fat_and_calyces_are_labelled_kidney() -> None:
    labels = kidneys(5, 12)
    fat, inside = [], []
    for seed in range(4, 8):
        tissue = renal_tissues(labels, np.random.default_rng(seed), 1.5)[0]
        assert np.array_equal(LABEL_OF_TISSUE[tissue], labels)
        sinus = tissue[(tissue > 0) & (labels == 0)]
        fat.append((sinus == Tissue.SINUS_FAT).mean())
        inside.append(np.isin(tissue, (Tissue.CALYX, Tissue.INNER_VESSEL)).mean(where=labels > 0))
    assert np.median(fat) > 0.85
    assert min(fat) < 0.8  # hydronephrosis is not forgotten
    assert 0.01 < np.median(inside) < 0.2


def test_some_sinuses_hold_stones_and_these_belong_to_no_label() -> None:
    sinus = np.ones((12, 14, 14), bool)
    depth = np.full(sinus.shape, 10, np.float32)
    held = []
    for seed in range(60):
        tissue = np.zeros(sinus.shape, np.uint8)
        paint_sinus(tissue, sinus, depth, np.random.default_rng(seed), 1.5)
        held.append((tissue == Tissue.STONE).any())
    assert 0.04 < np.mean(held) < 0.35
    assert LABEL_OF_TISSUE[Tissue.STONE] == 0


def test_a_new_inside_leaves_the_ureter_alone() -> None:
    tissue = kidneys_in_fat(5)
    far = tissue == Tissue.FAT
    far[10:-10] = False
    tissue[far] = Tissue.COLLECTING_SYSTEM
    for seed in range(4):
        after = tissue.copy()
        paint_new_inside(after, np.random.default_rng(seed), 1.5)
        assert (after[far] == Tissue.COLLECTING_SYSTEM).all()


def test_painted_lesions_stay_out_of_the_sinus() -> None:
    tissue = kidneys_in_fat(5)
    sinus = np.isin(tissue, (Tissue.SINUS_FAT, Tissue.COLLECTING_SYSTEM))
    grown = 0
    for seed in range(12):
        after = tissue.copy()
        paint_more_lesions(after, np.random.default_rng(seed), 1.5)
        lesion = LABEL_OF_TISSUE[after] > 1
        grown += np.count_nonzero(lesion)
        assert not (lesion & sinus).any()
    assert grown * 1.5**3 > 20_000


def test_lesions_lie_beside_each_other_as_often_as_is_asked() -> None:
    labels = kidneys(5)
    nowhere = np.zeros(labels.shape, bool)

    def extent(beside: float) -> float:
        """Median over patients of how far lesions spread, in mm."""
        spreads = []
        for seed in range(12):
            rng = np.random.default_rng(seed)
            more = add_lesions(labels, rng, 1.5, nowhere, tumors=0.0, clustered=beside)
            spreads.append(np.argwhere(more == 3).std(0).max() * 1.5)
        return float(np.median(spreads))

    assert extent(1.0) < 0.75 * extent(0.0)


def test_crossed_kidneys_lie_on_one_side_or_before_the_spine() -> None:
    fused = 0
    for seed in range(1, 5):
        labels = invented_labels(np.random.default_rng(seed), "crossed")
        mask = np.asarray(labels.array) > 0
        across = labels.world(np.argwhere(mask))[:, 0]
        side = np.sign(np.median(across))
        assert np.mean(across * side < -25) < 0.02
        fused += cc3d.connected_components(cc3d.dust(mask, 2000), connectivity=26).max() == 1
    assert fused == 3


def test_every_label_keeps_its_voxels_when_tissues_are_painted() -> None:
    rng = np.random.default_rng(2)
    labels = kidneys(2)
    z, y, x = (int(v) for v in np.median(np.argwhere(labels == 1), axis=0))
    labels[z - 8 : z + 8, y - 8 : y + 8, x - 40 : x - 24] = 2
    labels[z + 10 : z + 18, y - 8 : y + 8, x - 40 : x - 24] = 3
    tissue, distance = renal_tissues(labels, rng, 1.5)
    assert np.array_equal(LABEL_OF_TISSUE[tissue], labels)
    assert not distance[labels > 0].any()
    sinus = np.isin(tissue, [t for t in Tissue if t >= 40 and t not in RENAL])
    assert not (sinus & (labels > 0)).any()


def test_smooth_fields_have_about_unit_variance_and_vary_smoothly() -> None:
    field = smooth_field(np.random.default_rng(0), (60, 50, 40), 6)
    assert field.shape == (60, 50, 40)
    assert 0.6 < field.std() < 1.5
    assert np.abs(np.diff(field, axis=0)).max() < 0.35 * np.ptp(field)


def test_real_label_maps_make_bodies(data_folder) -> None:  # type: ignore[no-untyped-def]
    path = label_maps(data_folder / "kits23-labels")[3]
    labels = read_kits23_labels(path)
    truth = [np.count_nonzero(labels.array == v) * labels.voxel_ml for v in (1, 2, 3)]
    # Each body is bent at random, which changes a small tumor by a fifth; on average it does not.
    bodies = [compose(labels, np.random.default_rng(i), 4.0, vary=False) for i in range(4)]
    found = [
        np.mean([np.count_nonzero(LABEL_OF_TISSUE[b.array] == v) * b.voxel_ml for b in bodies])
        for v in (1, 2, 3)
    ]
    assert found == pytest.approx(truth, rel=0.15, abs=1.0)
