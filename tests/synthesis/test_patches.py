"""Patches of synthetic bodies follow from the seed and vary as they are asked to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from renalis.synthesis.anatomy import compose
from renalis.synthesis.appearance import draw_appearance, mottled
from renalis.synthesis.invented_labels import invented_labels
from renalis.synthesis.patches import PatchPlan, draw_patch, load_body, save_body
from renalis.synthesis.tissues import Tissue


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bodies")
    for seed in range(2):
        rng = np.random.default_rng(seed)
        body = compose(invented_labels(rng, "normal"), rng, 4.0)
        # Stored as 2 mm so that the recipe's grids fit; only the size of the body is unusual.
        save_body(folder / f"{seed}.body", np.asarray(body.array), 2.0, seed)
    return folder


def test_stored_bodies_come_back(bodies: Path) -> None:
    body = load_body(bodies / "0.body")
    assert body.tissue.ndim == 3
    label = body.tissue[tuple(body.renal.T.astype(int))]
    assert np.isin(label, range(40, 60)).all()


def test_patches_follow_from_the_seed(bodies: Path) -> None:
    pool = [load_body(p) for p in sorted(bodies.glob("*.body"))]
    plan = PatchPlan((16, 24, 16), 2, (-200, 400))
    one = draw_patch(pool, plan, np.random.default_rng(1))
    two = draw_patch(pool, plan, np.random.default_rng(1))
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert one[0].shape == one[1].shape == (16, 24, 16)
    assert one[0].min() >= -1
    assert one[0].max() <= 1


def test_every_second_patch_has_another_size_where_a_stage_names_some(bodies: Path) -> None:
    pool = [load_body(p) for p in sorted(bodies.glob("*.body"))]
    plan = PatchPlan((16, 16, 16), 2, (-200, 400), other_patches=((16, 24, 16), (16, 16, 32)))
    shapes = Counter(
        draw_patch(pool, plan, np.random.default_rng(seed))[0].shape for seed in range(40)
    )
    assert set(shapes) == {(16, 16, 16), (16, 24, 16), (16, 16, 32)}
    assert 12 <= shapes[(16, 16, 16)] <= 28


def test_mottled_parenchyma_varies_more_and_nothing_else_does() -> None:
    plain = draw_appearance(np.random.default_rng(0))
    uneven = mottled(plain, np.random.default_rng(1))
    kidney = np.isin(np.arange(256), (Tissue.CORTEX, Tissue.MEDULLA))
    assert (uneven.coarse[kidney] >= 1.5 * plain.coarse[kidney]).all()
    assert np.array_equal(uneven.coarse[~kidney], plain.coarse[~kidney])
    assert np.array_equal(uneven.mean, plain.mean)


def test_shares_of_phases_decide_which_are_drawn(bodies: Path) -> None:
    pool = [load_body(p) for p in sorted(bodies.glob("*.body"))]
    bright = {}
    for name, shares in (("without", (1.0, 0.0, 0.0, 0.0)), ("with", (0.0, 0.0, 1.0, 0.0))):
        plan = PatchPlan((16, 16, 16), 2, (-200, 400), near=1.0, jitter=0.0, phases=shares)
        drawn = [draw_patch(pool, plan, np.random.default_rng(i)) for i in range(20)]
        bright[name] = np.median(np.concatenate([image[label == 1] for image, label in drawn]))
    # The window maps 300 HU to 1; kidneys enhance by about 100 HU.
    assert bright["with"] > bright["without"] + 0.15
