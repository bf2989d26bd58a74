"""The report as a PDF of a few pages: numbers, sentences, pictures. Needs fpdf2 (extra ``pdf``).

Nothing of the moment enters: the same content gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING

from PIL import Image

from renalis.report.content import ReportContent
from renalis.report.preview import montage
from renalis.report.tables import (
    Table,
    doubts,
    kidney_table,
    lesion_table,
    nephrometry_table,
    summary,
)
from renalis.report.typeface import legible

if TYPE_CHECKING:
    from fpdf import FPDF

__all__ = ["report_pdf"]

WARNING = "Research software, not for diagnosis."
_FAMILY = "DejaVu"
_LARGE, _BODY, _SMALL = 15, 8.5, 6.5
"""Sizes of letters in points."""
_LINE = 1.45
"""Of a line, in sizes of its letters."""
_MM_PER_POINT = 25.4 / 72
_AMBER, _INK, _QUIET = (150, 84, 0), (20, 24, 28), (95, 104, 112)
_JPEG_QUALITY = 90
_DATE = datetime(1900, 1, 1, tzinfo=UTC)
"""When it was made would be another one each time."""


def report_pdf(content: ReportContent) -> bytes:
    """The report as a PDF (A4).

    Parameters
    ----------
    content : ReportContent
        The same as for preview and page.

    Returns
    -------
    bytes
        First what was found, the tables and what is uncertain, then the pictures of the preview.

    Raises
    ------
    ValueError
        If the label map lies on another grid than the scan.
    """
    paper = _paper(content)
    _heading(paper, content)
    _paragraph(paper, summary(content.measurements), _BODY + 1.5)
    _tables(paper, content)
    _sentences(paper, content)
    _pictures(paper, montage(content))
    return bytes(paper.output())


def _paper(content: ReportContent) -> FPDF:
    """An empty document with our typeface, and a footer on every page."""
    from fpdf import FPDF

    class Paper(FPDF):
        """A page with what must never be missing on it."""

        def footer(self) -> None:
            self.set_y(-11)
            self.set_font(_FAMILY, size=_SMALL)
            self.set_text_color(*_AMBER)
            self.cell(0, 4, f"{WARNING} renalis {content.version}", align="L")
            self.set_text_color(*_QUIET)
            self.set_x(self.l_margin)
            self.cell(0, 4, f"{self.page_no()} / {{nb}}", align="R")

    paper = Paper(format="A4")
    typeface = resources.files("renalis.report").joinpath("fonts", "DejaVuSans.ttf")
    with resources.as_file(typeface) as path:
        paper.add_font(_FAMILY, fname=path)
    paper.set_creation_date(_DATE)
    paper.set_title("renalis: kidneys, tumors, cysts")
    paper.set_subject(WARNING)
    paper.set_creator(f"renalis {content.version}")
    paper.set_lang("en")
    paper.set_margins(12, 11)
    paper.set_auto_page_break(True, 14)
    paper.add_page()
    return paper


def _heading(paper: FPDF, content: ReportContent) -> None:
    """What it is about, and the warning."""
    _paragraph(paper, content.case_id or "renalis", _LARGE)
    _paragraph(paper, WARNING, _BODY + 1.5, _AMBER)
    if content.model is not None:
        _paragraph(paper, f"Model {content.model.name} ({content.model.licence})", _BODY, _QUIET)


def _tables(paper: FPDF, content: ReportContent) -> None:
    """Kidneys, lesions, scores; those that there are."""
    measured = content.measurements
    titled = (
        ("Kidneys", kidney_table(measured)),
        ("Tumors and cysts", lesion_table(measured)),
        ("R.E.N.A.L. score", nephrometry_table(measured)),
    )
    for title, table in titled:
        if table is not None:
            _title(paper, title)
            _table(paper, table)
            _paragraph(paper, table.caption, _SMALL, _QUIET)


def _table(paper: FPDF, table: Table) -> None:
    from fpdf.fonts import FontFace

    paper.set_font(_FAMILY, size=_SMALL)
    paper.set_text_color(*_INK)
    align = ["LEFT" if n == 0 or n in table.words else "RIGHT" for n in range(len(table.columns))]
    with paper.table(
        borders_layout="HORIZONTAL_LINES",
        text_align=tuple(align),
        headings_style=FontFace(color=_QUIET),
        line_height=_SMALL * _MM_PER_POINT * _LINE,
        padding=(0.6, 0.8),
        col_widths=_widths(table),
    ) as drawn:
        for cells in (table.columns, *table.rows):
            row = drawn.row()
            for cell in cells:
                row.cell(_shown(cell))


def _widths(table: Table) -> tuple[int, ...]:
    """Shares of the columns, by their longest words and cells."""
    longest = []
    for column, title in enumerate(table.columns):
        words = max(len(word) for word in title.split())
        longest.append(max(words + 1, *(min(len(row[column]), 20) for row in table.rows), 5))
    return tuple(longest)


def _sentences(paper: FPDF, content: ReportContent) -> None:
    """What is uncertain, and what tidying changed."""
    for title, sentences in (
        ("What is uncertain", doubts(content.measurements, content.notes)),
        ("What tidying changed", content.changes),
    ):
        if sentences:
            _title(paper, title)
            for sentence in sentences:
                _paragraph(paper, f"• {sentence}", _BODY)


def _pictures(paper: FPDF, drawn: Image.Image) -> None:
    """The montage below the words where it fits, else on pages of its own, cut between its rows."""
    wide, high = paper.epw, paper.eph
    paper.ln(3)
    left = paper.h - paper.b_margin - paper.get_y()
    for number, part in enumerate(_cut(drawn, int(drawn.width * high / wide))):
        if number or part.height * wide / part.width > left:
            paper.add_page()
        stored = io.BytesIO()
        part.save(stored, "JPEG", quality=_JPEG_QUALITY)
        words = "Slices of the scan with the outlines of kidneys, tumors and cysts"
        paper.image(stored, w=wide, alt_text=words)


def _cut(drawn: Image.Image, most: int) -> Iterator[Image.Image]:
    """Parts of at most so many pixels of height; ends in rows of one color where there are any."""
    top = 0
    while drawn.height - top > most:
        bottom = next(
            (y for y in range(top + most, top + most // 2, -1) if _plain(drawn, y)), top + most
        )
        yield drawn.crop((0, top, drawn.width, bottom))
        top = bottom
    yield drawn.crop((0, top, drawn.width, drawn.height))


def _plain(drawn: Image.Image, y: int) -> bool:
    return drawn.crop((0, y, drawn.width, y + 1)).getcolors(1) is not None


def _title(paper: FPDF, text: str) -> None:
    paper.ln(2.5)
    _paragraph(paper, text, _BODY + 2)


def _paragraph(paper: FPDF, text: str, size: float, color: Sequence[int] = _INK) -> None:
    paper.set_font(_FAMILY, size=size)
    paper.set_text_color(*color)
    height = size * _MM_PER_POINT * _LINE
    paper.multi_cell(0, height, _shown(text), align="L", new_x="LMARGIN", new_y="NEXT")


def _shown(text: str) -> str:
    """A text in letters that the typeface has."""
    return legible(text, 12)[0]
