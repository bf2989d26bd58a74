"""Voxels travel to the page and back without being turned or lost, whatever axes the scan has."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest
from helpers.report_case import ALL_ORDERS
from hypothesis import given
from hypothesis import strategies as st

from renalis.errors import InputError
from renalis.viewer.grids import grid_code, labels_from_page, nifti_chunks, packed_labels
from renalis.volume import Kind, Volume

SIZES = st.tuples(*[st.integers(1, 6)] * 3)


def grid(order: str, shape: tuple[int, int, int], shear: float = 0.0) -> Volume:
    """An oblique, possibly sheared grid with different voxels everywhere."""
    angle = 0.2
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, shear, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.7, 0.9, 2.5])
    affine[:3, 3] = (-20, 30, 5)
    voxels = np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 7
    return Volume(voxels, affine).reoriented(order)


@given(order=st.sampled_from(ALL_ORDERS), shape=SIZES, shear=st.sampled_from([0.0, 0.3]))
def test_the_page_gets_each_voxel_in_its_place(
    order: str, shape: tuple[int, int, int], shear: float
) -> None:
    image = grid(order, shape, shear)
    size, chunks = nifti_chunks(image)
    content = b"".join(chunks)
    assert len(content) == size
    file = nib.Nifti1Image.from_bytes(content)
    array = np.asarray(file.dataobj)
    turned = image.reoriented("RAS")
    assert np.array_equal(array, turned.array)
    assert np.allclose(file.affine, turned.affine, atol=1e-4)


@given(order=st.sampled_from(ALL_ORDERS), shape=SIZES)
def test_labels_come_back_as_they_went(order: str, shape: tuple[int, int, int]) -> None:
    image = grid(order, shape)
    labels = image.like((image.array % 4).astype(np.uint8), Kind.LABELS)
    back = labels_from_page(packed_labels(labels), image)
    assert np.array_equal(back.array, labels.array)
    assert np.array_equal(back.affine, image.affine)


def test_labels_and_scan_have_the_same_order() -> None:
    image = grid("PLI", (3, 4, 5))
    labels = image.like(((image.array + 7) % 4).astype(np.uint8), Kind.LABELS)
    _, chunks = nifti_chunks(image)
    voxels = np.frombuffer(b"".join(chunks)[352:], "<i2")
    marks = np.frombuffer(gzip.decompress(packed_labels(labels)), np.uint8)
    assert np.array_equal((voxels + 7) % 4, marks)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"no gzip", "no gzip"),
        (gzip.compress(bytes(59)), "60 voxels"),
        (gzip.compress(bytes(61)), "60 voxels"),
        (gzip.compress(bytes(60))[:-6], "60 voxels"),
        (gzip.compress(bytes(60)) + b"more", "60 voxels"),
        (gzip.compress(bytes([4]) * 60), "other labels"),
        (b"", "60 voxels"),
    ],
    ids=["no gzip", "short", "long", "cut off", "more after it", "unknown class", "nothing"],
)
def test_what_is_no_label_map_of_the_grid_is_refused(sent: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        labels_from_page(sent, grid("RAS", (3, 4, 5)))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(200_000_000))
    with pytest.raises(InputError, match="60 voxels"):
        labels_from_page(bomb, grid("RAS", (3, 4, 5)))


def test_another_grid_has_another_code() -> None:
    one = grid("RAS", (3, 4, 5))
    moved = one.affine.copy()
    moved[0, 3] += 1e-6
    others = [grid("LAS", (3, 4, 5)), grid("RAS", (5, 4, 3)), Volume(one.array, moved)]
    assert grid_code(one) not in {grid_code(other) for other in others}
    assert grid_code(one) == grid_code(Volume(one.array + 1, one.affine))


def test_the_header_is_little_endian_with_a_window() -> None:
    _, chunks = nifti_chunks(grid("RAS", (3, 4, 5)))
    head = next(iter(chunks))
    assert struct.unpack("<i", head[:4]) == (348,)
    assert struct.unpack("<3h", head[42:48]) == (3, 4, 5)
    assert struct.unpack("<2f", head[124:132]) == (240.0, -160.0)
