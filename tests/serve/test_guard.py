"""The layers of the server, without a server."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request

from ft_toolkit.serve.app import MODEL_FAILED, _events
from ft_toolkit.serve.batching import Batcher
from ft_toolkit.serve.guard import Guard
from ft_toolkit.serve.metrics import Metrics
from ft_toolkit.serve.options import Limits
from ft_toolkit.serve.served_model import ServedModel

TOKEN = "x" * 16


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _send(guard: Guard, path: str, token: str, method: str = "GET") -> int:
    """Return the status of a request."""
    headers = [(b"authorization", f"Bearer {token}".encode())]
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": ("10.0.0.1", 1)}
    asyncio.run(guard(scope, receive, send))
    return int(sent[0]["status"])


def test_wrong_tokens_count_for_the_rate() -> None:
    guard = Guard(_app, Limits(rate=2), TOKEN, Metrics())
    assert [_send(guard, "/models", "wrong", method) for method in ("GET", "HEAD", "OPTIONS")] == [401, 401, 429]
    assert _send(guard, "/models", TOKEN) == 429  # nor does a correct guess get an answer now
    assert _send(guard, "/health", "wrong") == 200


def test_a_stream_reports_an_unexpected_error_and_logs_it(capsys: pytest.CaptureFixture[str]) -> None:
    broken: Any = ServedModel(model=None, version="1", form=None)  # type: ignore[arg-type]
    batcher = Batcher("demo", broken, Limits(), Metrics())

    async def events() -> list[str]:
        task = asyncio.create_task(batcher.run())
        request = Request({"type": "http", "state": {}})
        sent = [event async for event in _events(request, batcher.stream({"text": "private"}), "demo")]
        task.cancel()
        batcher.close()
        return sent

    assert asyncio.run(events()) == [f"event: error\ndata: {json.dumps({'error': MODEL_FAILED})}\n\n"]
    logged = capsys.readouterr().err
    assert '"prediction_failed"' in logged and "AttributeError" in logged and "private" not in logged


def test_paths_and_methods_of_clients_make_no_metrics() -> None:
    metrics = Metrics()
    guard = Guard(_app, Limits(), TOKEN, metrics)
    for number in range(20):
        _send(guard, f"/unknown/{number}", TOKEN, f"METHOD{number}")
        _send(guard, f"/unknown/{number}", f"wrong{number}")
    lines = [line for line in metrics.render().splitlines() if line.startswith("ftk_requests_total")]
    assert len(lines) == 2
