"""Volume intervals from probabilities on a grid of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from helpers.kidney_phantoms import LEFT, RIGHT, RIGHT_TUMOR, Phantom, grid_around
from hypothesis import given
from hypothesis import strategies as st

from renalis.calibration import Fit, Fits, logit
from renalis.look_spread import LookSpread, agreement_of
from renalis.measurement import Measurements, measure
from renalis.volume import Kind, Volume


@dataclass(frozen=True)
class Given:
    """The two probability volumes of a prediction."""

    kidney: Volume | None
    lesion: Volume | None


def ramp(shape, softness: float, affine: np.ndarray, size: tuple[int, int, int]) -> Volume:
    """Probability that falls from 1 to 0 over ``softness`` of the shape's radius."""
    grid = Volume(np.zeros(size, np.uint8), affine)
    points = grid.world(np.stack(np.indices(size), axis=-1))
    away = np.sqrt((((points - np.array(shape.center)) / np.array(shape.radii)) ** 2).sum(axis=-1))
    probability = np.clip(0.5 + (1 - away) / softness, 0, 1)
    return Volume((probability * 255).astype(np.uint8), affine, Kind.PROBABILITY)


@pytest.fixture(scope="module")
def found() -> Measurements:
    image, labels = Phantom((LEFT, RIGHT, RIGHT_TUMOR)).draw(
        *grid_around((1.5, 1.5, 2.0), (115, 82, 75))
    )
    affine, size = grid_around((2.0, 2.0, 2.0), (130, 60, 75), turn_deg=7)
    tumor = ramp(RIGHT_TUMOR, 0.4, affine, size)
    kidneys = [ramp(shape, 0.3, affine, size).array for shape in (LEFT, RIGHT, RIGHT_TUMOR)]
    kidney = tumor.like(np.max(kidneys, axis=0), Kind.PROBABILITY)
    return measure(image, labels, Given(kidney, tumor))


def test_interval_of_a_sphere_by_formula(found: Measurements) -> None:
    confidence = found.lesions[0].confidence
    assert confidence is not None
    # p > 0.75 within 0.9 radii, p > 0.25 within 1.1 radii.
    assert confidence.low_ml == pytest.approx(RIGHT_TUMOR.ml * 0.9**3, rel=0.06)
    assert confidence.high_ml == pytest.approx(RIGHT_TUMOR.ml * 1.1**3, rel=0.06)
    assert confidence.low_ml <= found.lesions[0].volume_ml <= confidence.high_ml
    # Mean of clip(0.5 + (1 - r) / 0.4) over the unit ball, by quadrature.
    r = np.linspace(0, 1, 10001)
    mean = np.trapezoid(np.clip(0.5 + (1 - r) / 0.4, 0, 1) * 3 * r**2, r)
    assert confidence.mean_probability == pytest.approx(mean, abs=0.03)


def test_interval_of_a_kidney_by_formula(found: Measurements) -> None:
    left = found.kidney("left")
    assert left is not None
    assert left.confidence is not None
    assert left.confidence.low_ml == pytest.approx(LEFT.ml * 0.925**3, rel=0.05)
    assert left.confidence.high_ml == pytest.approx(LEFT.ml * 1.075**3, rel=0.05)


def test_no_probabilities_no_confidence() -> None:
    image, labels = Phantom((LEFT, RIGHT, RIGHT_TUMOR)).draw(*grid_around((2, 2, 2.5)))
    for maps in (None, Given(None, None)):
        found = measure(image, labels, maps)
        assert found.kidneys[0].confidence is None
        assert found.lesions[0].confidence is None


def test_a_structure_outside_the_probabilities_has_no_confidence() -> None:
    image, labels = Phantom((LEFT, RIGHT)).draw(*grid_around((2, 2, 2.5)))
    affine, size = grid_around((2.0, 2.0, 2.0), (60, 60, 75))
    affine[0, 3] += 75
    found = measure(image, labels, Given(ramp(RIGHT, 0.3, affine, size), None))
    left, right = found.kidneys
    assert left.confidence is None
    assert right.confidence is not None


def fixed(share: float) -> Fit:
    """A curve that says the same of everything."""
    return Fit(intercept=logit(share), weights={})


@pytest.fixture(scope="module")
def sure() -> Measurements:
    image, labels = Phantom((LEFT, RIGHT, RIGHT_TUMOR)).draw(*grid_around((2, 2, 2.5)))
    kidney = labels.like(np.where(labels.array > 0, 255, 0).astype(np.uint8), Kind.PROBABILITY)
    lesion = labels.like(np.where(labels.array > 1, 153, 0).astype(np.uint8), Kind.PROBABILITY)
    off = lesion.like(np.where(labels.array > 1, 102, 0).astype(np.uint8), Kind.PROBABILITY)
    spread = LookSpread(kidney.like(kidney.array * 0, Kind.PROBABILITY), off, 4)
    case = Fit(intercept=0.0, weights={"agreement_logit": 0.5})
    fits = Fits(case=case, lesion=fixed(0.8), kind=fixed(0.6), basis="three scans")
    return measure(image, labels, Given(kidney, lesion), spread=spread, fits=fits)


def test_looks_that_differ_agree_less(sure: Measurements) -> None:
    tumor, kidney = sure.lesions[0].confidence, sure.kidneys[1].confidence
    assert tumor is not None
    assert kidney is not None
    # A mean of 0.6 and a standard deviation of 0.2 over four looks.
    assert tumor.agreement_fraction == pytest.approx((0.36 - 0.04 / 3) / 0.40, abs=0.02)
    assert kidney.agreement_fraction == pytest.approx(1)


def test_what_was_measured_is_said_of_case_and_lesion(sure: Measurements) -> None:
    tumor, case = sure.lesions[0].confidence, sure.confidence
    assert tumor is not None
    assert case is not None
    assert (tumor.lesion_confidence, tumor.kind_confidence) == pytest.approx((0.8, 0.6))
    assert case.mean_probability == pytest.approx(1, abs=0.05)
    assert case.case_confidence == pytest.approx(1 / (1 + np.exp(-0.5 * logit(1))))
    assert (case.agreement_among, case.basis) == ("4 mirrored looks", "three scans")
    row = sure.csv_row()
    assert row["case_confidence"] == "0.969"
    assert row["largest_tumor_confidence"] == row["least_lesion_confidence"] == "0.800"


def test_without_what_was_measured_only_agreement_is_said(found: Measurements) -> None:
    assert found.confidence is not None
    assert found.confidence.case_confidence is found.confidence.agreement_fraction is None
    assert found.confidence.basis.startswith("nothing was measured")
    assert found.confidence.agreement_among == ""
    known = [kidney.confidence for kidney in found.kidneys]
    low, high = (sum(getattr(one, name) for one in known) for name in ("low_ml", "high_ml"))
    assert found.confidence.margin_fraction == pytest.approx(low / high)
    assert found.csv_row()["case_confidence"] == ""


@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_agreement_is_the_mean_overlap_of_pairs_of_looks(looks: int, seed: int) -> None:
    p = np.random.default_rng(seed).random((looks, 40))
    pairs = [(p[i] * p[j]).sum() for i in range(looks) for j in range(looks) if i != j]
    expected = np.mean(pairs) / np.mean([(own * own).sum() for own in p])
    found = agreement_of(p.mean(0), p.std(0), looks)
    assert found == pytest.approx(expected, rel=1e-6)
