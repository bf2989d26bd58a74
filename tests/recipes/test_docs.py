"""The pages name options and commands that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from renalis.recipes import load_system, names
from renalis.recipes.reading import set_field

PAGES = Path(__file__).resolve().parents[2] / "docs" / "recipes"
RECIPES = {
    "resnet34-2d": "resnet34-2d",
    "quicknat-2d": "quicknat-2d",
    "unet3d": "unet3d-residual",
    "cascade3d": "cascade3d",
    "multires3d": "multires3d",
}


@pytest.mark.parametrize("page", RECIPES)
def test_options_on_a_page_are_fields_of_its_recipe(page: str) -> None:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    full = load_system(RECIPES[page]).model_dump(mode="json")
    found = set(re.findall(r"(?<![\w/])([a-z_]+(?:\.[a-z0-9_]+)+)=(\S+?)[` ]", text))
    assert found
    for key, _ in found:
        set_field(full, f"{key}=0")


@pytest.mark.parametrize("page", RECIPES)
def test_scores_on_a_page_are_those_of_its_recipe(page: str) -> None:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    for score in load_system(RECIPES[page]).publication.scores:
        assert re.search(rf"\b{score.dice}", text), score


def test_every_recipe_has_a_page_that_trains_it() -> None:
    text = "".join((PAGES / f"{page}.md").read_text(encoding="utf-8") for page in RECIPES)
    overview = (PAGES / "README.md").read_text(encoding="utf-8")
    for name in names():
        if name != "renalis-kidney":
            assert f"`{name}`" in text
            assert f"`{name}`" in overview
    trained = set(re.findall(r"renalis train (\S+)", text))
    assert trained <= set(names())


def test_the_wishes_name_fields_that_exist() -> None:
    wishes = (PAGES / "README.md").read_text(encoding="utf-8").partition("## Wishes")[2]
    full = load_system("unet3d-residual").model_dump(mode="json")
    full["sampler"]["planes"] = full["prediction"]["planes"] = []
    keys = re.findall(r"`([a-z_]+\.[a-z_]+)", wishes)
    assert len(keys) >= 7
    for key in keys:
        set_field(full, f"{key}=0")


@pytest.mark.parametrize("page", RECIPES)
def test_every_statement_of_a_publication_has_its_place_in_the_code(page: str) -> None:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    table = text.partition("## What it says, and where it is")[2].partition("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 12
    recipe = load_system(RECIPES[page]).model_dump(mode="json")
    for row in rows:
        assert len(row) == 4, row
        places = re.findall(r"`([^`]+)`", row[2])
        assert places, row
        for place in places:
            if place.endswith(".py"):
                assert (PAGES.parents[1] / "src" / "renalis" / place).is_file(), place
            else:
                set_field(recipe, f"{place}=0")
                recipe = load_system(RECIPES[page]).model_dump(mode="json")
