"""Check what a Hub sends before huggingface_hub and datasets use it.

An endpoint (HF_ENDPOINT, a mirror, a proxy) may be wrong or harmful. huggingface_hub 2.4 uses the commit and the ETag of an
answer as parts of paths without a check, reads bodies and lists without a limit, and compares no content with its announced
sha256.

    commits, ETags, file names   checked in every answer, before they become paths
    bodies and lists             at most 64 MiB of JSON, 100 pages of a list, and the announced length of a file
    a server that stops sending  60 s, or less than 1 KiB/s for 2 minutes
    contents                     `verify_files` compares the downloaded files with their hashes
"""

import functools
import hashlib
import importlib
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import set_client_factory
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _http as hub_http

from ft_toolkit.core.files import file_sha256, is_inner_path

# httpx or httpx2, depending on the version of huggingface_hub.
_http = importlib.import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Git objects have a sha1, large files a sha256; mirrors also send an md5.
_ETAG = re.compile(r"[0-9a-f]{32,64}")
_API = re.compile(r"/api/(models|datasets|spaces)/")
_LARGEST_JSON = 64 * 2**20
# Without an announced length.
_LARGEST_FILE = 2**30
_MOST_PAGES = 100
_SECONDS_OF_SILENCE = 60.0
_SLOW_SECONDS, _SLOWEST_RATE = 120, 1024


class UntrustedAnswerError(ValueError):
    """An answer of the Hub that must not be used."""


@functools.cache
def check_answers() -> None:
    """Let every request of huggingface_hub in this process check its answer. Call it before the first request."""
    factory = hub_http._GLOBAL_CLIENT_FACTORY

    def make_client() -> Any:
        client = factory()
        hooks = client.event_hooks
        pages: Counter[str] = Counter()
        client.event_hooks = {
            "request": [*hooks["request"], _limit_waiting, functools.partial(_count_pages, pages)],
            "response": [_check_answer, *hooks["response"]],
        }
        return client

    set_client_factory(make_client)


def verify_files(snapshot: Path, since: float) -> None:
    """Compare the files of a snapshot in the Hub's cache that were written after `since` (seconds) with their hashes.

    The name of a file in the cache is its sha256, or its sha1 as a Git object; it may be a link to a file that several models
    share, whose name is Xet's hash. A file with another content is deleted. Raises UntrustedAnswerError.
    """
    for path in sorted(snapshot.rglob("*")):
        if not path.is_symlink():
            continue
        blob, shared = path.parent / path.readlink(), path.resolve()
        if not shared.is_file() or shared.stat().st_mtime < since:
            continue
        content_hash = _content_hash(blob)
        if content_hash is not None and content_hash != blob.name:
            for each in (path, blob, shared):
                each.unlink(missing_ok=True)
            name = path.relative_to(snapshot).as_posix()
            raise UntrustedAnswerError(
                f"{name}: the content has the hash {content_hash}, the Hub announced {blob.name}"
            )


def _content_hash(blob: Path) -> str | None:
    """Return the hash of a file of the kind that its name is; None for a name that is no hash."""
    if re.fullmatch("[0-9a-f]{64}", blob.name):
        return file_sha256(blob)
    if _COMMIT.fullmatch(blob.name):
        content = blob.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    return None


def _limit_waiting(request: Any) -> None:
    """Set the time limits that huggingface_hub leaves open: most of its requests would wait forever."""
    timeouts = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {
        kind: timeouts.get(kind) or _SECONDS_OF_SILENCE for kind in ("connect", "read", "write", "pool")
    }


def _count_pages(pages: Counter[str], request: Any) -> None:
    """Raise UntrustedAnswerError for a list with too many pages: each page names the next one."""
    url = request.url
    if request.method == "GET" and "cursor" in url.params:
        pages[url.path] += 1
        if pages[url.path] > _MOST_PAGES:
            raise UntrustedAnswerError(f"the list {url.path} has more than {_MOST_PAGES} pages")


def _check_answer(response: Any) -> None:
    """Raise UntrustedAnswerError for a header or a JSON body that must not be used, and bound the body of the answer."""
    headers = response.headers
    if (commit := headers.get("X-Repo-Commit")) is not None and not _COMMIT.fullmatch(commit):
        raise UntrustedAnswerError(f"the Hub sent the commit {commit!r}; 40 hexadecimal digits are required")
    if response.request.method == "HEAD":
        etag = headers.get("X-Linked-Etag") or headers.get("ETag")
        if etag is not None and not _ETAG.fullmatch(etag.removeprefix("W/").strip('"')):
            raise UntrustedAnswerError(f"the Hub sent the ETag {etag!r}; a hash is required")
        return
    is_json = "json" in headers.get("Content-Type", "")
    announced = headers.get("Content-Length", "")
    limit = _LARGEST_JSON if is_json else int(announced) if announced.isdecimal() else _LARGEST_FILE
    response.stream = _BoundedStream(response.stream, limit, str(response.request.url))
    if is_json and response.is_success and _API.search(response.request.url.path):
        response.read()
        _check_values(response)


def _check_values(response: Any) -> None:
    """Raise UntrustedAnswerError for a commit or a file name in a JSON body that must not become a path."""
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError) as error:
        raise UntrustedAnswerError(f"{response.request.url.path}: not valid JSON ({error})") from None
    records = value if isinstance(value, list) else [value]
    for record in records:
        if not isinstance(record, dict):
            continue
        for key in ("sha", "commitOid", "targetCommit"):
            if record.get(key) is not None and not (isinstance(record[key], str) and _COMMIT.fullmatch(record[key])):
                raise UntrustedAnswerError(
                    f"the Hub sent the commit {record[key]!r}; 40 hexadecimal digits are required"
                )
        siblings = record.get("siblings")
        names = [record.get("path"), *(file.get("rfilename") for file in siblings or () if isinstance(file, dict))]
        for name in names:
            if isinstance(name, str) and not is_inner_path(name):
                raise UntrustedAnswerError(f"the Hub sent the file name {name!r}")


class _BoundedStream(_http.SyncByteStream):  # type: ignore[misc, name-defined] # the module is chosen at run time
    """The body of an answer, with an end: at most `limit` bytes, and not too slowly."""

    def __init__(self, stream: Any, limit: int, url: str) -> None:
        self._stream, self._limit, self._url = stream, limit, url

    def __iter__(self) -> Iterator[bytes]:
        n_bytes, started = 0, time.monotonic()
        for chunk in self._stream:
            n_bytes += len(chunk)
            seconds = time.monotonic() - started
            if n_bytes > self._limit:
                raise UntrustedAnswerError(f"{self._url}: the answer has more than {self._limit:,} bytes")
            if seconds > _SLOW_SECONDS and n_bytes < _SLOWEST_RATE * seconds:
                raise UntrustedAnswerError(f"{self._url}: {n_bytes:,} bytes in {seconds:.0f} s; the Hub is too slow")
            yield chunk

    def close(self) -> None:
        self._stream.close()
