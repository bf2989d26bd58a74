"""Values that show tissue, but not where it lies in HU, are named; ordinary scans are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from renalis.io.hu import settle_hu
from renalis.io.hu_likeness import hu_likeness
from renalis.io.value_counts import value_counts


def body(seed: int = 0, fat: float = 0.25, air: float = 0.4, soft: float = 45.0) -> np.ndarray:
    """Voxels of a trunk: air, fat and soft tissue with noise, a little bone."""
    rng = np.random.default_rng(seed)
    count = 120_000
    parts = [(-1000, air), (-100, fat), (soft, 0.97 - air - fat), (400, 0.03)]
    hu = np.concatenate([rng.normal(place, 14, int(share * count)) for place, share in parts])
    return np.rint(rng.permutation(hu)).astype(np.int32)


def stored(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), -32767, 32767).astype(np.int16)


@given(st.integers(0, 1000), st.floats(0.1, 0.4), st.floats(0.1, 0.45), st.floats(20.0, 90.0))
def test_hu_look_like_nothing_else(seed: int, fat: float, air: float, soft: float) -> None:
    assert hu_likeness(value_counts(stored(body(seed, fat, air, soft)))) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda hu: hu * 2, "doubled"),
        (lambda hu: hu / 2, "halved"),
        (lambda hu: hu + 100, "plus about 100"),
        (lambda hu: hu - 100, "minus about 100"),
        (lambda hu: hu + 250, "plus about 250"),
        (lambda hu: hu - 300, "minus about 300"),
    ],
    ids=["doubled", "halved", "plus-100", "minus-100", "plus-250", "minus-300"],
)
def test_scaled_and_shifted_values_are_named(change, words: str) -> None:
    values = stored(change(body()))
    likeness = hu_likeness(value_counts(values))
    assert likeness.split()[0] == words.split(maxsplit=1)[0]
    if "about" in words:
        assert int(likeness.split()[-1]) == pytest.approx(int(words.rsplit(maxsplit=1)[-1]), abs=20)


def test_the_reader_of_the_scan_is_warned() -> None:
    array = stored(body() + 100)[:118_000].reshape(59, 50, 40)
    (warning,) = settle_hu(array, "scan.nii")
    assert warning.startswith("values look like HU plus about 100: ")
    kept = stored(body())[:118_000].reshape(59, 50, 40)
    assert settle_hu(kept, "scan.nii") == []
