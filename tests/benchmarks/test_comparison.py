"""The comparison of recipes: what is compared with what, and what its page claims."""

from __future__ import annotations

from typing import Any

import pytest
from recipe_page import made, text
from small_recipes import ENTRIES, entry, small_system

from renalis.recipes import load_system, published

OURS = [one for one in ENTRIES if one.group != "rivals"]


def test_every_published_system_is_compared() -> None:
    systems = set(published())
    assert {one.recipe for one in ENTRIES if one.group == "recipes"} == systems


@pytest.mark.parametrize("one", OURS, ids=lambda one: one.name)
def test_a_small_variant_keeps_what_defines_the_system(one: Any) -> None:
    small, full = small_system(one, 6.0), load_system(one.recipe)
    changed = {key.split(".")[0] for key, _ in one.changes}
    as_many = "stages" not in changed
    for mine, theirs in zip(small.all_stages(), full.all_stages(), strict=as_many):
        assert mine.network.name == theirs.network.name
        assert mine.target == theirs.target
        assert mine.sampler.kind == theirs.sampler.kind
        assert mine.prediction.kind == theirs.prediction.kind
        if not changed & {"loss", "switches"}:
            assert mine.augmentation == theirs.augmentation
            assert mine.loss == theirs.loss


@pytest.mark.parametrize("one", OURS, ids=lambda one: one.name)
def test_stages_and_rounds_share_the_minutes_and_nothing_else_ends_a_training(one: Any) -> None:
    stops = []
    for stage in small_system(one, 6.0).all_stages():
        plan = stage.optimisation
        stops += [each.stop for each in plan.rounds] or [plan.stop]
    assert sum(stop.cpu_minutes or 0 for stop in stops) == pytest.approx(6.0)
    assert all(s.rises is None and s.patience is None and s.reach is None for s in stops)


def test_the_ablation_is_a_base_four_single_parts_and_all() -> None:
    parts = ("multires", "augment", "topk", "spatial_dropout")
    on = []
    for one in ENTRIES:
        if one.group == "ablation":
            small = small_system(one, 6.0)
            on.append({part for part in parts if getattr(small.switches, part)})
            assert (small.network.dropout > 0) == ("spatial_dropout" in on[-1])  # type: ignore[union-attr]
            assert bool(small.augmentation.transforms) == ("augment" in on[-1])
    assert on == [set(), *({part} for part in parts), set(parts)]


def test_what_is_compared_exists() -> None:
    for one in ENTRIES:
        for name in (*one.trained, *([one.against] if one.against else [])):
            assert not entry(name).trained


def result(
    name: str, tumor: list[float | None], values: tuple[int, ...] = (1, 2)
) -> dict[str, Any]:
    cases = {f"case_{n}": value for n, value in enumerate(tumor)}
    false = {name: 4.0 if value is None else None for name, value in cases.items()}
    scores = {
        "kidney": {"dice": dict.fromkeys(cases, 0.9)},
        "tumor": {"dice": cases, "false_positive_ml": false},
    }
    return {
        "entry": name,
        "parameters": 1234567,
        "training": [{"minutes": 1.0, "steps": 10}],
        "predict_s": {"case_0": 2.0},
        "values": list(values),
        "minutes": 1.0,
        "scores": scores,
        "scores_raw": scores,
    }


def test_the_page_says_who_is_better_and_that_all_is_synthetic() -> None:
    low: list[float | None] = [0.3, 0.4, 0.5, 0.3, 0.4, 0.5, None]
    high = [None if value is None else value + 0.2 for value in low]
    shown = (
        result("unet3d-residual", high),
        result("unet3d-plain", low),
        result("MONAI SegResNet", low),
        result("deep supervision", low),
        result("simple-unet-2d", [0.0] * 7, (1,)),
    )
    page = text({one["entry"]: one for one in shown})
    assert "**Everything here is synthetic**" in page
    assert "tumor: our best, unet3d-residual, minus MONAI SegResNet: +0.200" in page
    assert "(+0.200 to +0.200); better" in page
    option = next(line for line in page.splitlines() if line.startswith("| deep supervision"))
    assert "-0.200 (-0.200 to -0.200): worse" in option
    assert "0.600 (0.485–0.715, n 6)" in page  # the scan without tumor does not count
    simple = next(line for line in page.splitlines() if line.startswith("| simple-unet-2d"))
    assert simple.endswith("| – | – | – | unknown |")  # kidneys alone
    residual = next(line for line in page.splitlines() if line.startswith("| unet3d-residual"))
    assert residual.endswith("| 4.0 (n 1) | unknown |")


def test_nothing_is_claimed_from_a_handful_of_scans() -> None:
    shown = (result("unet3d-residual", [0.9] * 5), result("MONAI SegResNet", [0.1] * 5))
    page = text({one["entry"]: one for one in shown})
    assert "too few scans" in page
    assert "better" not in page


def test_each_row_says_commit_and_day_and_whether_files_were_changed() -> None:
    kept = {"commit": "1a2b3c4", "date": "2026-11-29"}
    assert made(kept) == "1a2b3c4 2026-11-29"
    assert made({**kept, "commit": "1a2b3c4+"}) == "(1a2b3c4 2026-11-29: changed files)"


def test_rows_with_an_open_gate_stand_apart_and_say_where_it_was_closed() -> None:
    before, again = result("cascade3d", [0.0] * 6), result("cascade3d", [0.1] * 6)
    note = "The coarse network found no kidney anywhere (nothing above 0.5); the fine network ..."
    again |= {"notes": {"case_0": [note]}, "clock": "computing"}
    page = text({"cascade3d": before}, {"cascade3d": again})
    first, last = [line for line in page.splitlines() if line.startswith("| cascade3d")]
    assert "gate closed" not in first
    assert last.startswith("| cascade3d: R4; gate closed in 1 of 1 | 1,234,567 | 1.0 computing |")
    assert "With an open gate" in page[page.index(first) : page.index(last)]
