"""Put a table that a benchmark made into a document, between the marks that name it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["insert", "table"]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Rows of cells as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def insert(document: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises
    ------
    ValueError
        If the document lacks the marks.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{document} lacks the marks of {name}")
    whole = f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"
    document.write_text(whole, encoding="utf-8")
