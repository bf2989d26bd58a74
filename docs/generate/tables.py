"""Markdown tables of made pages."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["cell", "code", "table"]


def cell(text: str) -> str:
    """Text that stays one cell: no line breaks, no tags, no bars.

    >>> cell("a | b\\n<c>")
    'a &#124; b &lt;c&gt;'
    """
    return html.escape(" ".join(text.split()), quote=False).replace("|", "&#124;")


def code(text: str) -> str:
    """Code in a cell.

    >>> code("K,...|all")
    '<code>K,...&#124;all</code>'
    """
    return f"<code>{cell(text)}</code>" if text else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with its heading.

    >>> print(table(("a", "b"), [("1", "2")]), end="")
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"|{'|'.join(line)}|\n" if line[0] == "---" else f"| {' | '.join(line)} |\n"
                   for line in lines)  # fmt: skip
