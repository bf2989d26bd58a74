"""``renalis recipe``: list, show, copy and compare recipes; nothing is trained."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from renalis.cli.tables import value_text

if TYPE_CHECKING:
    from renalis.recipes import System

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the recipes that come with renalis, or yours")
    listing.add_argument(
        "folder", nargs="?", type=Path, metavar="FOLDER", help="those in a folder instead"
    )
    listing.add_argument("--json", action="store_true", help="for machines")
    show = actions.add_parser("show", help="a recipe with the source of every number")
    _recipe_arguments(show)
    show.add_argument("--json", action="store_true", help="every field, defaults too, for machines")
    copy = actions.add_parser("copy", help="write a recipe to a file of your own")
    _recipe_arguments(copy)
    copy.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: NAME.yaml here")
    copy.add_argument("--overwrite", action="store_true", help="replace the file")
    diff = actions.add_parser("diff", help="what differs between two recipes, field by field")
    diff.add_argument("left", metavar="A", help="name, YAML file or folder of a training")
    diff.add_argument(
        "right",
        nargs="?",
        metavar="B",
        help="the same; default: the recipe that A is named after, or a copy of",
    )
    diff.add_argument("--json", action="store_true", help="for machines")


def _recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="NAME|FILE", help="name of a recipe or a YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a field, for example optimisation.learning_rate=0.001",
    )
    parser.add_argument("--tiny", action="store_true", help="its small variant for a CPU")


def run(arguments: argparse.Namespace) -> int:
    """List, show, copy or compare."""
    if arguments.action == "list":
        return _list(arguments.folder, arguments.json)
    if arguments.action == "show":
        return _show(arguments.recipe, tuple(arguments.set), arguments.tiny, arguments.json)
    if arguments.action == "copy":
        return _copy(arguments)
    return _diff(arguments.left, arguments.right, arguments.json)


def _list(folder: Path | None, as_json: bool) -> int:
    from renalis.errors import InputError
    from renalis.recipes import load_system, names

    wanted = names() if folder is None else tuple(map(str, sorted(folder.glob("*.y*ml"))))
    if not wanted:
        raise InputError(f"{folder} holds no recipe (.yaml); copy one by `renalis recipe copy`")
    rows = [(recipe.name, *_publication(recipe)) for recipe in map(load_system, wanted)]
    if as_json:
        print(json.dumps([dict(zip(("name", "publication", "about"), row, strict=True))
                          for row in rows], indent=1))  # fmt: skip
        return 0
    for name, id_, about in rows:
        print(f"{name:<16} {id_:<3} {about}")
    return 0


def _publication(recipe: System) -> tuple[str, str]:
    """Which publication's system it is, and what about; a copy is nobody's but its maker's."""
    if recipe.copied_from is not None:
        return "-", f"A copy of {recipe.copied_from}; what differs: renalis recipe diff FILE"
    if recipe.publication is None:
        return "-", "The shipped model, trained on synthetic CT"
    return recipe.publication.id, recipe.publication.about


def _show(name: str, changes: tuple[str, ...], tiny: bool, as_json: bool) -> int:
    from renalis.recipes import load_system

    if as_json:
        print(load_system(name, changes, tiny).model_dump_json(indent=1))
        return 0
    from renalis.recipes.text import recipe_text

    print(recipe_text(name, changes, tiny), end="")
    return 0


def _copy(arguments: argparse.Namespace) -> int:
    from renalis.errors import OutputError
    from renalis.io import write_text
    from renalis.recipes import load_system
    from renalis.recipes.text import copied_text, recipe_text

    output = arguments.output or Path(f"{Path(arguments.recipe).stem}.yaml")
    if output.suffix not in (".yaml", ".yml"):
        raise OutputError(f"{output} must end in .yaml, so that it is read as a recipe")
    if output.exists() and not arguments.overwrite:
        raise OutputError(f"{output} is there already; use another name or --overwrite")
    text = recipe_text(arguments.recipe, tuple(arguments.set), arguments.tiny)
    origin = load_system(arguments.recipe)
    name = load_system(arguments.recipe, tuple(arguments.set)).name
    # A name of its own: of the file, unless another was asked for.
    name = output.stem if name == origin.name else name
    text = copied_text(text, name, origin.copied_from or origin.name)
    write_text(output, text)
    print(output)
    return 0


def _diff(left: str, right: str | None, as_json: bool) -> int:
    from renalis.recipes.difference import differences

    ours = _any(left)
    theirs = _any(right if right is not None else ours.copied_from or ours.name)
    found = differences(ours, theirs)
    if as_json:
        print(json.dumps([{"field": d.field, "left": d.left, "right": d.right} for d in found],
                         indent=1))  # fmt: skip
        return 0
    if not found:
        print("no field differs")
    width = max((len(d.field) for d in found), default=0)
    for each in found:
        print(f"{each.field:<{width}}  {value_text(each.left)} -> {value_text(each.right)}")
    return 0


def _any(name: str) -> System:
    """A recipe by name, from a file, or the one stored in the folder of a training."""
    from renalis.recipes import load_system, stored_system

    return stored_system(Path(name)) if Path(name).is_dir() else load_system(name)
