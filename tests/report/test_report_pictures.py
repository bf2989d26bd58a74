"""Gray values, aspect ratio, outlines, scale bar, colors."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.report_case import made_up
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from renalis.conventions import Label
from renalis.report.outlines import BEYOND, outlines
from renalis.report.picture import ABDOMEN, gray, picture, scale_bar_mm
from renalis.report.picture_choice import largest, shaped
from renalis.report.planes import Cut, Edges, Plane
from renalis.report.raster import dashed, paint
from renalis.report.scene import Scene, view
from renalis.report.style import STYLES

EDGES = Edges("R", "L", "A", "P")


def flat(mask: np.ndarray, row_mm: float, column_mm: float) -> Cut:
    return Cut(mask, row_mm, column_mm, EDGES, "S 1.0 mm")


def area(points: np.ndarray) -> float:
    """Shoelace formula."""
    x, y = points[:-1, 0], points[:-1, 1]
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def test_window_ends_and_middle() -> None:
    hu = np.array([-2000, -160, 40, 240, 3000], np.int16)
    assert gray(hu, ABDOMEN).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(("row_mm", "column_mm"), [(1.0, 1.0), (5.0, 0.7), (0.6, 2.0)])
def test_a_ball_is_round_for_any_voxel_shape(row_mm: float, column_mm: float) -> None:
    rows, columns = round(120 / row_mm), round(150 / column_mm)
    y, x = np.mgrid[:rows, :columns]
    disk = ((y + 0.5) * row_mm - 60) ** 2 + ((x + 0.5) * column_mm - 70) ** 2 <= 40**2
    shown = picture(
        flat(np.where(disk, 200, -100).astype(np.int16), row_mm, column_mm),
        disk.astype(np.uint8),
        size=(400, 600),
        title="",
        place="",
    )
    assert abs(shown.width * shown.mm - 150) < 2
    assert abs(shown.height * shown.mm - 120) < 2
    white = np.argwhere(shown.pixels > 128)
    high, wide = (np.ptp(white, axis=0) + 1) * shown.mm
    assert high == pytest.approx(80, abs=1.5 * max(row_mm, column_mm))
    assert wide == pytest.approx(80, abs=1.5 * max(row_mm, column_mm))
    (line,) = shown.outlines
    assert line.points.mean(axis=0) * shown.mm == pytest.approx([70, 60], abs=max(row_mm, 2))
    assert abs(area(line.points)) * shown.mm**2 == pytest.approx(np.pi * 40**2, rel=0.06)


@given(mask=hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@settings(max_examples=60, deadline=None)
def test_outlines_enclose_the_region(mask: np.ndarray) -> None:
    padded = np.pad(mask, BEYOND + 1)
    lines = outlines(padded, (1.0, 1.0))
    assert bool(lines) == bool(mask.any())
    # Holes run the other way round, so that the signed areas add up to the region's area.
    total = abs(sum(area(line) for line in lines))
    corners = 0.5 * np.abs(np.diff(np.diff(padded.astype(int), axis=0), axis=1)).sum()
    assert abs(total - mask.sum()) <= 0.5 * corners + 1e-6
    for line in lines:
        np.testing.assert_allclose(line[0], line[-1])


def test_single_pixel_keeps_an_outline() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 6] = True
    (line,) = outlines(mask, (2.0, 3.0))
    assert line[:-1].mean(axis=0) == pytest.approx([6.5 * 3, 4.5 * 2], abs=0.3)


def test_region_cut_by_the_picture_has_no_line_along_its_edge() -> None:
    mask = np.zeros((20, 20), bool)
    mask[5:15, 8:] = True
    (line,) = outlines(mask, (1.0, 1.0))
    assert not np.any((line[:, 0] > 19) & (line[:, 0] < 20.5) & (np.abs(line[:, 1] - 10) < 4))
    assert line[:, 0].max() > 20


@pytest.mark.parametrize(("width", "bar"), [(40, 10), (85, 20), (240, 50), (420, 100)])
def test_scale_bar_is_a_round_length(width: float, bar: int) -> None:
    assert scale_bar_mm(width) == bar


def test_scale_bar_is_drawn_to_scale() -> None:
    black = flat(np.full((100, 150), -1000, np.int16), 2.0, 2.0)
    empty = np.zeros((100, 150), np.uint8)
    shown = picture(black, empty, size=(400, 600), title="", place="")
    drawn = np.asarray(paint(shown).convert("L"))
    row = drawn[shown.height - 9, : shown.width // 3]  # the letter P is in the middle
    lit = np.flatnonzero(row > 200)
    assert np.ptp(lit) * shown.mm == pytest.approx(shown.bar_mm, abs=1.5)


@given(period=st.floats(3.0, 20.0), share=st.floats(0.2, 0.8))
@settings(max_examples=30, deadline=None)
def test_dashes_cover_their_share_of_the_line(period: float, share: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = 50 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    pieces = dashed(circle, (period * share, period * (1 - share)))
    drawn = sum(np.linalg.norm(np.diff(piece, axis=0), axis=1).sum() for piece in pieces)
    whole = np.linalg.norm(np.diff(circle, axis=0), axis=1).sum()
    assert drawn / whole == pytest.approx(share, abs=0.02)
    assert len(dashed(circle, ())) == 1


def test_lesion_names_stand_beside_their_lesion() -> None:
    labels = np.zeros((60, 100), np.uint8)
    numbers = np.zeros((60, 100), np.uint16)
    labels[10:20, 70:80], numbers[10:20, 70:80] = Label.TUMOR, 1
    labels[12:22, 20:30], numbers[12:22, 20:30] = Label.CYST, 2
    shown = picture(
        flat(np.zeros((60, 100), np.int16), 1.0, 1.0),
        labels,
        size=(300, 500),
        title="",
        place="",
        lesions=numbers,
        names={1: "T1", 2: "C1"},
    )
    tags = {tag.text: tag for tag in shown.tags}
    assert (tags["T1"].x * shown.mm, tags["T1"].side) == (80, 1)
    assert (tags["C1"].x * shown.mm, tags["C1"].side) == (20, -1)
    assert tags["T1"].y * shown.mm == pytest.approx(15)


# Machado, Oliveira and Fernandes, IEEE TVCG 2009, severity 1.0, for linear RGB.
BLINDNESS = {
    "none": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "protanopia": (
        0.152286, 1.052583, -0.204868,
        0.114503, 0.786281, 0.099216,
        -0.003882, -0.048116, 1.051998,
    ),
    "deuteranopia": (
        0.367322, 0.860646, -0.227968,
        0.280085, 0.672501, 0.047413,
        -0.011820, 0.042940, 0.968881,
    ),
    "tritanopia": (
        1.255528, -0.076749, -0.178779,
        -0.078411, 0.930809, 0.147602,
        0.004733, 0.691367, 0.303900,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(BLINDNESS))
def test_colors_stay_apart_for_the_color_blind(kind: str) -> None:
    from skimage.color import deltaE_ciede2000, rgb2lab

    srgb = np.array([style.rgb for style in STYLES.values()]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.reshape(BLINDNESS[kind], (3, 3)).T, 0, 1)
    back = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(back[None])[0]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert deltaE_ciede2000(lab[one], lab[two]) > 20
    assert len({style.dashes for style in STYLES.values()}) == len(STYLES)


def test_the_slice_that_shows_most_is_found() -> None:
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[2:5, 3, 4:9] = 1
    labels[3, 2:8, 5] = 1
    assert largest(labels > 0, 0) == 3
    assert largest(labels > 0, 1) == 3


@given(
    aspect=st.floats(0.4, 2.5),
    start=st.tuples(*[st.integers(0, 30)] * 3),
    length=st.tuples(*[st.integers(3, 20)] * 3),
    plane=st.sampled_from(list(Plane)),
)
@settings(max_examples=60, deadline=None)
def test_boxes_only_grow_and_stay_inside(
    aspect: float, start: tuple[int, ...], length: tuple[int, ...], plane: Plane
) -> None:
    image, _ = made_up()
    box = tuple(slice(s, s + n) for s, n in zip(start, length, strict=True))
    grown = shaped((box[0], box[1], box[2]), image, plane, aspect)
    for before, after, size in zip(box, grown, image.shape, strict=True):
        assert 0 <= after.start <= before.start < before.stop <= after.stop <= size


def test_picture_shows_the_slice_it_names() -> None:
    image, labels = made_up("RAS")
    scene = Scene.of(image, labels)
    assert scene.box is not None
    shown = view(scene, Plane.AXIAL, 30, box=scene.box, size=(300, 400), title="x")
    assert shown.place.endswith("slice 31 of 56")
    assert {line.style.name for line in shown.outlines} == {"kidney", "tumor"}
    # The tumor belongs to the patient's right kidney: the viewer's left.
    tumor = next(line for line in shown.outlines if line.style.name == "tumor")
    assert tumor.points[:, 0].max() < shown.width / 2
