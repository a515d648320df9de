"""Headless Chromium, driven through the pipe of its DevTools protocol."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# Settles once an expression of the page is true; gives up after a minute.
_UNTIL = """new Promise((settle, fail) => {
  const end = Date.now() + 60000;
  const ask = () => {
    let found;
    try { found = (%s); } catch { found = false; }
    if (found) settle(found);
    else if (Date.now() > end) fail(new Error(document.body.innerText));
    else setTimeout(ask, 20);
  };
  ask();
})"""


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start Chromium with a profile of its own, and end it."""
    to_it, from_it = os.pipe(), os.pipe()
    switches = "--headless --no-sandbox --disable-gpu --remote-debugging-pipe"
    switches += " --no-first-run --disable-background-networking"
    with contextlib.ExitStack() as stack:
        # It reads from file 3 and writes to file 4, whatever these are here.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_it[0], from_it[1])]
        process = subprocess.Popen(
            [CHROMIUM, *switches.split(), f"--user-data-dir={profile}"],
            preexec_fn=lambda: [os.dup2(end, 3 + i) for i, end in enumerate(ends)],
            pass_fds=(3, 4),
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        for end in (to_it[0], from_it[1], *ends):
            os.close(end)
        writes = stack.enter_context(os.fdopen(to_it[1], "wb", buffering=0))
        reads = stack.enter_context(os.fdopen(from_it[0], "rb"))
        yield Browser(writes, reads)


@dataclass(eq=False)
class Browser:
    """The other end of the pipe."""

    writes: Any
    reads: Any
    asked: int = 0
    requests: list[str] = field(default_factory=list)  # addresses, of all tabs

    def send(self, method: str, session: str | None = None, **given: Any) -> dict:
        """Send a command and return its result."""
        self.asked += 1
        message = {"id": self.asked, "method": method, "params": given}
        if session is not None:
            message["sessionId"] = session
        self.writes.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.asked:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict:
        told = bytearray()
        while (byte := self.reads.read(1)) != b"\0":
            assert byte, "Chromium ended"
            told += byte
        message = json.loads(told)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        return message

    def open(self, address: str, width: int = 1280, height: int = 900) -> Tab:
        """Open a tab, and wait until it is loaded."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self, attached["sessionId"])
        tab.send("Network.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        tab.send("Emulation.setDeviceMetricsOverride", **size, mobile=False)
        tab.send("Page.navigate", url=address)
        tab.until(
            "location.href !== 'about:blank' && document.readyState === 'complete'"
        )
        return tab


@dataclass(eq=False)
class Tab:
    """One page."""

    browser: Browser
    session: str

    def send(self, method: str, **given: Any) -> dict:
        """Send a command of this page."""
        return self.browser.send(method, self.session, **given)

    def run(self, script: str) -> Any:
        """Evaluate an expression, wait for its promise, and return its value."""
        result = self.send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, condition: str) -> Any:
        """Wait until an expression is true; an error after a minute."""
        return self.run(_UNTIL % condition)

    def middle(self, selector: str, across: float = 0.5) -> tuple[float, float]:
        """Scroll an element into view; where it is, `across` of its width from left."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]; })()"
        )
        return box[0] + across * box[2], box[1] + box[3] / 2

    def click(self, selector: str, across: float = 0.5) -> None:
        """Press and release the mouse on an element."""
        self.drag(*2 * [self.middle(selector, across)])

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse in one place, and release it in another."""
        # A tab behind another answers the mouse only after five seconds.
        self.send("Page.bringToFront")
        held = {"button": "left", "clickCount": 1}
        for kind, (x, y) in (
            ("mousePressed", start),
            ("mouseMoved", end),
            ("mouseReleased", end),
        ):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

    def type(self, selector: str, text: str) -> None:
        """Replace what stands in a field, by the keyboard."""
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.click(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.send("Input.insertText", text=text)
