"""Which room may import which: read from the sources with `ast`, nothing is imported.

Counted are all import statements, inside functions and under ``TYPE_CHECKING`` too; see
``docs/tools/architecture_tree.py``, which also holds the order of the rooms.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from helpers.modules_outside import module_of

TREE: Any = module_of(
    Path(__file__).resolve().parents[1] / "docs" / "tools" / "architecture_tree.py"
)
ROOMS: tuple[str, ...] = TREE.ROOMS

PIECES = ("io", "preparation", "networks", "sampling", "augmentation", "synthesis", "prediction",
          "postprocessing", "measurement", "evaluation", "training", "dataset")  # fmt: skip
"""What takes plain numbers and arrays, and can be used without a recipe."""

DATA = ("dataset", "sampling", "augmentation", "synthesis", "preparation")

NEVER = {
    **dict.fromkeys(PIECES, ("systems", "recipes", "pipeline", "tuning", "service", "cli")),
    "training": ("systems", "recipes", "pipeline", "tuning", "service", "cli", *DATA),
    "recipes": ("systems", *PIECES),
    "dataset": ("systems", "recipes", "pipeline", "tuning", "service", "cli", "evaluation"),
    "prediction": ("systems", "recipes", "pipeline", "tuning", "service", "cli", "evaluation"),
}


@cache
def _imports() -> dict[str, set[str]]:
    """Read when a test asks for it, not by every process that collects tests."""
    found: dict[str, set[str]] = TREE.imports()
    return found


def _crossing(one: str, other: str) -> list[str]:
    """Imports from one room into another, in words."""
    return sorted(
        f"{module} imports {target}"
        for module, targets in _imports().items()
        for target in targets
        if TREE.room(module) == one and TREE.room(target) == other
    )


def test_every_room_has_its_place() -> None:
    assert {TREE.room(module) for module in _imports()} == {*ROOMS, TREE.API}
    assert len(set(ROOMS)) == len(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_before_it(room: str) -> None:
    later = (TREE.API, *ROOMS[ROOMS.index(room) + 1 :])
    assert [words for other in later for words in _crossing(room, other)] == []


@pytest.mark.parametrize("room", NEVER)
def test_pieces_know_neither_recipes_nor_those_who_carry_them_out(room: str) -> None:
    assert [words for other in NEVER[room] for words in _crossing(room, other)] == []


def test_no_modules_import_each_other() -> None:
    # What no module imports any more goes, until only cycles (and what they import) are left.
    left = {module: set(targets) for module, targets in _imports().items()}
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def test_imports_are_seen_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "renalis"
    (package / "io").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "errors.py").write_text("import json\n")
    (package / "io" / "__init__.py").write_text("")
    (package / "io" / "write.py").write_text("")
    (package / "io" / "read.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from renalis.io import write\n"
        "def late():\n    from ..errors import UserError\n    import renalis\n"
    )
    monkeypatch.setattr(TREE, "SOURCE", package)
    seen = {"renalis.io.write", "renalis.errors", "renalis"}
    assert TREE.imports()["renalis.io.read"] == seen


def test_the_page_shows_the_rooms_as_they_are() -> None:
    page = TREE.PAGE.read_text(encoding="utf-8")
    assert page == TREE.page_with(TREE.table(), page), (
        "run python docs/tools/architecture_tree.py and look at what changed"
    )
