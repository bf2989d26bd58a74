"""What MkDocs calls while it builds the site: pages that are made, and the navigation.

`mkdocs.yml` names this file. Nothing is written into ``docs``; made pages exist in the site alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from command_pages import command_line_page
from measurement_pages import measurements_page
from mkdocs.structure.files import File, Files
from navigation import navigation
from python_pages import python_pages
from recipe_pages import recipe_fields_page

ROOT = Path(__file__).resolve().parents[2]
COPIED = {
    "model-card.md": "src/renalis/weights/renalis-kidney.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
"""Pages of the site that stand elsewhere in the repository."""

_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made, and order all of them."""
    made = {
        "reference/command-line.md": command_line_page(),
        "reference/recipe-fields.md": recipe_fields_page(),
        "reference/measurements-json.md": measurements_page(),
        **python_pages(ROOT / "src" / "renalis"),
    }
    for page, source in COPIED.items():
        made[page] = (ROOT / source).read_text(encoding="utf-8")
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    config.nav = navigation([file.src_uri for file in files if file.is_documentation_page()])
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to files that are pages of the site lead to these pages."""
    place = page.file.src_uri
    return _LINK.sub(lambda found: _led(found, place), markdown)


def _led(link: re.Match[str], place: str) -> str:
    """One link: by the file's place in the repository to the page's place in the site."""
    source = COPIED.get(place, f"docs/{place}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
    pages = {path: page for page, path in COPIED.items()}
    page = pages.get(target, target.removeprefix("docs/") if target.startswith("docs/") else None)
    if page is None:
        return link[0]
    return f"]({posixpath.relpath(page, posixpath.dirname(place) or '.')}{link[2] or ''})"
