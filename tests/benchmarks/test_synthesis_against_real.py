"""Slices are measured as the page on synthesis says, and real and synthetic ones alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import synthesis_against_real as against
import synthesis_against_real_page as page
from scipy import ndimage
from slice_measures import Slice, kidney_edge, measures
from slice_organs import organs

MM = (0.8, 0.8)


def disk(radius_mm: float, size: int = 160, mm: float = 0.8) -> np.ndarray:  # type: ignore[type-arg]
    y, x = (np.indices((size, size)) - (size - 1) / 2) * mm
    return np.asarray(np.hypot(y, x) < radius_mm)


def kidney(blur_mm: float, outline_mm: float = 0.0) -> Slice:
    """A round kidney of 120 HU in fat, outlined ``outline_mm`` outside of its border."""
    hu = np.where(disk(30), 120.0, -100.0)
    hu = ndimage.gaussian_filter(hu, blur_mm / MM[0])
    labels = disk(30 + outline_mm).astype(np.uint8)
    return Slice(against.through_greys(hu), labels, MM)


@pytest.mark.parametrize("blur_mm", [0.8, 1.2, 1.6])
def test_width_of_the_edge_is_that_of_the_blur(blur_mm: float) -> None:
    # A border that a Gaussian blurs falls from 80 to 20 % over 1.683 standard deviations.
    width = kidney_edge(kidney(blur_mm))["kidney_edge_mm"]
    assert width == pytest.approx(1.683 * np.hypot(blur_mm, 0.2), abs=0.2)


@pytest.mark.parametrize("outline_mm", [-1.0, 0.0, 1.0])
def test_an_outline_beside_the_edge_is_told_and_does_not_widen_it(outline_mm: float) -> None:
    found = kidney_edge(kidney(1.2, outline_mm))
    assert found["outline_to_edge_mm"] == pytest.approx(-outline_mm, abs=0.25)
    assert found["kidney_edge_mm"] == pytest.approx(2.0, abs=0.3)


@pytest.mark.parametrize("grain_mm", [0.6, 0.8, 1.0])
def test_texture_and_its_grain_are_those_of_the_noise(grain_mm: float) -> None:
    noise = np.random.default_rng(1).standard_normal((160, 160))
    noise = ndimage.gaussian_filter(noise, grain_mm / MM[0])
    hu = 120 + 15 * noise / noise.std()
    found = measures(Slice(against.through_greys(hu), disk(40).astype(np.uint8), MM), {})
    assert found["parenchyma_texture"] == pytest.approx(15, rel=0.12)
    # The autocorrelation exp(-d² / 4s²) is a half at d = 1.665 s.
    assert found["parenchyma_grain_mm"] == pytest.approx(1.665 * grain_mm, rel=0.2)
    assert found["parenchyma_hu"] == pytest.approx(120, abs=2)


def test_rim_core_and_contrast_of_a_tumor() -> None:
    labels = np.where(disk(20), 2, np.where(disk(45), 1, 0)).astype(np.uint8)
    hu = np.where(disk(12), 20.0, np.where(disk(20), 80.0, np.where(disk(45), 150.0, -100.0)))
    found = measures(Slice(hu.astype(np.float32), labels, MM), {})
    assert found["tumor_rim"] == pytest.approx(80)
    assert found["tumor_core"] == pytest.approx(20)
    assert found["tumor_rim_minus_core"] == pytest.approx(60)
    assert found["tumor_minus_parenchyma"] == pytest.approx(found["tumor_hu"] - 150)
    assert "cyst_hu" not in found


def test_slices_that_were_resampled_have_no_texture_and_no_edge() -> None:
    one = kidney(1.2)
    found = measures(Slice(one.hu, one.labels, MM, fine=False), {})
    assert "parenchyma_hu" in found
    assert not any(key.endswith(("texture", "grain_mm", "edge_mm")) for key in found)


def trunk() -> np.ndarray:  # type: ignore[type-arg]
    """CT numbers of a trunk in fat: spine, muscles behind it, aorta, liver, spleen; 1 mm pixels."""
    y, x = np.indices((300, 400)).astype(float)
    y, x = y - 150, x - 200
    hu = np.where((y / 125) ** 2 + (x / 175) ** 2 < 1, -100.0, -1000.0)
    hu[((y / 125) ** 2 + (x / 175) ** 2 < 1) & ((y / 120) ** 2 + (x / 170) ** 2 > 1)] = 20
    for row, column, height, width, value in (
        (45, 0, 20, 20, 300),  # vertebra
        (85, -35, 25, 22, 55),  # muscles
        (85, 35, 25, 22, 55),
        (10, 8, 10, 10, 220),  # aorta
        (-10, -105, 70, 55, 95),  # liver
        (40, 120, 40, 30, 120),  # spleen
    ):
        hu[((y - row) / height) ** 2 + ((x - column) / width) ** 2 < 1] = value
    return hu


def test_organs_are_found_on_their_side_and_measured() -> None:
    hu = against.through_greys(trunk())
    found = organs(hu, np.zeros(hu.shape, np.uint8), (1.0, 1.0))
    values = {name: float(np.median(hu[mask])) for name, mask in found.items()}
    wanted = {"muscle": 55, "aorta": 220, "liver": 95, "spleen": 120}
    assert values == {name: pytest.approx(value, abs=2) for name, value in wanted.items()}
    mirrored = organs(hu[:, ::-1], np.zeros(hu.shape, np.uint8), (1.0, 1.0))
    assert "spleen" not in mirrored or np.nonzero(mirrored["spleen"])[1].mean() > 200


def test_greys_clip_and_round_as_the_stored_slices_are() -> None:
    through = against.through_greys(np.array([-1000.0, -79.0, 0.4, 304.0, 900.0]))
    assert through == pytest.approx([-79, -79, 0.4, 304, 304], abs=0.76)


def test_share_of_real_values_inside_the_synthetic_range() -> None:
    made = against.Measured(0, {"a": [float(v) for v in range(101)]}, {})
    assert against.share_inside([0, 5, 50, 95, 100], made.table()["a"]) == 0.6
    assert against.share_inside([1.0], None) is None


def test_the_page_tells_before_from_after_and_holds_no_single_value(tmp_path: Path) -> None:
    real = against.Measured(3, {"tumor_hu": [20.0, 50.0, 123.456]}, {})
    made = against.Measured(20, {"tumor_hu": [10.0, 60.0] * 10}, {"liver": [1.0, 0.2]})
    result = against.compared(real, made, against.Measured(9, {"tumor_hu": [45.0] * 9}, {}).table())
    page.write(result, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text("utf-8")
    assert "| tumor | HU | 3 | 50 (23 to 116) | 45 (45 to 45) | 35 (10 to 60) | – | 0.67 |" in text
    assert "50% (liver, 2 slices)" in text
    assert (tmp_path / "page.svg").read_text("utf-8").startswith("<svg ")
    assert "123.4" not in text + str(result)
