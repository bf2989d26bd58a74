"""The page of `confidence.py`, with its charts beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from renalis.charts.scatter import Dot, numbers, scatter

_COLORS = {"synthetic": "#1f77b4", "slices": "#d62728"}
_STYLE = (
    "<style>text{font:12px sans-serif}.grid{stroke:#ddd}</style>"
    '<rect width="100%" height="100%" fill="white"/>'
)
_NAMES = {"synthetic": "synthetic scans", "slices": "real slices", "all": "both"}


def write_page(path: Path, result: dict[str, Any]) -> None:
    """Write what was measured between the page's marks, and one SVG for cases and one for lesions.

    The page has to be there, with a line ``<!-- measured -->`` and a line ``<!-- end -->``.
    """
    text = path.read_text("utf-8")
    before, rest = text.split("<!-- measured -->\n")
    after = rest.split("<!-- end -->\n")[1]
    middle = "\n".join(_lines(result))
    path.write_text(f"{before}<!-- measured -->\n{middle}\n<!-- end -->\n{after}", "utf-8")
    for what, dots in result["dots"].items():
        path.with_name(f"confidence-{what}.svg").write_text(_drawing(dots), "utf-8")


def _lines(result: dict[str, Any]) -> list[str]:
    """Tables in Markdown."""
    lines = [
        f"Measured on {result['date']}: {result['scans']} synthetic scans and "
        f"{result['slices']} real slices; curves fitted on one half of the patients and measured "
        "on the other, both ways.",
        "",
        "| | number | right, on average | said, on average | mean error of what was said | rank | "
        "errors in the doubtful tenth | in the doubtful quarter |",
        "|---|---|---|---|---|---|---|---|",
    ]
    titles = {"case": "cases (Dice)", "lesion": "lesions", "kind": "lesions, kind"}
    for what, title in titles.items():
        for source, name in _NAMES.items():
            one = result[what][source]
            lines.append(
                f"| {title}, {name} | {one['count']} | {one['mean']:.2f} | {one['said']:.2f} | "
                f"{one['mean_absolute_error']:.2f} | {one['rank']:.2f} | "
                f"{100 * one['errors_in_doubtful_tenth']:.0f} % | "
                f"{100 * one['errors_in_doubtful_quarter']:.0f} % |"
            )
    lines += [
        "",
        "Rank: Spearman's correlation with the Dice for cases; for lesions the area under the ROC "
        "curve, the chance that a right finding has a higher confidence than a wrong one.",
        "",
        "| said | cases: number, Dice | lesions: number, share that were right |",
        "|---|---|---|",
    ]
    bins: dict[tuple[float, float], dict[str, str]] = {}
    for what in ("case", "lesion"):
        for one in result[what]["all"]["reliability"]:
            place = bins.setdefault((one["from"], one["to"]), {})
            place[what] = f"{one['count']}, {one['true']:.2f}"
    for (low, high), cells in sorted(bins.items()):
        lines.append(
            f"| {low:.2f} to {high:.2f} | {cells.get('case', '–')} | {cells.get('lesion', '–')} |"
        )
    lines += [
        "",
        "What else could say it, on the slices alone (rank, and errors in the doubtful tenth):",
        "",
        "| | cases | lesions |",
        "|---|---|---|",
    ]
    for name, case in result["features"]["case"].items():
        lesion = result["features"]["lesion"][name]
        cells = [
            f"{one['rank']:.2f}, {100 * one['errors_in_doubtful_tenth']:.0f} %"
            for one in (case, lesion)
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return lines


def _drawing(dots: list[list[Any]]) -> str:
    """Confidence from left to right, how right it was upwards."""
    drawn = [
        Dot(value, _COLORS[source], _COLORS[source], f"said {said}, true {value}")
        for source, said, value in dots
    ]
    picture = scatter(drawn, numbers([said for _, said, _ in dots]))
    begin, _, rest = picture.partition(">")
    begin = begin.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{begin}>{_STYLE}{rest}\n"
