"""The page in a real browser: it runs, it shows, it loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.browser_session import Page, browser, installed
from PIL import Image

from renalis.measurement import Measurements
from renalis.report import ReportContent, write_report
from renalis.volume import Volume

NO_WEBGL = """
const whole = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : whole.call(this, kind, ...rest);
};
"""
HOSTILE = "globalThis.failed = []; globalThis.fail = (where) => globalThis.failed.push(where);"


@pytest.fixture(scope="module")
def executable() -> str:
    path = installed()
    if path is None:
        pytest.skip("no Chromium is installed: the page is not tried in a browser")
    return path


@pytest.fixture(scope="module")
def opened(
    executable: str, page_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The report with WebGL, in a tab of its own."""
    with browser(executable, tmp_path_factory.mktemp("profile")) as page:
        page.open(page_file, before=HOSTILE)
        yield page


def test_page_runs_without_complaint_and_loads_nothing(opened: Page, page_file: Path) -> None:
    assert opened.complaints() == []
    assert opened.requests() == [page_file.as_uri()]


def test_hostile_words_do_not_run(opened: Page) -> None:
    assert opened.run("failed") == []
    assert opened.run("document.querySelectorAll('li script, td script, td img').length") == 0
    assert "<script>fail('note')</script>" in opened.run("document.body.innerText")


def test_policy_stops_what_escaping_would_have_missed(opened: Page) -> None:
    opened.run(
        "const made = document.createElement('script'); made.textContent = \"fail('inline')\";"
        "document.body.append(made); document.body.insertAdjacentHTML('beforeend',"
        " \"<img src=x onerror=fail('handler')>\");"
    )
    assert opened.run("new Promise(done => setTimeout(() => done(failed), 200))") == []


def test_solid_view_is_drawn(opened: Page) -> None:
    assert opened.run("document.documentElement.classList.contains('has-3d')") is True
    assert int(opened.run("document.getElementById('mesh-canvas').dataset.triangles")) > 1000
    before = _canvas(opened)
    colored = np.ptp(before, axis=2) > 40
    assert 0.02 < colored.mean() < 0.8
    # Seen from the front: the tumor (red) belongs to the right kidney, on the viewer's left.
    opened.run('document.querySelector(\'[data-yaw="0"][data-pitch="0"]\').click()')
    front = _canvas(opened)
    red = (front[..., 0] > 110) & (front[..., 1] < 0.5 * front[..., 0])
    assert np.argwhere(red)[:, 1].mean() < front.shape[1] / 2
    # From the back it is the other way round.
    opened.run("document.querySelector('[data-yaw=\"180\"]').click()")
    back = _canvas(opened)
    red = (back[..., 0] > 110) & (back[..., 1] < 0.5 * back[..., 0])
    assert np.argwhere(red)[:, 1].mean() > back.shape[1] / 2


def test_structures_can_be_hidden(opened: Page) -> None:
    whole = int(opened.run("document.getElementById('mesh-canvas').dataset.triangles"))
    opened.run("document.querySelector('[data-mesh=\"0\"]').click()")
    _canvas(opened)
    assert int(opened.run("document.getElementById('mesh-canvas').dataset.triangles")) < whole


def test_slices_scroll(opened: Page) -> None:
    place = "document.getElementById('stack-place').textContent"
    path = "document.querySelector('#stack .line.kidney').getAttribute('d')"
    first, outline = opened.run(place), opened.run(path)
    opened.run("document.getElementById('stack').focus()")
    for _ in range(4):
        opened.send("Input.dispatchKeyEvent", type="keyDown", key="ArrowDown")
        opened.send("Input.dispatchKeyEvent", type="keyUp", key="ArrowDown")
    assert opened.run(place) != first
    assert opened.run(path) != outline
    opened.run("document.querySelector('[data-slice]').click()")
    assert opened.run("document.querySelector('#stack .tags').textContent") == "T1"
    height = "document.querySelector('#stack image').getBoundingClientRect().height"
    assert opened.run(height) > 200


def test_outlines_can_be_hidden(opened: Page) -> None:
    shown = "getComputedStyle(document.querySelector('#stack .line.kidney')).display"
    assert opened.run(shown) != "none"
    opened.run("document.querySelector('[data-lines=kidney]').click()")
    assert opened.run(shown) == "none"


def test_still_stays_without_webgl(executable: str, page_file: Path, tmp_path: Path) -> None:
    with browser(executable, tmp_path / "profile") as page:
        page.open(page_file, before=HOSTILE + NO_WEBGL)
        assert page.complaints() == []
        shown = "document.querySelector('.still').getBoundingClientRect().width"
        assert page.run(shown) > 300
        assert (
            page.run("getComputedStyle(document.getElementById('mesh-canvas')).display") == "none"
        )


def test_page_without_findings(
    executable: str, healthy: tuple[Volume, Volume, Measurements], tmp_path: Path
) -> None:
    image, labels, measured = healthy
    content = ReportContent("case_2", image, labels, measured)
    written = write_report(tmp_path / "report.html", content)
    with browser(executable, tmp_path / "profile") as page:
        page.open(written)
        assert page.complaints() == []
        text = page.run("document.body.innerText")
        assert "No kidney, no tumor and no cyst was found" in text
        assert page.run("document.querySelectorAll('figure image').length") == 3


def _canvas(page: Page) -> np.ndarray:
    """Pixels of the 3D view as the browser shows them."""
    page.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.run("document.getElementById('mesh-canvas').scrollIntoView()")
    box = page.run(
        "(({x, y, width, height}) => [x + scrollX, y + scrollY, width, height])"
        "(document.getElementById('mesh-canvas').getBoundingClientRect())"
    )
    clip = dict(zip(("x", "y", "width", "height"), box, strict=True), scale=1)
    answer = page.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
    picture = Image.open(io.BytesIO(base64.b64decode(answer["data"])))
    return np.asarray(picture.convert("RGB")).astype(int)
