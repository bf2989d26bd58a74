"""A folder of prepared cases with a limit: what was used longest ago goes, never what is used."""

from __future__ import annotations

import os
import time
import warnings
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from renalis.cli.recipe_arguments import cache_bytes
from renalis.errors import CacheWarning, UsageError
from renalis.preparation import GridSpec, PreparedCase, cached_case, set_limit
from renalis.volume import Kind, Volume

GRID = GridSpec("mm3", spacing_mm=(3, 3, 3), clip_hu=(-500, 400), sub=-500, div=900)
SHAPE = (24, 24, 24)
BYTES = 3 * 24**3
"""Of a case: int16 and uint8; its index takes some hundred more."""


def case(root: Path, name: str) -> PreparedCase:
    image = Volume(np.full(SHAPE, len(name), np.int16), np.diag([3.0, 3, 3, 1]))
    label = Volume(np.ones(SHAPE, np.uint8), np.diag([3.0, 3, 3, 1]), Kind.LABELS)
    time.sleep(0.01)  # times of use have to differ
    return cached_case(root, name, lambda: (image, label), [GRID])


def sizes(root: Path) -> int:
    return sum(path.stat().st_size for path in root.glob("[!.]*/*"))


def there(root: Path, known: dict[str, Path]) -> set[str]:
    return {name for name, folder in known.items() if folder.is_dir()}


def folder(prepared: PreparedCase) -> Path:
    return Path(prepared.grid("mm3").image.filename).parent  # type: ignore[attr-defined]


def test_what_was_used_longest_ago_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    limit = int(2.9 * BYTES)
    set_limit(tmp_path, limit)
    used = case(tmp_path, "a")
    known = {"a": folder(used)} | {name: folder(case(tmp_path, name)) for name in "b"}
    with pytest.warns(CacheWarning, match=r"1 prepared case of 0\.00 GB, used longest ago"):
        known["c"] = folder(case(tmp_path, "c"))
    assert there(tmp_path, known) == {"a", "c"}
    assert sizes(tmp_path) <= limit
    assert used.grid("mm3").image[3, 3, 3] == 1
    # Used again, it is the newest: the other goes, though it was prepared later.
    del used
    case(tmp_path, "a")
    with pytest.warns(CacheWarning):
        known["d"] = folder(case(tmp_path, "d"))
    assert there(tmp_path, known) == {"a", "d"}
    assert [path.name for path in tmp_path.glob(".use/*")] == ["turn.lock"]


def test_what_is_in_use_stays_beyond_the_limit_too_and_it_is_said(tmp_path: Path) -> None:
    set_limit(tmp_path, int(1.5 * BYTES))
    first = case(tmp_path, "a")
    with pytest.warns(CacheWarning, match="in use fill .* beyond its limit"):
        second = case(tmp_path, "b")
    assert folder(first).is_dir()
    assert folder(second).is_dir()


def test_what_a_killed_process_used_goes(tmp_path: Path) -> None:
    set_limit(tmp_path, int(2.5 * BYTES))
    known = {name: folder(case(tmp_path, name)) for name in "ab"}
    note = tmp_path / ".use" / "0123456789abcdef"
    note.write_text(f"{known['a'].name}\n")
    with pytest.warns(CacheWarning):
        known["c"] = folder(case(tmp_path, "c"))
    assert there(tmp_path, known) == {"b", "c"}
    assert not note.exists()


def test_a_process_that_lives_keeps_what_it_has_noted(tmp_path: Path) -> None:
    set_limit(tmp_path, int(2.5 * BYTES))
    kept = case(tmp_path, "a")
    other = folder(case(tmp_path, "b"))
    child = os.fork()
    if not child:
        del kept  # a forked process takes nothing of its parent's away
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.warns(CacheWarning):
        case(tmp_path, "c")
    assert folder(kept).is_dir()
    assert not other.exists()


def test_without_a_limit_nothing_goes(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = {name: folder(case(tmp_path, name)) for name in "abc"}
    assert there(tmp_path, known) == set("abc")


@pytest.mark.parametrize(
    ("text", "found"), [(None, None), ("200G", 200 * 10**9), ("1.5m", 1_500_000)]
)
def test_a_limit_is_a_size(text: str | None, found: int | None) -> None:
    assert cache_bytes(Namespace(cache_limit=text)) == found
    with pytest.raises(UsageError, match="--cache-limit '5X' is no size"):
        cache_bytes(Namespace(cache_limit="5X"))
