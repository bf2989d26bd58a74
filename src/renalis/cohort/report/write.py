"""``OUT/cohort.html``, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from renalis.cohort.report.cohort_facts import gather
from renalis.cohort.report.page import render
from renalis.disk_failures import check_not_gone
from renalis.errors import InputError
from renalis.io import whole_file
from renalis.io.scan import shown
from renalis.pipeline.table import COHORT_PAGE, MANIFEST, TABLE

__all__ = ["write_cohort_page"]


def write_cohort_page(
    output: Path, total: int | None = None, preview: Callable[[str], Path] | None = None
) -> Path:
    """Write the page of a cohort from what lies in its folder; results are only read.

    Parameters
    ----------
    output : Path
        Folder of ``renalis segment``.
    total : int, optional
        How many scans there are in all, where a run knows it.
    preview : callable, optional
        Where a case's picture lies; in its folder if not given.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no case.
    OutputError
        If it cannot be written.
    """
    if not output.is_dir():
        raise InputError(f"{shown(output)} is no folder; give the -o folder of renalis segment")
    known = next((p for p in (output / MANIFEST, output / TABLE) if p.is_file()), output)
    cohort = gather(output)
    if not len(cohort):
        raise InputError(f"{shown(output)} holds no results; give the -o folder of renalis segment")
    text = render(output, cohort, total, preview)
    path = output / COHORT_PAGE
    check_not_gone(known)
    with whole_file(path) as file:
        file.write(text.encode("utf-8", "replace"))
    return path
