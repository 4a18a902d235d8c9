"""A headless Chromium that tests drive through the DevTools protocol on a pipe, without any package."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

# Keys that the browser knows by their code only.
KEY_CODES = {"Tab": 9, "Enter": 13}


class Browser:
    """One page of a browser that may reach this machine only."""

    def __init__(self, profile: Path) -> None:
        """Start the browser with an empty profile; downloads go to `profile`/downloads."""
        assert CHROMIUM is not None
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={profile}", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]

        def move_pipes() -> None:
            os.dup2(read_commands, 3)
            os.dup2(write_answers, 4)

        self._process = subprocess.Popen(
            words, preexec_fn=move_pipes, pass_fds=(3, 4, read_commands, write_answers), stderr=subprocess.DEVNULL
        )
        os.close(read_commands)
        os.close(write_answers)
        self._n, self._rest, self._session = 0, b"", ""
        self.messages: list[str] = []
        self.downloads = profile / "downloads"
        self.downloads.mkdir()
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self._call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))

    def open(self, page: Path | str, *, is_dark: bool = False) -> None:
        """Open a file or an address, and wait until it is loaded."""
        self.messages.clear()
        feature = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[feature])
        self._call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        self._wait("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: int = 30) -> None:
        """Wait until a JavaScript expression is true."""
        self.run(f"""new Promise((done, fail) => {{
            const end = Date.now() + {seconds} * 1000;
            const look = () => {{
                if ({condition}) done(true);
                else if (Date.now() > end) fail(new Error("timed out"));
                else setTimeout(look, 30);
            }};
            look();
        }})""")

    def press(self, *keys: str, ctrl: bool = False) -> None:
        """Press keys one after the other, with the Ctrl key or without it."""
        for key in keys:
            facts: dict[str, Any] = {"key": key, "modifiers": 2 if ctrl else 0}
            if key in KEY_CODES:
                facts |= {"code": key, "windowsVirtualKeyCode": KEY_CODES[key]}
            text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
            self._call("Input.dispatchKeyEvent", type="keyDown", **facts, **text)
            self._call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def type(self, text: str) -> None:
        """Insert a text at the cursor."""
        self._call("Input.insertText", text=text)

    def picture(self, path: Path, width: int = 1200, height: int = 1600) -> None:
        """Write a screenshot of the part of the page that is visible in a window."""
        import base64

        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the browser."""
        os.close(self._commands)
        self._process.wait(10)
        os.close(self._answers)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._n += 1
        message = {"id": self._n, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._n:
            pass
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def _wait(self, event: str) -> None:
        while self._read().get("method") != event:
            pass

    def _read(self) -> dict[str, Any]:
        """Return the next message, and keep those of the console and of the Content-Security-Policy."""
        while b"\0" not in self._rest:
            part = os.read(self._answers, 65536)
            assert part, "the browser ended"
            self._rest += part
        first, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.messages.append(first.decode())
        return message
