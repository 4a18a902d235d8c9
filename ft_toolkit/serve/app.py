"""The HTTP interface: routes, requests and responses."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import ft_toolkit
from ft_toolkit.core.errors import ModelError, UsageError
from ft_toolkit.serve.batching import Answer, Batcher, QueueFullError
from ft_toolkit.serve.guard import App, Guard
from ft_toolkit.serve.logs import describe_error, log
from ft_toolkit.serve.metrics import CONTENT_TYPE
from ft_toolkit.serve.schemas import (
    Bodies,
    ErrorBody,
    ModelFacts,
    describe_model,
    describe_problems,
    make_bodies,
    plain_row,
)
from ft_toolkit.serve.service import Service

PAGE = Path(__file__).resolve().parent / "page"
# The page loads its own files and nothing else; no other page may show it in a frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
MODEL_FAILED = "the model failed on these rows; the log of the server has the error"
_ERRORS = {
    401: "The token is missing or wrong",
    408: "The request did not arrive in time",
    413: "The body is too large",
    422: "The rows are invalid",
    429: "Too many requests per second; see Retry-After",
    503: "The queue is full, or the server stops; see Retry-After",
    504: "No answer in time",
}
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text} for status, text in _ERRORS.items()
}


def make_app(service: Service) -> App:
    """Return the ASGI application for the models of a service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        service.stop()

    app = FastAPI(
        title="ft_toolkit",
        version=ft_toolkit.__version__,
        description="Predictions of fine-tuned models.",
        docs_url=None,  # these pages load scripts of another host
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_page(app)
    _add_operations(app, service)
    for name, batcher in service.batchers.items():
        bodies = make_bodies(name, batcher.served, service.options.limits)
        _add_predict(app, service, batcher, bodies)
        if batcher.served.model.task.stream is not None:
            _add_stream(app, batcher, bodies)
    app.add_exception_handler(RequestValidationError, _invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _http_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _unexpected)
    return Guard(app, service.options.limits, service.options.token, service.metrics)


def _add_page(app: FastAPI) -> None:
    for path, file in (("/", "index.html"), ("/page.css", "page.css"), ("/page.js", "page.js")):

        async def get_file(request: Request) -> Response:
            name = "index.html" if request.url.path == "/" else request.url.path.removeprefix("/")
            return FileResponse(PAGE / name, headers={"content-security-policy": POLICY})

        app.add_api_route(path, get_file, include_in_schema=False, name=file)


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="Whether the process works", tags=["operations"])
    async def health() -> Response:
        stuck = service.stuck_models()
        return JSONResponse({"status": "stuck" if stuck else "ok", "models": stuck}, 503 if stuck else 200)

    @app.get("/ready", summary="Whether the server takes requests", tags=["operations"])
    async def ready() -> Response:
        is_ready = not service.is_stopping
        return JSONResponse({"status": "ready" if is_ready else "stopping"}, 200 if is_ready else 503)

    @app.get("/metrics", summary="Metrics for Prometheus", tags=["operations"])
    async def metrics() -> Response:
        return Response(service.metrics.render(), media_type=CONTENT_TYPE)

    @app.get("/models", summary="The models and their columns", tags=["models"], response_model=list[ModelFacts])
    async def models() -> Response:
        facts = [describe_model(name, batcher.served).model_dump() for name, batcher in service.batchers.items()]
        return JSONResponse(facts)


def _add_predict(app: FastAPI, service: Service, batcher: Batcher, bodies: Bodies) -> None:
    async def predict(request: Request, body: Any) -> Response:
        rows = [plain_row(row) for row in body.rows]
        request.state.rows = len(rows)
        try:
            future = batcher.submit(rows)
        except QueueFullError as error:
            return _queue_full(error)
        gone = asyncio.ensure_future(request.receive())
        awaited: set[asyncio.Future[Any]] = {future, gone}
        try:
            await asyncio.wait(awaited, timeout=service.options.limits.seconds, return_when="FIRST_COMPLETED")
        finally:
            gone.cancel()
            if not future.done():
                future.cancel()
        if future.cancelled():
            if gone.done() and not gone.cancelled():
                return Response(status_code=499)  # nobody reads it
            return _error(504, f"no answer within {service.options.limits.seconds:g} seconds; send fewer rows")
        failure = future.exception()
        if failure is not None:
            return _error(*_describe_failure(request, failure))
        answer = future.result()
        request.state.version = answer.version
        return JSONResponse(_body_of(answer, batcher.name))

    _add_route(app, batcher, "predict", predict, bodies.request, response_model=bodies.response)


def _add_stream(app: FastAPI, batcher: Batcher, bodies: Bodies) -> None:
    async def stream(request: Request, body: Any) -> Response:
        request.state.rows = 1
        try:
            pieces = batcher.stream(plain_row(body.row))
        except QueueFullError as error:
            return _queue_full(error)
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(
            _events(request, pieces, batcher.name), media_type="text/event-stream", headers=headers
        )

    _add_route(app, batcher, "stream", stream, bodies.single, response_class=StreamingResponse)


def _add_route(
    app: FastAPI, batcher: Batcher, verb: str, endpoint: Any, request: type[BaseModel], **options: Any
) -> None:
    endpoint.__annotations__["body"] = request
    summaries = {
        "predict": "Predict rows",
        "stream": "Generate the text of a row, as server-sent events: text, then prediction or error",
    }
    app.add_api_route(
        f"/models/{batcher.name}/{verb}",
        endpoint,
        methods=["POST"],
        summary=summaries[verb],
        tags=["models"],
        operation_id=f"{verb}_{batcher.name}",
        responses=ERROR_RESPONSES,
        **options,
    )


async def _events(
    request: Request, pieces: AsyncGenerator[str | Answer | BaseException], name: str
) -> AsyncIterator[str]:
    """Yield the server-sent events of a generated text."""
    try:
        async for piece in pieces:
            if isinstance(piece, Answer):
                request.state.version = piece.version
                yield _event("prediction", _body_of(piece, name))
            elif isinstance(piece, BaseException):
                yield _event("error", {"error": _describe_failure(request, piece)[1]})
            else:
                yield _event("text", {"text": piece})
    except TimeoutError:
        request.state.failure = "TimeoutError"
        yield _event("error", {"error": "no text arrived within the time limit"})
    finally:
        await pieces.aclose()


def _event(kind: str, data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _body_of(answer: Answer, name: str) -> dict[str, Any]:
    return {"model": name, "version": answer.version, "predictions": answer.predictions, "notes": answer.notes}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)


def _queue_full(error: QueueFullError) -> Response:
    return _error(503, "too many rows wait; try again later", {"retry-after": str(error.retry_after)})


def _describe_failure(request: Request, error: BaseException) -> tuple[int, str]:
    """Return status and message for an error of the model: 422 for rows that it cannot read, else 500, and a log line."""
    request.state.failure = type(error).__name__
    if isinstance(error, UsageError) and not isinstance(error, ModelError):
        return 422, str(error)
    log("prediction_failed", "error", **describe_error(error))
    return 500, MODEL_FAILED


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    return _error(422, describe_problems(error.errors()))


async def _http_error(request: Request, error: HTTPException) -> Response:
    return _error(error.status_code, str(error.detail), dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Response:
    return _error(500, "the server failed; its log has the error")
