"""The definition of a file format: data and a function that reads a file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RawRows = list[dict[str, Any]]


@dataclass(frozen=True)
class Format:
    """A file format.

    `suffixes` are lower-case file name suffixes with the dot. `read` returns one dict per row, with the column names of
    the file, and may return an empty list. It raises DataError with the file and, where there is one, the line; it lets
    OSError and UnicodeDecodeError pass, which `read_file` reports.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], RawRows]
