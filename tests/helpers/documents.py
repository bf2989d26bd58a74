"""The command lines that the documents show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("renalis", "make", "python", "pip")
"""What a line of a document may start; each is checked in its own way."""

_FENCE = re.compile(r"^ *(`{3,}|~{3,})\s*(\S*)")
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


@dataclass(frozen=True)
class Command:
    """One command of a document.

    Attributes
    ----------
    place : str
        ``page:line``.
    words : tuple of str
        As a shell would hand them over; the first is the program without its folder.
    """

    place: str
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0]

    @property
    def page(self) -> str:
        return self.place.partition(":")[0]

    def __str__(self) -> str:
        return f"{self.place} {' '.join(self.words)[:60]}"


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the line that it begins at (from 1) and its lines."""

    language: str
    first: int
    lines: tuple[str, ...]


def pages() -> list[Path]:
    """All documents, in a fixed order."""
    single = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "integrations/slicer/README.md",
        "src/renalis/weights/renalis-kidney.md",
    ]
    return [*(ROOT / name for name in single), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    fence, language, first, inside = "", "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        found = _FENCE.match(line)
        if not fence and found:
            fence, language, first, inside = found[1], found[2], number + 1, []
        elif fence and line.strip() == fence:
            yield Block(language, first, tuple(inside))
            fence = ""
        elif fence:
            inside.append(line)


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page's ``bash`` and ``console`` blocks.

    In ``console`` blocks only lines after a ``$`` are commands, the others are what they print.
    """
    name = page.relative_to(ROOT).as_posix()
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language not in ("bash", "console"):
            continue
        for number, shown in _joined(block):
            if block.language == "console" and not shown.startswith("$ "):
                continue
            words = shlex.split(shown.removeprefix("$ "), comments=True)
            if words:
                yield Command(f"{name}:{number}", (Path(words[0]).name, *words[1:]))


def inline(page: Path) -> Iterator[tuple[str, str]]:
    """Place and content of everything between single backticks outside of fenced blocks."""
    name, text = page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")
    lines = text.splitlines()
    for block in blocks(text):
        for number in range(block.first - 1, block.first + len(block.lines) + 1):
            if number - 1 < len(lines):
                lines[number - 1] = ""
    for found in _INLINE.finditer("\n".join(lines)):
        number = "\n".join(lines).count("\n", 0, found.start()) + 1
        yield f"{name}:{number}", " ".join(found[1].split())


def _joined(block: Block) -> Iterator[tuple[int, str]]:
    """Lines of a block with their numbers, continued ones put together."""
    waiting, start = "", block.first
    for number, line in enumerate(block.lines, block.first):
        if not waiting:
            start = number
        if line.endswith("\\"):
            waiting += line[:-1] + " "
            continue
        yield start, (waiting + line).strip()
        waiting = ""
