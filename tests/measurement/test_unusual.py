"""What lies beyond the scans that the model learned from is named, and ordinary scans are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from helpers.kidney_phantoms import LEFT, RIGHT, Phantom, grid_around

from renalis.laterality import Midline
from renalis.measurement import Kidney, measure
from renalis.measurement.unusual import noise_hu, unusual
from renalis.preparation.body import Body
from renalis.volume import Kind, Volume


@dataclass(frozen=True)
class Scan:
    """A trunk of soft tissue in air, with two kidneys, in canonical orientation."""

    image: Volume
    labels: Volume

    def rules(self, width: float = 340.0, kidneys: Sequence[Kidney] = ()) -> list[str]:
        """What is unusual about it, with a body of some width."""
        wide = round(width / 4) + 1
        mask = np.zeros((12, 60, wide + 30), np.uint8)
        mask[:, 10:50, 15 : 15 + wide] = 1
        coarse = Volume(mask, np.diag([4.0, 4.0, 4.0, 1.0]), Kind.LABELS)
        body = Body(coarse, (1, 1, 1), Midline(0.0))
        return [one.rule for one in unusual(self.image, self.labels, body, kidneys)]


def scan(thick: float = 3.0, count: int = 40, noise: float = 12.0, side: int = 96) -> Scan:
    affine = np.array([[0, 0, -4.0, 0], [0, -4.0, 0, 0], [thick, 0, 0, 0], [0, 0, 0, 1.0]])
    hu = np.full((count, side, side), 40.0)
    hu += np.random.default_rng(0).normal(0, noise, hu.shape)
    labels = np.zeros(hu.shape, np.uint8)
    for x in (30, side - 45):
        labels[: count // 2 + 1, 40:55, x : x + 15] = 1
    image = Volume(np.rint(hu).astype(np.int16), affine)
    return Scan(image, image.like(labels, Kind.LABELS))


@pytest.fixture(scope="module")
def kidneys() -> tuple[Kidney, ...]:
    return measure(*Phantom((LEFT, RIGHT)).draw(*grid_around((2.5, 2.5, 2.5)))).kidneys


@pytest.mark.parametrize(
    ("width", "lengths", "odd"),
    [
        (270.0, (82.0, 85.0), True),
        (250.0, (60.0, 70.0), True),
        (270.0, (82.0, 104.0), False),
        (270.0, (100.0, 104.0), False),
        (330.0, (82.0, 85.0), False),
        (270.0, (82.0,), False),
    ],
)
def test_short_kidneys_in_a_slim_body_are_a_childs(
    kidneys: tuple[Kidney, ...], width: float, lengths: tuple[float, ...], odd: bool
) -> None:
    short = [replace(one, length_mm=mm) for one, mm in zip(kidneys, lengths, strict=False)]
    assert scan().rules(width, short) == (["small_body"] if odd else [])
    # A kidney that is cut by the scan's border may be longer.
    cut = [replace(one, location=replace(one.location, borders=("superior",))) for one in short]
    assert scan().rules(width, cut) == []


def test_an_ordinary_scan_is_not_unusual() -> None:
    assert scan().rules() == []


@pytest.mark.parametrize(
    ("thick", "count", "rules"),
    [
        (7.5, 20, []),
        (7.6, 20, ["thick_slices"]),
        (10.0, 9, ["thick_slices", "few_slices"]),
        (5.0, 10, []),
        (5.0, 1, ["few_slices"]),
    ],
)
def test_thick_and_few_slices(thick: float, count: int, rules: list[str]) -> None:
    assert scan(thick, count).rules() == rules


@pytest.mark.parametrize(
    ("width", "rules"),
    [(160.0, []), (200.0, ["small_body"]), (260.0, []), (480.0, []), (520.0, ["large_body"])],
)
def test_small_and_large_bodies(width: float, rules: list[str]) -> None:
    # Below 18 cm reading says so already.
    assert scan().rules(width) == rules


@pytest.mark.parametrize("noise", [5.0, 20.0, 60.0])
def test_noise_is_measured(noise: float) -> None:
    noisy = scan(noise=noise)
    assert noise_hu(noisy.image) == pytest.approx(noise, rel=0.12)
    assert noisy.rules() == (["noise"] if noise > 45 else [])


def test_metal_counts_at_the_height_of_the_kidneys_alone() -> None:
    beside, above = scan(), scan()
    beside.image.array[5, 5:10, 5:10] = 3071
    above.image.array[38, 5:10, 5:10] = 3071
    assert beside.rules() == ["metal"]
    assert above.rules() == []


def test_a_clip_is_no_metal_to_speak_of() -> None:
    clip = scan()
    clip.image.array[5, 5, 5:9] = 3071
    assert clip.rules() == []


def test_a_kidney_at_the_edge_of_the_reconstruction_circle() -> None:
    cut, cropped, inside = scan(), scan(), scan()
    places = np.arange(96) - 47.5
    outside = np.hypot(places[:, None], places) > 48
    for one in (cut, inside):
        one.image.array[:, outside] = -1024
    for one in (cut, cropped):
        one.labels.array[:10, 44:52, 0:6] = 1
    assert cut.rules() == ["cut_by_circle"]
    assert cropped.rules() == []
    assert inside.rules() == []


@pytest.mark.parametrize(("hu", "odd"), [(32.0, True), (58.0, True), (62.0, False), (160.0, False)])
def test_kidneys_without_contrast_medium(hu: float, odd: bool) -> None:
    image, labels = Phantom((LEFT, RIGHT)).draw(*grid_around((2.5, 2.5, 2.5)))
    values = np.where(labels.array > 0, hu, image.array)
    found = measure(image.like(np.rint(values).astype(np.int16), Kind.IMAGE), labels)
    assert ("unenhanced" in found.unusual) is odd
    assert any("without contrast medium" in note for note in found.notes) is odd
    assert found.csv_row()["unusual"] == " ".join(found.unusual)
