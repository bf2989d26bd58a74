"""The rooms of the package, in order, and the part of a page that shows them.

Run ``python docs/tools/architecture_tree.py`` after a change of imports: it reads the sources with
`ast`, runs none of them, and writes the table into
``docs/explanation/architecture.md`` between two marks.

What counts as an import: every ``import`` and ``from … import`` statement of a file, those inside
functions and under ``TYPE_CHECKING`` too. What does not: names in strings (the command line's verbs
and the public names of ``renalis/__init__.py`` are imported late by `importlib`), and that
importing a module also runs the ``__init__`` of the packages around it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "renalis"
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
BEGIN = "<!-- rooms: made by docs/tools/architecture_tree.py -->"
END = "<!-- end of rooms -->"

ROOMS = (
    "errors", "signals", "child_processes", "compute_device", "compute_failures", "disk_failures",
    "cluster", "plugins", "boxes", "volume", "voxel_hash", "conventions", "choices", "laterality",
    "thresholds", "look_spread", "calibration", "io", "remote", "charts",
    "preparation", "networks", "model_header", "model_file", "known_cases", "model", "dataset",
    "synthesis", "sampling", "augmentation",
    "postprocessing", "measurement", "prediction",
    "training", "evaluation", "report", "recipes",
    "systems", "pipeline", "cohort", "corrections", "viewer", "tuning", "crossvalidation",
    "service", "cli",
)  # fmt: skip
"""Rooms (packages, and modules that stand alone): each imports only from those before it."""

API = "renalis"
"""The package itself: the public names; no room imports it."""

Imports = dict[str, set[str]]
"""By module, the modules of the package that it imports."""


def modules() -> dict[str, Path]:
    """All modules by their dotted names."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = [API, *path.relative_to(SOURCE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> Imports:
    """What each module imports of the package."""
    known = modules()
    return {
        name: {target for target in _imported(name, path, known) if target != name}
        for name, path in known.items()
    }


def _imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == API)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base.split(".")[0] == API:
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    yield inner if inner in known else base


def room(module: str) -> str:
    """The room that a module belongs to; the package itself for ``__init__`` and ``__main__``."""
    parts = module.split(".")
    return API if len(parts) == 1 or parts[1] == "__main__" else parts[1]


def room_imports(found: Imports) -> dict[str, set[str]]:
    """What each room imports of others."""
    result: dict[str, set[str]] = {}
    for module, targets in found.items():
        own = result.setdefault(room(module), set())
        own |= {room(target) for target in targets} - {room(module)}
    return result


def table() -> str:
    """The rooms as a table, in order, with the wings that a room has."""
    known, between = modules(), room_imports(imports())
    lines = ["| room | what it holds | imports |", "|---|---|---|"]
    for name in ROOMS:
        path = known[f"{API}.{name}"]
        package = path.name == "__init__.py"
        targets = ", ".join(f"`{other}`" for other in ROOMS if other in between[name])
        title = f"`{name}/`" if package else f"`{name}.py`"
        lines.append(f"| {title} | {_first_line(path)} | {targets or 'nothing'} |")
        for wing in sorted(path.parent.glob("*/__init__.py")) if package else ():
            lines.append(f"| `{name}/{wing.parent.name}/` | {_first_line(wing)} | |")
    return "\n".join(lines)


def _first_line(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n\n")[0].replace("\n", " ").replace("``", "`").replace("|", "\\|")


def page_with(content: str, page: str) -> str:
    """A page with what stands between its marks replaced."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE.name} lacks the marks {BEGIN} and {END}; put them back")
    return f"{before}{begin}\n{content}\n{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
