"""Log events as JSON lines on standard error. No line contains a text, a prediction or a token."""

import contextlib
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any


def log(event: str, level: str = "info", **facts: Any) -> None:
    """Write an event with its facts. A log that cannot be written (a full disk, a closed pipe) does not stop the server."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "level": level, "event": event, **facts}, ensure_ascii=True, default=str)
    with contextlib.suppress(OSError):
        sys.stderr.write(line + "\n")


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return the type of an unexpected error and where it was raised, without its message, which may contain a text."""
    return {"error": type(error).__name__, "stack": _stack(error.__traceback__)}


def _stack(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)[-8:]]


class JsonHandler(logging.Handler):
    """Writes the messages of uvicorn as events. Their texts have addresses and counts, no content of requests."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; an exception without its message."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            log("server", record.levelname.lower(), message=record.getMessage())
        else:
            log("server", record.levelname.lower(), **describe_error(error))


def use_json_logs() -> None:
    """Send the messages of uvicorn and asyncio, and the warnings of libraries, to standard error as JSON lines."""
    logging.captureWarnings(capture=True)
    for name, level in (("uvicorn.error", logging.WARNING), ("asyncio", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [JsonHandler()], False
        logger.setLevel(level)
    # a warning may quote a text
    logging.getLogger("py.warnings").addHandler(logging.NullHandler())
    logging.getLogger("py.warnings").propagate = False
