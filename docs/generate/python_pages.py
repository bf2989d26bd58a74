"""The reference of the Python package: one page per room, with what its ``__all__`` names.

The pages hold directives for mkdocstrings, which reads docstrings without importing anything.
"""

from __future__ import annotations

import ast
from pathlib import Path

__all__ = ["public_names", "python_pages"]


def python_pages(package: Path) -> dict[str, str]:
    """Pages by their path in the site.

    Parameters
    ----------
    package : Path
        Folder of the package ``renalis``.
    """
    pages = {"reference/python/renalis.md": _page("renalis", package / "__init__.py")}
    for folder in sorted(package.iterdir()):
        if (folder / "__init__.py").is_file() and folder.name != "cli":
            name = f"renalis.{folder.name}"
            pages[f"reference/python/{name}.md"] = _room(name, folder)
    return pages


def _room(name: str, folder: Path) -> str:
    """What the room itself names; of one that names nothing, what its modules name."""
    if public_names(folder / "__init__.py"):
        return _page(name, folder / "__init__.py")
    text = f"# {name}\n\n{_summary(folder / '__init__.py')}\n\n"
    for module in sorted(folder.glob("*.py")):
        names = public_names(module)
        if names:
            full = f"{name}.{module.stem}"
            text += f"## {full}\n\n{_summary(module)}\n\n" + _directives(full, names, 3)
    return text


def _page(name: str, file: Path) -> str:
    directives = _directives(name, public_names(file), 2)
    return f"# {name}\n\n{_summary(file)}\n\n{directives}"


def _directives(module: str, names: list[str], level: int) -> str:
    options = f"    options:\n      heading_level: {level}\n"
    return "".join(f"::: {module}.{name}\n{options}\n" for name in names)


def public_names(file: Path) -> list[str]:
    """What a module's ``__all__`` names, as far as its text defines it; nothing without one.

    Left out are constants that are assigned several at once, which mkdocstrings does not see.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    named: list[str] = []
    defined: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            defined.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = {target.id for target in targets if isinstance(target, ast.Name)}
            defined |= found
            if "__all__" in found and node.value is not None:
                named = list(ast.literal_eval(node.value))
    return [name for name in named if name in defined]


def _summary(file: Path) -> str:
    told = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return told.replace("``", "`")
