"""Servers as real processes on loopback."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from http.client import HTTPConnection
from typing import Any, Self

TOKEN = "a-token-of-the-tests-0123456789"
# The packages that the server needs for exported models, besides the standard library.
ALLOWED = {
    "_yaml", "annotated_doc", "annotated_types", "anyio", "click", "fastapi", "flatbuffers", "google", "h11", "idna",
    "importlib_metadata", "markdown_it", "mdurl", "numpy", "onnxruntime", "opentelemetry", "pydantic", "pydantic_core",
    "pygments", "rich", "shellingham", "sniffio", "starlette", "tokenizers", "typer", "typing_extensions", "typing_inspection",
    "uvicorn", "yaml", "zipp",
}  # fmt: skip
# Runs the command line where every other package is refused, so that torch and transformers are absent.
WITHOUT_TORCH = f"""
import sys
ALLOWED = {sorted(ALLOWED)} + ["ft_toolkit"]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if path is None and top not in ALLOWED and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named '{{name}}' (blocked)", name=name)
sys.meta_path.insert(0, Refuse())
from ft_toolkit.cli.app import main
sys.argv = ["ftk", *sys.argv[1:]]
main()
"""


class Running:
    """A process of `ftk serve` on a free port. `events` are the lines of its log."""

    def __init__(self, *words: object, token: str | None = None, torch: bool = False) -> None:
        start = ["-m", "ft_toolkit"] if torch else ["-c", WITHOUT_TORCH]
        environ = {name: value for name, value in os.environ.items() if name != "FTK_SERVE_TOKEN"}
        self.process = subprocess.Popen(
            [sys.executable, *start, "serve", "--port", "0", *map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
            env=environ if token is None else environ | {"FTK_SERVE_TOKEN": token},
        )
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._token = token
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        with contextlib.ExitStack() as on_failure:
            on_failure.push(self)
            self.address = self.wait("serving")["address"]
            on_failure.pop_all()
        self.port = int(self.address.rpartition(":")[2])

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                if line.startswith("{"):
                    self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self.events.append({"event": "end"})
            self._changed.notify_all()

    def wait(self, event: str, seconds: float = 60) -> dict[str, Any]:
        """Return the last event of this kind, as soon as there is one."""
        with self._changed:
            known = {event, "end"}
            assert self._changed.wait_for(lambda: any(e["event"] in known for e in self.events), seconds), self.lines
            matches = [e for e in self.events if e["event"] == event]
            assert matches, self.lines
            return matches[-1]

    def connect(self, seconds: float = 60) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=seconds)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and body of a request; bytes are sent as they are, other bodies as JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self._token is not None:
            named.setdefault("authorization", f"Bearer {self._token}")
        if body is not None:
            named.setdefault("content-type", "application/json")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = self.connect()
        connection.request(method, path, data, named)
        response = connection.getresponse()
        received, kind = response.read(), response.headers.get_content_type()
        connection.close()
        content = json.loads(received) if kind == "application/json" and received else received.decode()
        return response.status, {name.lower(): value for name, value in response.headers.items()}, content

    def predict(self, name: str, *texts: str) -> tuple[int, Any]:
        status, _, body = self.send("POST", f"/models/{name}/predict", {"rows": [{"text": text} for text in texts]})
        return status, body

    def head(self, path: str, body: bytes) -> bytes:
        """Return the head of a request with this body, for clients that use a socket."""
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
