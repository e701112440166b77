"""A headless Chromium, driven through the DevTools protocol over two pipes."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: how long any single answer may take; a page that hangs fails its test instead of stopping it
PATIENCE_S = 20.0
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: the browser reads commands from descriptor 3 and answers on 4; both may be taken in this process
_LAUNCH = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def chromium() -> str | None:
    """The browser's program, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in one browser; a context manager.

    Attributes
    ----------
    events : every event so far, in order.
    """

    def __init__(self, program: str, profile: Path, *, width: int = 1360, height: int = 900):
        self.events: list[dict[str, Any]] = []
        self._last, self._rest, self._session = 0, b"", ""
        command, self._commands = os.pipe()
        self._answers, answer = os.pipe()
        options = ("--headless", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu",
                   "--no-first-run", f"--user-data-dir={profile}",
                   f"--window-size={width},{height}", "about:blank")  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(command), str(answer), program, *options],
            pass_fds=(command, answer),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command)
        os.close(answer)

    def __enter__(self) -> "Browser":
        pages = self.send("Target.getTargets")["targetInfos"]
        page = next(p["targetId"] for p in pages if p["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._session = ""
        try:
            self.send("Browser.close")
            self._process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command's result."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        """The next message; events are kept too."""
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE_S)
            block = os.read(self._answers, 1 << 20) if ready else b""
            if not block:
                raise OSError("the browser does not answer")
            self._rest += block
        message, self._rest = self._rest.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        if "method" in found:
            self.events.append(found)
        return found

    def open(self, path: Path) -> None:
        """Load a file, and wait until its script has drawn."""
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.until("document.documentElement?.dataset.ready === 'true'")

    def run(self, script: str) -> Any:
        """Value of an expression on the page; promises are waited for."""
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:800])
        return answer["result"].get("value")

    def until(self, script: str, good: Callable[[Any], bool] = bool) -> Any:
        """Value of an expression as soon as it is ``good``."""
        end = time.monotonic() + PATIENCE_S
        while not good(value := self.run(script)):
            if time.monotonic() > end:
                raise OSError(f"{script} stays {value!r}")
            time.sleep(0.05)
        return value

    def mouse(self, kind: str, x: float, y: float) -> None:
        """``mousePressed``, ``mouseReleased`` or ``mouseMoved`` at a place of the window."""
        button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, x: float, y: float) -> None:
        """Move to a place of the window and click."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def key(self, name: str) -> None:
        """Press and release a key, such as ``Enter``."""
        text = {"Enter": "\r"}.get(name, "")
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, text=text,
                      windowsVirtualKeyCode={"Enter": 13, "Tab": 9}.get(name, 0))  # fmt: skip

    def screenshot(self, path: Path, clip: tuple[float, float, float, float] | None = None) -> None:
        """The window, or a part of the page given as x, y, width, height."""
        more: dict[str, Any] = {}
        if clip is not None:
            keys = ("x", "y", "width", "height")
            more = {"clip": {**dict(zip(keys, clip, strict=True)), "scale": 1},
                    "captureBeyondViewport": True}  # fmt: skip
        answer = self.send("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(answer["data"]))

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions, so far."""
        found = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"])[:500])
            elif event["method"] == "Runtime.consoleAPICalled" and params["type"] != "log":
                found.append(json.dumps(params["args"])[:500])
            elif event["method"] == "Log.entryAdded":
                found.append(params["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses that were asked for so far."""
        return [
            e["params"]["request"]["url"]
            for e in self.events
            if e["method"] == "Network.requestWillBeSent"
        ]
