"""YAML: recipes, searches and the service's configuration."""

from __future__ import annotations

import contextlib
import random
from importlib import resources
from pathlib import Path
from random import Random

from fuzzing.changed_bytes import ODD_FLOATS, ODD_INTEGERS, ODD_TEXTS, changed_bytes
from renalis.errors import RenalisError
from renalis.recipes import load_system
from renalis.recipes.text import recipe_text
from renalis.service.config import read_config
from renalis.tuning.search import read_search

__all__ = ["target"]

_SEARCH = """\
metric: val_dice
trials: 20
fields:
  optimisation.learning_rate: {float: [1e-5, 1e-2], log: true}
  loss.dice.weight: {choice: [0.5, 1, 2]}
"""


def _laughs(rng: Random) -> str:
    """Aliases of aliases: few lines that stand for very many values."""
    width, depth = rng.choice((2, 9)), rng.choice((4, 9, 30))
    lines = ["a0: &a0 [lol, lol]"]
    for n in range(1, depth):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]")
    field = rng.choice(("tiny", "notes", "name", "stages"))
    return "\n".join([*lines, f"{field}: {{x: *a{depth - 1}}}", ""])


def _odd(rng: Random) -> str:
    choices = (
        *map(str, ODD_INTEGERS), *map(str, ODD_FLOATS), *map(repr, ODD_TEXTS), "null", "true",
        "[]", "{}", "[[[]]]", "!!python/object/apply:os.system [touch x]", "!!binary aGVsbG8=",
        "&a [*a]", "*missing", "2020-01-01", "0x7fffffffffffffff", "1_000", "? a", "|", "<<: {}",
        "!!set {a, b}", "[" * rng.choice((5, 300, 20000)), "{a: " * 3000, "- " * 2000, ".inf",
        ".nan", "1e999", "9" * 5000, "!!int abc", "!!timestamp x", "190:20:30", "~", "'", "\t",
        "!!float x", "!!omap [a: 1]", "[1e400, -1e400]", "1:" * 60, "0b", "0o777", "@", "%",
    )  # fmt: skip
    return rng.choice(choices)


class Recipe:
    """One YAML file, read as all that it could be."""

    def __init__(self) -> None:
        folder = resources.files("renalis.recipes")
        self.seeds = {
            f.name: f.read_text(encoding="utf-8")
            for f in sorted(folder.iterdir(), key=lambda f: f.name)
            if f.name.endswith(".yaml")
        }
        example = resources.files("renalis.service") / "example.yaml"
        self.seeds["serve"] = example.read_text(encoding="utf-8")
        self.seeds["search"] = _SEARCH

    def begin(self) -> None:
        """Nothing has to be started."""

    def make(self, rng: Random, folder: Path) -> list[str]:
        """Write a file with lines or bytes changed."""
        name = rng.choice(list(self.seeds))
        text = self.seeds[name]
        roll = rng.random()
        if roll < 0.04:
            text, words = _laughs(rng) + text * rng.choice((0, 1)), ["aliases"]
        elif roll < 0.3:
            content, words = changed_bytes(text.encode(), rng)
            (folder / f"{name.removesuffix('.yaml')}.yaml").write_bytes(content)
            return [name, *words]
        else:
            lines, words = text.splitlines(), []
            for _ in range(rng.choice((1, 1, 2, 3))):
                at = rng.randrange(len(lines))
                key, colon, _ = lines[at].partition(":")
                choice = rng.choice(("value", "value", "value", "twice", "gone", "indent", "own"))
                if choice == "value" and colon:
                    lines[at] = f"{key}: {_odd(rng)}"
                elif choice == "twice":
                    lines.insert(at, lines[at])
                elif choice == "gone":
                    del lines[at]
                    lines = lines or [""]
                elif choice == "indent":
                    lines[at] = " " * rng.choice((1, 3, 8)) + lines[at]
                else:
                    lines.insert(at, f"{' ' * rng.choice((0, 2, 4))}{rng.choice(('x', 'name'))}: "
                                     f"{_odd(rng)}")  # fmt: skip
                words.append(choice)
            text = "\n".join(lines) + "\n"
        path = folder / f"{name.removesuffix('.yaml')}.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return [name, *words]

    def use(self, folder: Path) -> None:
        """Read it as recipe, configuration and search; change a field of it."""
        path = next(folder.iterdir())
        for read in (read_config, read_search):
            with contextlib.suppress(RenalisError):
                read(path)
        rng = random.Random(path.read_bytes())
        change = f"{rng.choice(('name', 'tiny.x', 'stages', 'loss', 'a.b.c'))}={_odd(rng)}"
        for changes, tiny in (((change,), False), ((), True)):
            with contextlib.suppress(RenalisError):
                recipe_text(str(path), changes, tiny)
        system = load_system(str(path))
        system.model_dump_json()


def target(scratch: Path) -> Recipe:
    """What tries YAML files."""
    return Recipe()
