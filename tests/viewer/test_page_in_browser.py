"""The viewer's page in a real browser: shown, jumped to, edited, saved, reloaded; no network."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.browser_session import Page, browser, installed
from helpers.view_case import result

from renalis.conventions import Label
from renalis.io.read_labels import read_label_map
from renalis.viewer import App, Cases
from renalis.viewer.server import start

CHROMIUM = installed()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
READY = "document.body.dataset.ready === 'patient'"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A running viewer of one case; the scan's axes lie otherwise than the page's."""
    result(tmp_path, order="LPS")
    server = start(App(Cases.of(tmp_path / "out", who="Reader")))
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    yield server.address
    server.http.shutdown()
    server.http.server_close()


def status(page: Page) -> str:
    return str(page.run("document.getElementById('status').innerText"))


def press(page: Page, key: str) -> None:
    page.run(f"document.body.dispatchEvent(new KeyboardEvent('keydown', "
             f"{{key: {json.dumps(key)}, bubbles: true}}))")  # fmt: skip


def test_a_result_is_shown_corrected_saved_and_shown_again(tmp_path: Path, address: str) -> None:
    assert CHROMIUM is not None
    with browser(CHROMIUM, tmp_path / "profile") as page:
        page.visit(address)
        page.wait(READY)
        _looks(page)
        _patients_right_is_on_the_left(page)
        _corrects(page)
        page.visit(address)
        page.wait(READY)
        assert page.run("document.getElementById('version').value") == "0001"
        assert page.complaints() == []
        assert [url for url in page.requests() if not url.startswith((address, "blob:"))] == []
    case = tmp_path / "out" / "patient"
    model = read_label_map(case / "segmentation.nii.gz")
    saved = read_label_map(case / "corrections" / "0001" / "segmentation.nii.gz")
    assert np.array_equal(saved.affine, model.affine)
    changed = saved.array != model.array
    tumor = model.array == Label.TUMOR
    assert (saved.array[tumor] == Label.CYST).sum() > 0.9 * tumor.sum(), "its kind was changed"
    painted = changed & ~tumor
    assert 20 < painted.sum() < 5000, "a stroke of the brush"
    assert set(np.unique(saved.array[painted])) == {Label.KIDNEY}
    about = json.loads((case / "corrections" / "0001" / "correction.json").read_text())
    assert (about["who"], about["note"]) == ("Reader", "seen")


def _looks(page: Page) -> None:
    """Each lesion is listed, and its line leads to it."""
    names = page.run("[...document.querySelectorAll('.finding .name')].map((n) => n.textContent)")
    assert names == ["Right kidney", "Tumor 1", "Left kidney", "Cyst 1"]
    for word in ("tumor", "cyst"):
        page.run(f"document.querySelector('.finding.{word}').click()")
        assert f"· {word}" in status(page)
    before = status(page)
    press(page, "ArrowUp")
    assert status(page) != before
    press(page, "2")
    assert "-60 to 260 HU" in status(page)


def _patients_right_is_on_the_left(page: Page) -> None:
    """A click on the left half of the axial slice lands in the patient's right half."""
    left, top, width, height = page.run(
        "(() => { const b = document.getElementById('planes').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    axial = 0.64 * width
    for share, letter in ((0.25, "R "), (0.75, "L ")):
        page.drag((left + share * axial, top + height / 2))
        x = float(status(page).split(" ")[1])
        middle = 40  # of the scan, which is not where coordinates begin
        right = x > middle if status(page).startswith("R") else False
        assert right == (letter == "R "), status(page)


def _corrects(page: Page) -> None:
    """Change a lesion's kind, paint, save."""
    page.run("document.querySelector('.finding.tumor').click()")
    page.run("document.querySelector('.finding.tumor + .actions button').click()")
    assert "· cyst" in status(page)
    press(page, "b")
    press(page, "k")
    left, top, width, height = page.run(
        "(() => { const b = document.getElementById('planes').getBoundingClientRect();"
        " return [b.left, b.top, b.width, b.height]; })()"
    )
    x, y = left + 0.32 * width, top + 0.45 * height
    page.drag((x, y), (x + 10, y), (x + 20, y + 5))
    page.run("document.getElementById('note').value = 'seen'")
    page.run("document.getElementById('save-form').requestSubmit()")
    page.wait("document.getElementById('saved').textContent.startsWith('Saved as version 0001')")
    page.wait("document.querySelectorAll('.finding.cyst').length === 2")
    assert page.run("document.querySelectorAll('.finding.tumor').length") == 0
