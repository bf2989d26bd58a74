"""Statistics against what is known about them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from renalis.evaluation.ranking import rank
from renalis.evaluation.statistics import difference, holm, summary


def test_summary_against_numpy_and_scipy() -> None:
    values = np.random.default_rng(0).beta(8, 2, 60)
    found = summary([*values, math.nan, math.inf], seed=3)
    assert found.n == 60
    assert (found.mean, found.sd) == (
        pytest.approx(values.mean()),
        pytest.approx(values.std(ddof=1)),
    )
    assert found.median == pytest.approx(np.median(values))
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)
    assert summary(values, seed=3) == summary(values, seed=3)
    assert summary([]).n == 0
    assert math.isnan(summary([math.nan]).mean)
    assert math.isnan(summary([0.5]).sd)


def test_difference() -> None:
    rng = np.random.default_rng(5)
    first = rng.uniform(0.5, 0.9, 40)
    second = first + rng.normal(0.02, 0.03, 40)
    found = difference(first, second)
    assert found.p_wilcoxon == pytest.approx(scipy.stats.wilcoxon(second - first).pvalue)
    assert found.low < found.mean < found.high
    assert found.mean == pytest.approx((second - first).mean())
    back = difference(second, first)
    assert (back.mean, back.p_wilcoxon) == (
        pytest.approx(-found.mean),
        pytest.approx(found.p_wilcoxon),
    )
    same = difference(first, first)
    assert (same.p_wilcoxon, same.p_bootstrap, same.mean) == (1, 1, 0)
    assert difference([0.1, math.nan], [math.nan, 0.2]).n == 0


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    hits = sum((s := summary(rng.normal(0, 1, 40), seed=k)).low <= 0 <= s.high for k in range(120))
    assert 0.86 <= hits / 120 <= 1.0


def test_holm_never_lowers_and_keeps_order() -> None:
    p = [0.001, 0.2, math.nan, 0.02, 0.9]
    found = holm(p)
    assert found[0] == pytest.approx(0.004)
    assert found[3] == pytest.approx(0.06)
    assert math.isnan(found[2])
    assert found[4] == pytest.approx(0.9)


def official_ranks(dice: np.ndarray, surface: np.ndarray, tumor: np.ndarray) -> list[int]:
    """The steps of the challenge's ranking: rank both means, average, rank, untie by tumor Dice."""
    both = np.stack([scipy.stats.rankdata(-x, "min") for x in (dice, surface)], axis=1).mean(axis=1)
    ranks = scipy.stats.rankdata(both, "min").astype(int)
    for tied in [r for r in np.unique(ranks) if (ranks == r).sum() > 1]:
        members = np.flatnonzero(ranks == tied)
        ranks[members] = tied - 1 + scipy.stats.rankdata(-tumor[members], "min").astype(int)
    return list(ranks)


def test_ranking_against_the_official_steps() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        count = int(rng.integers(1, 9))
        dice, surface = (np.round(rng.uniform(0.3, 0.9, (count, 3)), 1) for _ in range(2))
        names = [f"s{k}" for k in range(count)]
        found = rank(
            dict(zip(names, dice.tolist(), strict=True)),
            dict(zip(names, surface.tolist(), strict=True)),
        )
        means = [np.round(x.mean(axis=1), 9) for x in (dice, surface)]
        expected = official_ranks(*means, dice[:, 2])
        assert [next(p.place for p in found if p.system == n) for n in names] == expected


def test_equal_scores_in_another_order_tie() -> None:
    scores = [0.1, 0.2, 0.3]
    assert np.mean(scores) != np.mean(scores[::-1])
    dice = {"a": [0.1, 0.2, 0.3], "b": [0.2, 0.1, 0.3]}
    surface = {"a": scores, "b": scores[::-1]}
    assert [p.place for p in rank(dice, surface)] == [1, 1]
    tumor = {"a": [0.6, 0.1 + 0.2], "b": [0.6, 0.3]}
    assert [p.place for p in rank(tumor, {"a": [0.5, 0.5], "b": [0.5, 0.5]})] == [1, 1]


def test_one_voxel_of_one_case_is_no_tie() -> None:
    dice = {"a": [0.9, 0.8], "b": [0.9, 0.8 + 1e-10]}
    places = rank(dice, {"a": [0.5, 0.5], "b": [0.5, 0.5]})
    assert [(p.system, p.place) for p in places] == [("b", 1), ("a", 2)]
