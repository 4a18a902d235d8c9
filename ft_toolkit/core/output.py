"""Standard output that may be closed or full: a training must not end because nobody reads its progress any more."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast


class _PatientOutput:
    """A text stream that discards everything after the first write that fails."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._failed = False

    def write(self, text: str) -> int:
        """Write a text, or discard it, and return its length."""
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Write the buffered text, or discard it."""
        self._attempt(self._stream.flush)

    def _attempt(self, action: Any) -> None:
        if self._failed:
            return
        try:
            action()
        except OSError:
            self._failed = True
            discard_output()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def patient_output() -> Iterator[None]:
    """Within the context, a closed pipe or a full disk behind standard output ends only the output."""
    stream = sys.stdout
    if stream is None:  # closed before the start; Python then prints nothing
        yield
        return
    sys.stdout = cast(TextIO, _PatientOutput(stream))  # has every method of the stream
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = stream


def flush_output() -> str | None:
    """Write the buffered text; return the reason if that fails, None if the reader of the output has ended, as in `| head`."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        discard_output()
        return None if isinstance(error, BrokenPipeError) else f"standard output: {error.strerror}"
    return None


def discard_output() -> None:
    """Send the rest of standard output nowhere, also the text that Python still has in its buffer."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)
