"""Drive an installed Chromium through its DevTools pipe, with nothing but the standard library.

Protocol: https://chromedevtools.github.io/devtools-protocol/ ; with ``--remote-debugging-pipe`` the
browser reads commands from file descriptor 3 and writes answers and events to 4, each ended by a
NUL.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--enable-unsafe-swiftshader", "--window-size=1280,1000",
    "--remote-debugging-pipe",
)  # fmt: skip


def installed() -> str | None:
    """Path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab: commands, and everything it reported."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from, self._rest = to_browser, from_browser, b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run one command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(60)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def attach(self) -> None:
        """Open a tab and listen to everything that it says."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def open(self, path: Path, before: str = "") -> None:
        """Load a file and wait until it has loaded; ``before`` runs ahead of its own scripts."""
        if before:
            self.send("Page.addScriptToEvaluateOnNewDocument", source=before)
        self.visit(path.as_uri())

    def visit(self, url: str) -> None:
        """Load a page and wait until it has loaded."""
        self.events.clear()
        self.send("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next(60))
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression; promises are awaited."""
        answer = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise RuntimeError(f"{condition} did not come true")
            time.sleep(0.1)

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the left button at the first point, move along, release at the last."""
        kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1), "mouseReleased"]
        for kind, (x, y) in zip(kinds, [*points, points[-1]], strict=True):
            self.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1,
                clickCount=1,
            )  # fmt: skip

    def complaints(self) -> list[str]:
        """Errors, exceptions and policy violations so far."""
        found = []
        for event in self.events:
            method, content = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(content["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and content["type"] in ("error", "assert"):
                found.append(str(content["args"]))
            elif method == "Log.entryAdded" and content["entry"]["level"] == "error":
                found.append(content["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Addresses that were asked for, except those whose content is in the address itself."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def _next(self, seconds: float) -> dict[str, Any]:
        """The next message of the browser."""
        end = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._from, 1 << 20) if ready else b""
            if not chunk:
                raise RuntimeError("the browser does not answer")
            self._rest += chunk
        message, self._rest = self._rest.split(b"\0", 1)
        return dict(json.loads(message))


@contextmanager
def browser(executable: str, folder: Path) -> Iterator[Page]:
    """A running browser with one tab; its profile lies in ``folder``."""
    command_read, command_write = os.pipe()
    answer_read, answer_write = os.pipe()
    # The browser wants exactly 3 and 4; from above 9 they can be moved there in any order.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (command_read, answer_write)]

    def move() -> None:
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    process = subprocess.Popen(
        [executable, *FLAGS, f"--user-data-dir={folder}"],
        pass_fds=(3, 4),
        preexec_fn=move,  # noqa: PLW1509 -- no other thread runs here
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (command_read, answer_write, *ends):
        os.close(end)
    try:
        page = Page(command_write, answer_read)
        page.attach()
        yield page
    finally:
        os.close(command_write)
        os.close(answer_read)
        try:
            process.wait(timeout=15)  # it ends when its pipe does
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
