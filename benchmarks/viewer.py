"""How long the viewer takes to show a scan of 512 x 512 x 300 voxels in Chromium.

    python benchmarks/viewer.py

Makes such a scan with two kidneys and a tumor, starts the viewer's server, opens its page without
a graphics card (SwiftShader) and prints the seconds until picture and findings are there, and the
seconds for a slice more. Wall time: nothing else should run.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.browser_session import browser, installed
from helpers.view_case import keep

from renalis.viewer import App, Cases
from renalis.viewer.server import start
from renalis.volume import Kind, Volume

SHAPE, SPACING = (512, 512, 300), (0.8, 0.8, 1.5)
SLICES = 20


def main() -> None:
    executable = installed()
    if executable is None:
        sys.exit("no Chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        keep(Path(folder), "scan", *made())
        server = start(App(Cases.of(Path(folder) / "out")))
        threading.Thread(target=server.http.serve_forever, daemon=True).start()
        with browser(executable, Path(folder) / "profile") as page:
            began = time.perf_counter()
            page.visit(server.address)
            page.wait("document.body.dataset.ready === 'scan'", 600)
            print(f"shown after {time.perf_counter() - began:.1f} s")
            page.wait("document.getElementById('solid-note').textContent !== '…'", 600)
            began = time.perf_counter()
            for _ in range(SLICES):
                page.run(
                    "new Promise((done) => { document.body.dispatchEvent(new KeyboardEvent("
                    "'keydown', {key: 'ArrowUp', bubbles: true}));"
                    " requestAnimationFrame(() => requestAnimationFrame(done)); })"
                )
            print(f"{(time.perf_counter() - began) / SLICES:.2f} s for a slice")
        server.http.shutdown()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def made() -> tuple[Volume, Volume]:
    """A trunk with noise, two kidneys and a tumor, axes left, back, head."""
    x, y, z = (
        (np.arange(n, dtype=np.float32) - n / 2) * mm for n, mm in zip(SHAPE, SPACING, strict=True)
    )
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    hu = np.full(SHAPE, -1000, np.int16)
    hu[np.broadcast_to((x / 170) ** 2 + (y / 120) ** 2 < 1, SHAPE)] = 40
    labels = np.zeros(SHAPE, np.uint8)
    for side in (-70, 70):
        labels[((x - side) / 28) ** 2 + ((y - 40) / 26) ** 2 + (z / 55) ** 2 < 1] = 1
    labels[((x - 90) / 14) ** 2 + ((y - 40) / 14) ** 2 + (z / 14) ** 2 < 1] = 2
    hu[labels == 1] = 150
    hu[labels == 2] = 70
    noise = np.random.default_rng(1).normal(0, 15, (512, 512)).astype(np.int16)
    hu += noise[:, :, None]
    affine = np.diag([-0.8, -0.8, 1.5, 1.0])
    affine[:3, 3] = (204.8, 204.8, -225.0)
    return Volume(hu, affine), Volume(labels, affine, Kind.LABELS)


if __name__ == "__main__":
    main()
