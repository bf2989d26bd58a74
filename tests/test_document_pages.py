"""Pages that are made for the site, its navigation, links between documents, and Python in them."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from pathlib import Path

import command_pages
import measurement_pages
import navigation
import pytest
import python_pages
import recipe_pages
import tables
from helpers.documents import ROOT, blocks, pages

import renalis
from renalis.cli import VERBS, verb_parser
from renalis.recipes import System, load_system, names

PAGES = pages()
FOR_USERS = [page for page in PAGES if page.name == "README.md" or page.parent.name == "how-to"]
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")


@pytest.mark.parametrize("module", [tables, recipe_pages])
def test_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_every_option_of_every_verb_is_in_the_reference() -> None:
    page = command_pages.command_line_page()
    for verb in VERBS:
        assert f"## renalis {verb}\n" in page
        for option in re.findall(
            r"(?m)^  (?:-\w\b.*?, )?(--[a-z-]+)", verb_parser(verb).format_help()
        ):
            assert option in page or option == "--help", (verb, option)


def test_every_field_of_a_recipe_is_in_the_reference() -> None:
    page = recipe_pages.recipe_fields_page()
    known = recipe_pages.models(System)
    assert len(known) > 30
    for model in known:
        section = page.partition(f"\n## {model.__name__}\n")[2].partition("\n## ")[0]
        assert [f for f in model.model_fields if f"<code>{f}</code>" not in section] == []
        for line in section.splitlines():
            if line.startswith("| "):
                assert line.count(" | ") in (2, 3), line


def test_what_recipes_choose_is_in_the_reference() -> None:
    page = recipe_pages.recipe_fields_page()
    used: set[str] = set()
    for system in map(load_system, names()):
        used |= {rule.rule for rule in system.postprocessing}
        for stage in system.all_stages():
            used |= {stage.network.name, stage.sampler.kind, stage.prediction.kind}
            used |= {term.term for term in stage.loss}
    assert len(used) >= 20
    assert [name for name in sorted(used) if f"<code>{name}</code>" not in page] == []
    network = page.partition("| <code>network</code> |")[2].partition("\n")[0]
    assert network.count("[UNet3d]") == 1


def test_every_field_of_the_measurements_is_in_the_reference() -> None:
    page = measurement_pages.measurements_page()
    assert "<code>totals.kidney_ml</code> | number | Parenchyma" in page
    assert "[lesion](#lesion)" in page
    assert "\n## lesion\n" in page


def test_every_room_has_a_page_of_what_it_names() -> None:
    found = python_pages.python_pages(ROOT / "src" / "renalis")
    rooms = {path.parent.name for path in (ROOT / "src" / "renalis").glob("*/__init__.py")}
    assert {f"reference/python/renalis.{room}.md" for room in rooms - {"cli"}} <= set(found)
    assert "::: renalis.segment\n" in found["reference/python/renalis.md"]
    assert all(":::" in text for text in found.values())


def test_only_constants_of_a_room_may_be_missing_from_its_page() -> None:
    for room in (ROOT / "src" / "renalis").glob("*/__init__.py"):
        named = getattr(importlib.import_module(f"renalis.{room.parent.name}"), "__all__", [])
        told = python_pages.public_names(room)
        missing = [name for name in named if name not in told and not name.isupper()]
        assert not missing, f"{room}: imported late; import {missing} if TYPE_CHECKING as well"


def test_new_pages_come_into_the_navigation_by_themselves() -> None:
    there = [
        page.relative_to(ROOT / "docs").as_posix()
        for page in PAGES
        if ROOT / "docs" in page.parents
    ]
    new = ["how-to/another.md", "something-new.md", "recipes/another.md"]
    sections = {
        title: items for one in navigation.navigation(there + new) for title, items in one.items()
    }
    assert "how-to/another.md" in sections["How to"]
    assert "something-new.md" in sections["Explanation"]
    assert "recipes/another.md" in sections["Published systems"]
    every = [page for items in sections.values() for page in items]
    assert sorted(every) == sorted({*there, *new})
    assert sections["Start here"][0] == "index.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: there is no {target}"
        if anchor:
            assert anchor in _anchors(file), f"{page.name}: {target} has no heading #{anchor}"


def _anchors(page: Path) -> set[str]:
    """What headings are called in links, here and in the site."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    words = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
    return {re.sub(r"\s", "-", word) for word in words}


@pytest.mark.parametrize("page", FOR_USERS, ids=lambda page: page.name)
def test_python_for_users_names_what_exists(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language != "python":
            continue
        tree = ast.parse("\n".join(block.lines))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("renalis."):
                called = getattr(renalis, ast.unparse(node.func).removeprefix("renalis."))
                keywords = {k.arg: None for k in node.keywords if k.arg}
                inspect.signature(called).bind(*node.args, **keywords)


def test_tests_that_documents_name_are_there() -> None:
    named = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    assert [one for one in sorted(named) if not (ROOT / one[1]).is_file()] == []


def test_faults_name_tests_by_a_part_of_their_names() -> None:
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    keys = re.findall(r"`(tests/[\w/]+\.py)`, `(\w+)`", text)
    assert len(keys) > 15
    for file, key in keys:
        assert re.search(rf"def test_\w*{key}", (ROOT / file).read_text(encoding="utf-8")), key
