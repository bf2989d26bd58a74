"""Draw the pictures of docs/how-to/view-and-correct.md: a synthetic result in a browser.

    python docs/generate/viewer_pictures.py RESULT

RESULT is the ``out`` that the page's own commands make. Needs Chromium and writes
``docs/pictures/view.webp`` and ``correct.webp``.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "docs" / "generate")]

from helpers.browser_session import Page, browser, installed  # noqa: E402
from pictures import keep  # noqa: E402

from renalis.viewer import App, Cases  # noqa: E402
from renalis.viewer.server import start  # noqa: E402

MISSED_MM = (-56.0, -30.0, 22.0)
"""Center of a cyst of the scan that the model misses: patient mm, to the right, front and head."""


def main() -> None:
    executable = installed()
    if executable is None:
        sys.exit("no Chromium is installed; the pictures stay as they are")
    server = start(App(Cases.of(Path(sys.argv[1]), who="Reader")))
    threading.Thread(target=server.http.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as profile, browser(executable, Path(profile)) as page:
        media = [{"name": "prefers-color-scheme", "value": "dark"}]
        page.send("Emulation.setEmulatedMedia", features=media)
        page.visit(server.address)
        page.wait("document.body.dataset.ready && document.body.dataset.ready !== 'list'", 600)
        page.run("document.querySelector('.finding.tumor, .finding.cyst').click()")
        photograph(page, "view")
        page.run("document.getElementById('tab-correct').click()")
        page.run("document.querySelector('[data-tool=grow]').click()")
        page.run("document.querySelector('#swatches .cyst').click()")
        page.run(
            "for (const [id, value] of [['radius', 19], ['band', 40]]) {"
            " const one = document.getElementById(id); one.value = value;"
            " one.dispatchEvent(new Event('input')); }"
        )
        page.drag(_pixel(page, MISSED_MM))
        photograph(page, "correct")
    server.http.shutdown()


def _pixel(page: Page, mm: tuple[float, float, float]) -> tuple[float, float]:
    """Bring the axial slice of a place into the picture; returns where the place lies in it."""
    box = page.run(
        "(() => { const b = document.getElementById('planes').getBoundingClientRect();"
        " return [b.left, b.top, 0.64 * b.width, b.height]; })()"
    )
    left, top, width, height = box
    page.run("document.querySelector('[data-tool=look]').click()")
    for _ in range(200):
        far = mm[2] - _place(page)[2]
        if abs(far) <= 1.5:
            break
        key = "ArrowUp" if far > 0 else "ArrowDown"
        page.run(f"document.body.dispatchEvent(new KeyboardEvent('keydown', "
                 f"{{key: '{key}', bubbles: true}}))")  # fmt: skip
    points = [(left + x * width, top + y * height) for x, y in ((0.3, 0.4), (0.7, 0.6))]
    places = []
    for point in points:
        page.drag(point)
        places.append(_place(page))
    page.run("document.querySelector('[data-tool=grow]').click()")
    pixel = [
        a + (wanted - one) / (other - one) * (b - a)
        for a, b, one, other, wanted in zip(*points, *places, mm, strict=False)
    ]
    return pixel[0], pixel[1]


def _place(page: Page) -> list[float]:
    """Where the crosshair is, from the status line: patient mm."""
    words = str(page.run("document.getElementById('where').textContent")).split()
    return [
        float(size) * (-1 if side in "LPI" else 1)
        for side, size in zip(words[:6:2], words[1:6:2], strict=True)
    ]


def photograph(page: Page, name: str) -> None:
    """Keep what the page shows once all has been drawn."""
    page.wait("document.getElementById('solid-note').textContent !== '…'", 120)
    time.sleep(5)
    shot = base64.b64decode(page.send("Page.captureScreenshot", format="png")["data"])
    with Image.open(io.BytesIO(shot)) as picture:
        keep(picture, name)


if __name__ == "__main__":
    main()
