"""The notebook runs as it stands, and measures what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra notebook is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipyniivue", reason="the extra notebook is not installed")

NOTEBOOK = Path(__file__).parents[1] / "integrations/notebooks/first-scan.ipynb"


def printed(notebook: Any) -> list[list[str]]:
    """Words that each cell prints, in which numbers are apart."""
    return [
        re.findall(r"[a-z]+|[\d.]+", output.text)
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
    ]


@pytest.mark.slow
def test_the_notebook_runs_and_measures_what_it_shows(tmp_path: Path) -> None:
    kept = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(run, timeout=300, kernel_name="python3", resources=resources).execute()
    assert len(printed(run)) == len(printed(kept)) >= 3
    for now, then in zip(printed(run), printed(kept), strict=True):
        assert len(now) == len(then)
        for word, shown in zip(now, then, strict=True):
            if shown[0].isdigit():
                assert float(word) == pytest.approx(float(shown), rel=0.02, abs=0.11)
            else:
                assert word == shown
    shown = [
        output.data
        for cell in run.cells
        for output in cell.get("outputs", [])
        if output.get("data")
    ]
    assert any("image/webp" in data for data in shown)
    assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)
