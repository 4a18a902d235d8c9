"""The first layer of the server: address, token, rate, size and time of a request; its log line and its metrics.

A request is refused here before its body is parsed. Bodies are read completely, up to the limit, within the time limit.
"""

import asyncio
import hmac
import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from ft_toolkit.serve.logs import log
from ft_toolkit.serve.metrics import Metrics
from ft_toolkit.serve.options import TOKEN_VARIABLE, Limits, is_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Paths without a token: the page asks for it, and health checks have none.
PUBLIC = frozenset({"/", "/page.css", "/page.js", "/health", "/ready"})
# The rest of a body that is too large is read up to this multiple of the limit, so that the client gets the answer instead of a
# closed connection.
DISCARDED = 8
# Client addresses whose rate is remembered.
ADDRESSES = 10_000
SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


@dataclass(frozen=True)
class Refusal:
    """A request that is refused: status, message, and seconds to wait."""

    status: int
    message: str
    retry_after: int | None = None


class Rate:
    """A token bucket per client address: `rate` requests per second, and as many at once."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """Count a request. Return 0 if it is allowed, else the seconds until the next one is."""
        if self._rate is None:
            return 0.0
        now, capacity = time.monotonic(), max(self._rate, 1.0)
        available, last = self._buckets.pop(address, (capacity, now))
        available = min(capacity, available + (now - last) * self._rate)
        is_allowed = available >= 1
        self._buckets[address] = (available - 1 if is_allowed else available, now)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if is_allowed else (1 - available) / self._rate


class Guard:
    """An ASGI application around the application of the server."""

    def __init__(self, app: App, limits: Limits, token: str | None, metrics: Metrics) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._rate = Rate(limits.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id = time.perf_counter(), uuid.uuid4().hex[:16]
        status = 499  # the client has gone, as in nginx
        headers = {name.lower(): value for name, value in scope["headers"]}
        scope.setdefault("state", {})

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [*SECURITY_HEADERS, (b"x-request-id", request_id.encode())]
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        # HEAD is GET without the body, which uvicorn leaves out
        handled = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        refusal = self._refuse(scope, headers)
        body: bytes | None = b""
        if refusal is None:
            body, refusal = await self._read(receive)
        elif scope["method"] in ("POST", "PUT", "PATCH"):
            await self._read(receive)
        try:
            if refusal is not None:
                await refuse(send_marked, refusal)
            elif body is not None:
                await self._app(handled, _replay(body, receive), send_marked)
        finally:
            scope["route"] = handled.get("route")
            self._record(scope, status, time.perf_counter() - started, request_id, len(body or b""))

    def _refuse(self, scope: Scope, headers: dict[bytes, bytes]) -> Refusal | None:
        """Return the reason why a request is refused before its body is read; None for none."""
        if self._expected is None and not _is_local_host(headers.get(b"host", b"")):
            return Refusal(
                421,
                f"without {TOKEN_VARIABLE}, the server answers requests for localhost only, not for this Host header",
            )
        address = (scope.get("client") or ("", 0))[0]
        if scope["path"] in PUBLIC:
            return None
        # requests with a wrong token count, so that nobody can try many tokens
        if wait := self._rate.wait_seconds(address):
            return Refusal(429, f"more than {self._limits.rate:g} requests per second", int(wait) + 1)
        if self._expected is not None and not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            return Refusal(401, "the header 'Authorization: Bearer TOKEN' is missing or wrong")
        return None

    async def _read(self, receive: Receive) -> tuple[bytes | None, Refusal | None]:
        """Return the body, or a refusal. The body is None if the client has gone."""
        limit = self._limits.body_bytes
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.read_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None, None
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size <= limit:
                        chunks.append(chunk)
                    else:
                        chunks.clear()
                    if not message.get("more_body", False) or size > DISCARDED * limit:
                        break
        except TimeoutError:
            return b"", Refusal(408, f"the body did not arrive within {self._limits.read_seconds:g} seconds")
        if size > limit:
            return b"", Refusal(413, f"the body has more than {limit:,} bytes; send fewer rows per request")
        return b"".join(chunks), None

    def _record(self, scope: Scope, status: int, seconds: float, request_id: str, n_bytes: int) -> None:
        """Write the log line of a request, and count it. Health checks are only counted."""
        route = getattr(scope["route"], "path", "other")
        state = scope["state"]
        labels = {"route": route, "status": str(status)}
        self._metrics.count("ftk_requests_total", "Requests by route and status.", labels)
        if route in ("/health", "/ready"):
            return
        self._metrics.observe("ftk_request_seconds", "Time of a request.", {"route": route}, seconds)
        log(
            "request",
            "error" if status >= 500 else "info",
            id=request_id,
            method=scope["method"],
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 2),
            bytes=n_bytes,
            client=(scope.get("client") or ("",))[0],
            **{name: state[name] for name in ("rows", "version", "failure") if name in state},
        )


async def refuse(send: Send, refusal: Refusal) -> None:
    """Send an error as JSON."""
    body = json.dumps({"error": refusal.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a function that gives the body first, and then the messages of the client."""
    is_given = False

    async def replay() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _is_local_host(host: bytes) -> bool:
    """Return whether a Host header names this machine. Another name means that a page of a browser was redirected here."""
    name = host.decode("latin-1")
    name = name.partition("]")[0].removeprefix("[") if name.startswith("[") else name.partition(":")[0]
    return is_loopback(name)
