"""Keep standard input for the commands that read it: libraries and child processes get an empty one.

A library that asks a question on standard input would otherwise take a line of the user's texts as the answer.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

# The standard input of this process, while `reserved_standard_input` is active.
_reserved: list[TextIO | None] = []


@contextmanager
def reserved_standard_input() -> Iterator[None]:
    """Replace standard input (`sys.stdin` and file descriptor 0) by an empty file; `standard_input` returns the real one."""
    stream, copy = sys.stdin, None
    with open(os.devnull, encoding="utf-8") as empty:  # noqa: PTH123 - not a path of the user
        if _descriptor(stream) == 0:
            copy = os.dup(0)
            os.dup2(empty.fileno(), 0)
        _reserved.append(stream if copy is None else io.TextIOWrapper(io.FileIO(copy, closefd=False), encoding="utf-8"))
        sys.stdin = empty
        try:
            yield
        finally:
            sys.stdin = stream
            _reserved.pop()
            if copy is not None:
                os.dup2(copy, 0)
                os.close(copy)


def standard_input() -> TextIO | None:
    """Return the standard input of this process, None if it has none."""
    return _reserved[-1] if _reserved else sys.stdin


def _descriptor(stream: TextIO | None) -> int | None:
    """Return the file descriptor of a stream, None if it has none."""
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):  # replaced by an object without a file, or closed
        return None
