"""The order of the pages; a page that is named nowhere here comes at the end of its section."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

__all__ = ["SECTIONS", "navigation"]


@dataclass(frozen=True)
class Section:
    """A section of the site.

    Attributes
    ----------
    title : str
    first : tuple of str
        Pages in this order, as far as they are there.
    rest : str
        Pattern of the pages that follow, in order of the alphabet.
    """

    title: str
    first: tuple[str, ...]
    rest: str = ""


SECTIONS = (
    Section("Start here", ("index.md", "gallery.md")),
    Section(
        "How to",
        (
            "how-to/install.md",
            "how-to/segment-many-scans.md",
            "how-to/view-and-correct.md",
            "how-to/dicom-out.md",
            "how-to/use-from-python.md",
            "how-to/serve.md",
            "how-to/score-label-maps.md",
            "how-to/train-on-your-scans.md",
            "how-to/train-a-published-system.md",
            "how-to/train-on-a-cluster.md",
        ),
        "how-to/*",
    ),
    Section("Published systems", ("recipes/README.md",), "recipes/*"),
    Section(
        "Reference",
        (
            "reference/command-line.md",
            "reference/recipe-fields.md",
            "reference/measurements-json.md",
            "reference/python/renalis.md",
        ),
        "reference/*",
    ),
    Section(
        "Measured",
        (
            "model-card.md",
            "benchmarks.md",
            "scale.md",
            "comparison.md",
            "full-size.md",
            "published-predictions.md",
            "synthesis-against-real.md",
            "real-slices.md",
        ),
    ),
    Section("The project", ("security.md", "reliability.md", "contributing.md", "changelog.md")),
    # The last but for the order: everything else that lies in docs.
    Section(
        "Explanation",
        (
            "explanation/reading.md",
            "explanation/prediction.md",
            "explanation/tidying.md",
            "explanation/measurements.md",
            "explanation/confidence.md",
            "explanation/report.md",
            "explanation/evaluation.md",
            "explanation/datasets.md",
            "explanation/training.md",
            "explanation/crossvalidation.md",
            "explanation/synthesis.md",
            "explanation/architecture.md",
        ),
        "*",
    ),
)
"""A page belongs to the first section that names it or whose pattern fits."""

ORDER = ("Start here", "How to", "Explanation", "Published systems", "Reference", "Measured",
         "The project")  # fmt: skip


def navigation(pages: Iterable[str]) -> list[dict[str, Any]]:
    """MkDocs' ``nav`` for these pages.

    Parameters
    ----------
    pages : iterable of str
        Paths below ``docs``.

    Returns
    -------
    list of dict
        Section's title to its pages; sections without pages are left out.
    """
    left = sorted(pages)
    found: dict[str, list[str]] = {}
    for section in SECTIONS:
        named = [page for page in section.first if page in left]
        others = [page for page in left if page not in named and fnmatch(page, section.rest)]
        found[section.title] = named + others
        left = [page for page in left if page not in found[section.title]]
    return [{title: found[title]} for title in ORDER if found[title]]
