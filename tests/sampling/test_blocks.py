"""Windows cover everything; blocks know what they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renalis.sampling import block_any, cut, snapped_starts, window_list, window_starts

LENGTH = st.integers(1, 60)


@settings(deadline=None, max_examples=50)
@given(st.tuples(LENGTH, LENGTH, LENGTH), st.data())
def test_windows_cover_every_voxel(shape: tuple[int, int, int], data: st.DataObject) -> None:
    size = [data.draw(st.integers(1, 30)) for _ in shape]
    stride = [data.draw(st.integers(max(1, n // 2), n)) for n in size]
    covered = np.zeros(shape, bool)
    starts = window_list(shape, size, stride)
    for start in starts:
        covered[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))] = True
    assert covered.all()
    assert (starts >= 0).all()
    # None reaches beyond a border that it could have been shifted back from.
    assert (starts + size <= np.maximum(shape, size)).all()
    assert len(np.unique(starts, axis=0)) == len(starts)


def test_volumes_that_published_code_leaves_holes_in() -> None:
    for shape in ((150, 180, 180), (95, 230, 290), (200, 260, 300)):
        covered = np.zeros(shape, bool)
        for z, y, x in window_list(shape, (80, 160, 160), (60, 120, 120)):
            covered[z : z + 80, y : y + 160, x : x + 160] = True
        assert covered.all()


@settings(deadline=None)
@given(
    st.integers(1, 300), st.integers(2, 6), st.integers(0, 5), st.integers(6, 20), st.integers(0, 9)
)
def test_snapped_blocks_cover_and_lie_on_the_grid(
    length: int, grid: int, remainder: int, stride: int, extra: int
) -> None:
    size = stride + grid + extra
    starts = snapped_starts(length, size, stride, grid, remainder)
    assert (starts % grid == remainder % grid).all()
    assert starts[0] <= 0
    assert starts[-1] + size >= length
    assert len(starts) == 1 or starts[-2] + size < length
    assert (np.diff(starts) <= size).all()
    assert (np.diff(starts) > 0).all()


def test_strides_that_leave_gaps_are_refused() -> None:
    with pytest.raises(ValueError, match="gaps"):
        window_starts(100, 20, 21)
    with pytest.raises(ValueError, match="gaps"):
        snapped_starts(100, 8, 10, 4, 2)
    with pytest.raises(ValueError, match="finer"):
        snapped_starts(100, 8, 3, 4, 2)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6))
def test_block_any_equals_looking_into_each_block(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 20, 3)
    mask = rng.random(shape) < 0.02
    size = rng.integers(1, 9, 3)
    starts = [np.sort(rng.integers(-6, 24, 4)) for _ in shape]
    found = block_any(mask, starts, size)
    padded = np.pad(mask, 40)
    for index in np.ndindex(found.shape):
        first = [int(axis[i]) + 40 for axis, i in zip(starts, index, strict=True)]
        box = tuple(slice(f, f + n) for f, n in zip(first, size, strict=True))
        assert found[index] == padded[box].any()


@settings(deadline=None, max_examples=60)
@given(st.tuples(*[st.integers(-15, 25)] * 3), st.tuples(*[st.integers(1, 18)] * 3))
def test_cut_equals_padding(start: tuple[int, int, int], size: tuple[int, int, int]) -> None:
    array = np.arange(7 * 9 * 11, dtype=np.int16).reshape(7, 9, 11)
    padded = np.pad(array, 60, constant_values=-5)
    box = tuple(slice(s + 60, s + 60 + n) for s, n in zip(start, size, strict=True))
    block = cut(array, start, size, -5)
    assert block.dtype == np.int16
    np.testing.assert_array_equal(block, padded[box])
