"""YAML that is made to do harm, wherever YAML is read: refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from renalis.errors import InputError
from renalis.recipes import load_system
from renalis.service.config import read_config
from renalis.tuning.search import read_search

LAUGHS = "a: &a [x, x]\n" + "\n".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]" for n in range(20)
)
TEXTS = {
    "aliases": (LAUGHS, r"line 2 has an alias \(\*\)"),
    "itself": ("a: &a [*a]", "has an alias"),
    "depth": ("a: " + "[" * 100_000, "nested more than 50 deep|did not find|expected"),
    "length": ("#" * (1 << 20) + "\na: 1", "more than 1048576 characters"),
    "float": ("a: !!float x", "not what its tag says"),
    "time": ("a: !!timestamp x", "not what its tag says"),
    "number": ("a: " + "9" * 5000, "not what its tag says"),
    "program": (
        "a: !!python/object/apply:os.system [touch x]",
        "could not determine a constructor",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("read", [load_system, read_config, read_search])
def test_it_is_refused(tmp_path: Path, read: Callable[[Any], Any], name: str) -> None:
    text, words = TEXTS[name]
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read(str(path) if read is load_system else path)


def test_so_is_a_value_that_is_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not valid YAML"):
        load_system("renalis-kidney", ("name=!!float x",))
