"""The report as one page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import os
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from renalis.io import write_text
from renalis.report.content import ReportContent
from renalis.report.page import page
from renalis.report.style import POSSIBLE_STYLE, STYLES

__all__ = ["content_policy", "render", "write_report"]


def write_report(path: str | os.PathLike[str], content: ReportContent) -> Path:
    """Write the report as one HTML file that loads nothing from elsewhere.

    Parameters
    ----------
    path : path-like
        The file; it appears whole or not at all.
    content : ReportContent
        What to show.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        If the file cannot be written.
    ValueError
        If the label map lies on another grid than the scan.
    """
    return write_text(path, render(content))


def render(content: ReportContent) -> str:
    """The text of the page."""
    look = _asset("report.css")
    script = _asset("stack.js") + _asset("mesh.js")
    template = _environment().get_template("report.html")
    return template.render(
        page=page(content),
        styles={style.name: style for style in (*STYLES.values(), POSSIBLE_STYLE)},
        look=look,
        script=script,
        policy=content_policy(look, script),
    )


@cache
def _environment() -> Environment:
    """Keeps the compiled templates for further cases."""
    return Environment(
        loader=PackageLoader("renalis.report"), autoescape=True, undefined=StrictUndefined
    )


def content_policy(look: str, script: str) -> str:
    """A policy under which a browser runs this style and this script and loads nothing at all.

    Everything that came from outside is escaped by the template; would that ever fail, a script
    in it would still not have the right hash (W3C Content Security Policy Level 3, section 2.3.1).
    """

    def source(text: str) -> str:
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    return (
        f"default-src 'none'; img-src data:; style-src {source(look)}; "
        f"script-src {source(script)}; base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    """A file of the page; line ends as a browser sees them, or its hash would differ."""
    path = resources.files("renalis.report").joinpath("templates", name)
    return path.read_text("utf-8").replace("\r\n", "\n")
