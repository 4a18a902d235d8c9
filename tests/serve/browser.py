"""A headless Chromium, driven by its debugging protocol over two pipes."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """A page of a headless Chromium. The browser reads commands from its descriptor 3 and answers on descriptor 4."""

    def __init__(self, *, width: int = 900, height: int = 1100, dark: bool = False) -> None:
        assert CHROMIUM is not None
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--window-size={width},{height}",
            f"--user-data-dir={self._profile.name}", "--disable-background-networking", "--disable-dev-shm-usage",
        ]  # fmt: skip

        def place_pipes() -> None:
            moved = os.dup(read_commands), os.dup(write_answers)  # one of them may have the number 3 or 4
            for source, target in zip(moved, (3, 4), strict=True):
                os.dup2(source, target)

        self._process = subprocess.Popen(
            [CHROMIUM, *options, "about:blank"],
            preexec_fn=place_pipes,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        self._buffer, self._number, self.messages = b"", 0, []
        target = next(t for t in self._send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self._send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session: str | None = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._send(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", features=[scheme])

    _session: str | None = None

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            while b"\0" not in self._buffer:
                received = os.read(self._answers, 1 << 16)
                assert received, "the browser ended"
                self._buffer += received
            line, _, self._buffer = self._buffer.partition(b"\0")
            message = json.loads(line)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])
            self.messages.append(message)

    def open(self, address: str) -> None:
        self._send("Page.navigate", url=address)

    def run(self, code: str) -> Any:
        """Return the value of JavaScript code, which may await a promise."""
        result = self._send("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, condition: str, seconds: int = 30) -> None:
        """Wait until JavaScript code is true."""
        check = f"""new Promise((done, fail) => {{
            const end = Date.now() + {seconds} * 1000;
            const look = () => {{
                if ({condition}) done(true);
                else if (Date.now() > end) fail(new Error("waited in vain"));
                else setTimeout(look, 30);
            }};
            look();
        }})"""
        self.run(check)

    def type(self, text: str) -> None:
        self._send("Input.insertText", text=text)

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        """Press and release a key; modifiers: 2 is Ctrl, 8 is Shift."""
        facts = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self._send("Input.dispatchKeyEvent", type="keyDown", **facts, **({"text": "\r"} if key == "Enter" else {}))
        self._send("Input.dispatchKeyEvent", type="keyUp", **facts)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._send("Page.captureScreenshot")["data"]))

    def errors(self, is_error: Callable[[dict[str, Any]], bool] | None = None) -> list[dict[str, Any]]:
        """Return the errors of scripts, and what the browser refused or could not load."""
        self.run("1")
        return [
            message
            for message in self.messages
            if message["method"] == "Runtime.exceptionThrown"
            or (message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error")
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._profile.cleanup()
