"""Drive a headless Chromium over two pipes with its own protocol: no port, no driver, nothing to install beside it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60.0
# Chromium reads its commands from 3 and answers on 4; the copies keep one from overwriting the other.
HAND_OVER = """
import fcntl, os, sys
read, write = map(int, sys.argv[1:3])
high = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (read, write)]
os.dup2(high[0], 3)
os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # the tests run as root, where Chromium has none to offer
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_chromium() -> str:
    """The browser of this machine; the test is skipped, with what would bring it, where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    return found


class Browser:
    """One Chromium; messages end with a NUL byte in both directions."""

    def __init__(self, to: int, out: int) -> None:
        self._to, self._out = to, out
        self._rest = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, /, **params: object) -> dict[str, Any]:
        """The result of one command; whatever is told meanwhile is kept for `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        os.write(self._to, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        ends = time.monotonic() + PATIENCE_S
        while True:
            answer = self._read(ends - time.monotonic())
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self._events.append(answer)

    def wait_for(self, method: str, session: str) -> dict[str, Any]:
        """The first event of that name since the last call of `forget`."""
        ends = time.monotonic() + PATIENCE_S
        while True:
            for event in self._events:
                if event.get("method") == method and event.get("sessionId") == session:
                    return event
            self._events.append(self._read(ends - time.monotonic()))

    def events(self, session: str, *methods: str) -> list[dict[str, Any]]:
        """What was told so far under one of these names."""
        return [event for event in self._events if event.get("sessionId") == session and event["method"] in methods]

    def forget(self) -> None:
        self._events.clear()

    def _read(self, patience_s: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], max(0.0, patience_s))
            assert ready, "Chromium does not answer"
            read = os.read(self._out, 1 << 20)
            assert read, "Chromium is gone"
            self._rest += read
        line, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(line))


@dataclass
class Page:
    """One tab."""

    browser: Browser
    session: str
    url: str = ""
    _media: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, /, **params: object) -> dict[str, Any]:
        return self.browser.call(method, self.session, **params)

    def open(self, file: Path) -> None:
        """Load a file from the disk, to its end."""
        self.browser.forget()
        self.url = file.resolve().as_uri()
        self.call("Page.navigate", url=self.url)
        self.browser.wait_for("Page.loadEventFired", self.session)

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """What the page told since it was opened."""
        return self.browser.events(self.session, *methods)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def size(self, width: int, height: int, *, scale: float = 1.0, mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def media(self, medium: str = "", **features: str) -> None:
        """`print` or nothing, and such as prefers_color_scheme="dark"."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", media=medium, features=wanted)

    def press(self, key: str, *, times: int = 1, shift: bool = False) -> None:
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39, "ArrowLeft": 37}
        more: dict[str, object] = {"key": key, "windowsVirtualKeyCode": codes[key], "modifiers": 8 if shift else 0}
        if key in ("Enter", " "):
            more["text"] = "\r" if key == "Enter" else " "
        for _ in range(times):
            self.call("Input.dispatchKeyEvent", type="keyDown", **more)
            self.call("Input.dispatchKeyEvent", type="keyUp", **more)

    def picture(self, file: Path, *, whole: bool = True) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, file: Path) -> None:
        printed = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)
        file.write_bytes(base64.b64decode(printed["data"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A page in a browser of its own, gone afterwards."""
    program = find_chromium()
    to_it, to = os.pipe()
    out, from_it = os.pipe()

    process = subprocess.Popen(
        [sys.executable, "-c", HAND_OVER, str(to_it), str(from_it), program, *OPTIONS, f"--user-data-dir={folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder.parent / "chromium.log").open("wb"),
        pass_fds=(to_it, from_it),
        env={**os.environ, "HOME": str(folder)},
    )
    os.close(to_it)
    os.close(from_it)
    try:
        yield _first_page(Browser(to, out))
    finally:
        process.terminate()
        process.wait(10)
        os.close(to)
        os.close(out)


def _first_page(browser: Browser) -> Page:
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    page = Page(browser, session)
    for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
        page.call(f"{domain}.enable")
    return page
