"""How often intervals cover the true mean and tests reject what is true, in few cases.

    python benchmarks/few_cases.py [--trials 1000]

Draws scores with a known mean many times, seeded, and writes both tables into
``docs/explanation/evaluation.md``. The 95 % interval ought to cover the mean in 95 % of the trials;
a test at 0.05 ought to reject the truth in 5 % of them or fewer.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from inserted import insert, table
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from renalis.evaluation.exact_tests import sign_flip_p, signed_rank_p
from renalis.evaluation.intervals import studentized

Floats = NDArray[np.float64]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "evaluation.md"
CASES = (6, 8, 10, 20, 40)
TESTED = (6, 8, 10, 20)
RESAMPLES = 999


def _tumor(rng: np.random.Generator, n: int) -> Floats:
    """15 % missed altogether, the others as tumors that are found."""
    return np.where(rng.random(n) < 0.15, 0.0, rng.beta(6, 2, n))


def _mixed(rng: np.random.Generator, n: int) -> Floats:
    """40 % without a tumor in both maps (1), 10 % missed or invented (0)."""
    kind = rng.random(n)
    return np.where(kind < 0.4, 1.0, np.where(kind < 0.5, 0.0, rng.beta(6, 2, n)))


def _catastrophes(rng: np.random.Generator, n: int) -> Floats:
    """Small differences, and one case in ten that is altogether different."""
    return np.where(rng.random(n) < 0.1, rng.normal(0.5, 0.1, n), rng.normal(0, 0.03, n))


SCORES: dict[str, tuple[Callable[[np.random.Generator, int], Floats], float]] = {
    "normal": (lambda rng, n: rng.normal(0, 1, n), 0.0),
    "kidney Dice, Beta(30, 2)": (lambda rng, n: rng.beta(30, 2, n), 30 / 32),
    "tumor Dice, 15 % zeros": (_tumor, 0.85 * 0.75),
    "tumor Dice, 40 % ones, 10 % zeros": (_mixed, 0.4 + 0.5 * 0.75),
    "distances, lognormal": (lambda rng, n: rng.lognormal(0, 1, n), math.exp(0.5)),
    "differences, 10 % catastrophes": (_catastrophes, 0.05),
}
NULLS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "long tails (Laplace)": lambda rng, n: rng.laplace(0, 1, n),
    "to two decimals, many ties": lambda rng, n: np.round(rng.normal(0, 0.02, n), 2),
    "skewed, mean 0 (exponential)": lambda rng, n: rng.exponential(1, n) - 1,
}


def percentile(data: Floats, means: Floats) -> tuple[float, float]:
    """Efron's percentile bootstrap."""
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def bca(data: Floats, means: Floats) -> tuple[float, float]:
    """Efron's bias-corrected and accelerated bootstrap (1987)."""
    centered = data - data.mean()
    below = ((means < data.mean()).sum() + 0.5 * (means == data.mean()).sum() + 0.5) / (
        len(means) + 1
    )
    shift = ndtri(below)
    speed = (centered**3).sum() / (6 * (centered**2).sum() ** 1.5)
    ends = shift + ndtri(np.array([0.025, 0.975]))
    low, high = np.percentile(means, 100 * ndtr(shift + ends / (1 - speed * ends)))
    return float(low), float(high)


def student(data: Floats, means: Floats) -> tuple[float, float]:
    """Student's t."""
    half = float(stdtrit(len(data) - 1, 0.975)) * data.std(ddof=1) / math.sqrt(len(data))
    return float(data.mean() - half), float(data.mean() + half)


OTHERS = {"percentile": percentile, "BCa": bca, "Student": student}


def coverage(name: str, n: int, trials: int) -> dict[str, float]:
    """Share of trials in which each interval holds the true mean."""
    draw, truth = SCORES[name]
    rng = np.random.default_rng(n)
    drawn = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    held = dict.fromkeys((*OTHERS, "studentized"), 0)
    for _ in range(trials):
        data = draw(rng, n)
        means = data[drawn].mean(axis=1)
        limits = {k: f(data, means) if np.ptp(data) else (data[0],) * 2 for k, f in OTHERS.items()}
        limits["studentized"] = studentized(data, 0, RESAMPLES)
        for kind, (low, high) in limits.items():
            held[kind] += low <= truth <= high
    return {kind: count / trials for kind, count in held.items()}


def rejected(name: str, n: int, trials: int) -> dict[str, float]:
    """Share of trials in which each test rejects at 0.05 though both systems are equally good."""
    rng = np.random.default_rng(n)
    drawn = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    count = dict.fromkeys(("bootstrap", "permutation", "Wilcoxon"), 0)
    for _ in range(trials):
        data = NULLS[name](rng, n)
        means = data[drawn].mean(axis=1)
        rarer = min(int((means <= 0).sum()), int((means >= 0).sum()))
        count["bootstrap"] += 2 * (rarer + 1) / (len(means) + 1) <= 0.05
        count["permutation"] += sign_flip_p(data) <= 0.05
        count["Wilcoxon"] += signed_rank_p(data) <= 0.05
    return {kind: number / trials for kind, number in count.items()}


def main() -> int:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    kinds = [*OTHERS, "studentized"]
    rows = []
    for name in SCORES:
        for n in CASES:
            found = coverage(name, n, trials)
            rows.append([name, str(n), *(f"{100 * found[k]:.1f}" for k in kinds)])
    covered = table(["scores", "cases", *(f"{k} (%)" for k in kinds)], rows)
    rows = []
    for name in NULLS:
        for n in TESTED:
            error = rejected(name, n, trials)
            rows.append([name, str(n), *(f"{100 * v:.1f}" for v in error.values())])
    tests = table(
        ["differences", "cases", "bootstrap (%)", "permutation (%)", "Wilcoxon (%)"], rows
    )
    insert(
        PAGE,
        "few_cases",
        f"`python benchmarks/few_cases.py`, {trials} trials a row, {RESAMPLES} resamples; a share "
        f"of 95 % is known to ± {196 * math.sqrt(0.95 * 0.05 / trials):.1f}.\n\n"
        f"**How often the 95 % interval holds the true mean**\n\n{covered}\n\n"
        f"**How often a test at 0.05 rejects what is true**\n\n{tests}",
    )
    print(f"{covered}\n\n{tests}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
