"""A Hub that lies, hangs or never ends writes nothing outside the cache, and gives one clear error. Real HTTP on loopback."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "1" * 40
FILES = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"\x02\0\0\0\0\0\0\0{}"}
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """A Hub with one repository per attack, named owner/NUMBER, whose answers the attack replaces by a part of the path."""

    protocol_version = "HTTP/1.1"
    n_requests = 0

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""

    def reply(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self.reply(json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def reply_file(self, name: str, **headers: str) -> None:
        content = FILES[name]
        self.reply(
            content,
            {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content)),
             **{key.replace("_", "-"): value for key, value in headers.items()}},
        )  # fmt: skip

    def do_GET(self) -> None:
        type(self).n_requests += 1
        number = re.search(r"owner/(\d+)(?=[/?]|$)", self.path)
        attacks = list(ATTACKS.values())[int(number[1])][0] if number is not None else {}
        for part, answer in attacks.items():
            if part in self.path:
                answer(self)
                return
        if "/tree/" in self.path:
            self.reply_json([entry(name) for name in FILES])
        elif "/resolve/" in self.path:
            name = self.path.rpartition("/")[2].partition("?")[0]
            if name in FILES:
                self.reply_file(name)
            else:
                self.reply(b"", {"X-Error-Code": "EntryNotFound"}, 404)
        elif "/api/models/" in self.path or "/api/datasets/" in self.path:
            self.reply_json(info())
        else:
            self.reply(b"", status=404)

    do_HEAD = do_POST = do_GET  # noqa: N815


def entry(name: str) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(FILES.get(name, b"")), "oid": "2" * 40}


def info(**changes: Any) -> dict[str, Any]:
    return {"id": "owner/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES], **changes}


def endless(handler: Handler, content_type: str = "application/json") -> None:
    """Send a body without end, in chunks."""
    handler.send_response(200)
    for name, value in {
        "Content-Type": content_type, "Transfer-Encoding": "chunked", "X-Repo-Commit": COMMIT, "ETag": f'"{"3" * 64}"'
    }.items():  # fmt: skip
        handler.send_header(name, value)
    handler.end_headers()
    chunk = b"100000\r\n" + b"[" * 2**20 + b"\r\n"
    try:
        while handler.command != "HEAD":
            handler.wfile.write(chunk)
    except OSError:
        handler.close_connection = True


def silent(handler: Handler) -> None:
    """Accept a request and answer nothing."""
    time.sleep(20)
    handler.close_connection = True


def paged(handler: Handler) -> None:
    """Send a list whose last page is never reached."""
    number = handler.n_requests
    url = f"http://{handler.headers['Host']}{handler.path.partition('?')[0]}?recursive=true&cursor={number}"
    handler.reply_json([entry(f"file{number}")], {"Link": f'<{url}>; rel="next"'})


ATTACKS: dict[str, tuple[dict[str, Answer], str]] = {
    "a commit that is a path": (
        {"/revision": lambda h: h.reply_json(info(sha="../../../../escaped"))}, "the Hub sent the commit"
    ),
    "a commit that is no hash": ({"/revision": lambda h: h.reply_json(info(sha=["x"]))}, "the Hub sent the commit"),
    "a commit in a header": (
        {"/resolve/": lambda h: h.reply_file("config.json", X_Repo_Commit="../../../../escaped")}, "the Hub sent the commit"
    ),
    "an ETag that is a path": (
        {"/resolve/": lambda h: h.reply_file("config.json", ETag='"../../../../escaped"')}, "the Hub sent the ETag"
    ),
    "a linked ETag that is a path": (
        {"/resolve/": lambda h: h.reply_file("config.json", X_Linked_Etag='"../../../../escaped"')}, "the Hub sent the ETag"
    ),
    "another content than announced": (
        {"model.safetensors": lambda h: h.reply_file("model.safetensors", ETag=f'"{"4" * 64}"')},
        f"model.safetensors: the content has the hash {hashlib.sha256(FILES['model.safetensors']).hexdigest()}",
    ),
    "another content than announced, as a Git object": (
        {"config.json": lambda h: h.reply_file("config.json", ETag=f'"{"4" * 40}"')}, "config.json: the content has the hash"
    ),
    "a file outside the folder": (
        {"/tree/": lambda h: h.reply_json([entry("../../../../escaped.json")])}, "the Hub sent the file name"
    ),
    "an absolute file": ({"/tree/": lambda h: h.reply_json([entry("/tmp/escaped.json")])}, "the Hub sent the file name"),
    "a sibling outside the folder": (
        {"/revision": lambda h: h.reply_json(info(siblings=[{"rfilename": "../escaped.json"}]))}, "the Hub sent the file name"
    ),
    "JSON without end": ({"/revision": endless}, "the answer has more than 67,108,864 bytes"),
    "a list without end": ({"/tree/": paged}, "has more than 100 pages"),
    "a file without end": (
        {"/resolve/": lambda h: endless(h, "application/octet-stream")}, "the answer has more than 16,777,216 bytes"
    ),
    "deeply nested JSON": (
        {"/revision": lambda h: h.reply(b"[" * 10**6, {"Content-Type": "application/json"})}, "not valid JSON"
    ),
    "no answer": ({"/revision": silent}, "the Hub cannot be reached"),
}  # fmt: skip


CODE = """
import json, sys
from ft_toolkit.core import hub_client
hub_client._SECONDS_OF_SILENCE, hub_client._LARGEST_FILE = 2.0, 2**24
from ft_toolkit.core.errors import FtkError
from ft_toolkit.data.hub_datasets import load_from_hub
from ft_toolkit.models.pretrained import download
said = {}
for kind, load in (("model", download), ("data", lambda name, revision: load_from_hub(name, None, revision, "train"))):
    for name in sys.argv[1:]:
        try:
            said[f"{kind} {name}"] = str(load(name, None).folder)
        except FtkError as error:
            said[f"{kind} {name}"] = f"error: {error}"
print(json.dumps(said))
"""
HONEST = "owner/honest"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def said(home: Path) -> Iterator[dict[str, str]]:
    """What one process says about the model and the data set of every attack: a folder, or an error."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(home / "a" / "b" / "c" / "d" / "home"),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_TOKEN": "hf_planted", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    names = [HONEST, *(f"owner/{number}" for number in range(len(ATTACKS)))]
    command = [sys.executable, "-c", CODE, *names]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280, check=False)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0 and "hf_planted" not in done.stdout + done.stderr, done.stderr
    yield json.loads(done.stdout)


def test_an_honest_hub(said: dict[str, str]) -> None:
    assert {path.name for path in Path(said[f"model {HONEST}"]).iterdir()} == set(FILES)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_hub(attack: str, said: dict[str, str]) -> None:
    error = said[f"model owner/{list(ATTACKS).index(attack)}"]
    assert error.startswith("error: ") and ATTACKS[attack][1] in error
    assert "\n" not in error and len(error) < 1000


def test_nothing_is_written_outside_the_cache(home: Path, said: dict[str, str]) -> None:
    assert said and not list(home.rglob("*escaped*"))
    assert [
        path.relative_to(home).parts[:5] for path in home.rglob("*") if path.is_file() and "home" not in path.parts
    ] == []


@pytest.mark.parametrize("attack", ["a commit that is a path", "JSON without end", "deeply nested JSON", "no answer"])
def test_a_hostile_hub_of_data_sets(attack: str, said: dict[str, str]) -> None:
    error = said[f"data owner/{list(ATTACKS).index(attack)}"]
    assert error.startswith("error: data set") and ATTACKS[attack][1] in error and "\n" not in error
