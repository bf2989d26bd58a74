"""The simulation of few cases knows the truth that it counts against."""

from __future__ import annotations

from pathlib import Path

import few_cases
import numpy as np
import pytest
from inserted import insert


@pytest.mark.parametrize("name", list(few_cases.SCORES))
def test_the_true_mean_is_that_of_the_draws(name: str) -> None:
    draw, truth = few_cases.SCORES[name]
    found = draw(np.random.default_rng(1), 400_000)
    assert found.mean() == pytest.approx(truth, abs=5 * found.std() / np.sqrt(len(found)))


def test_a_table_takes_the_place_of_the_last(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- end of x -->\nb\n")
    for _ in range(2):
        insert(page, "x", "new")
    assert page.read_text() == "a\n<!-- x -->\n\nnew\n\n<!-- end of x -->\nb\n"
    with pytest.raises(ValueError, match="lacks the marks of y"):
        insert(page, "y", "new")
