"""Read the rows of a long file one by one: parquet files, and jsonl, csv, tsv and txt files, also compressed."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.encoding import REMEDY
from ft_toolkit.data.formats import find_formats
from ft_toolkit.data.formats.base import Format, Source
from ft_toolkit.data.layouts import find_layouts
from ft_toolkit.data.local_files import choose_format
from ft_toolkit.data.unpacking import count_bytes, open_unpacked, split_member
from ft_toolkit.recipe.reading import Reading

# Shorter files, unpacked, are read as a whole, which finds the encoding and the dialect in more cases.
MIN_BYTES = 64_000_000
# The beginning of a file, which determines its format, and the rows that determine its layout.
HEAD_BYTES, HEAD_ROWS = 4_000_000, 1000


@dataclass(frozen=True)
class RowStream:
    """A long file. Each iteration reads it from the start, and yields one dict per row. Raises DataError."""

    path: Path
    format: Format
    source: Source
    encoding: str
    notes: list[str] = field(default_factory=list)
    n_rows_estimated: int = 0

    @property
    def title(self) -> str:
        """The name of the file."""
        return self.path.name

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows."""
        return self.read([])

    def read(self, notes: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows; append the notes on how they are read to `notes`, some of them after the last row."""
        if self.format.stream_file is not None:
            source = replace(self.source, notes=notes)
            yield from self.format.stream_file(source, self.path)
            self.source.class_names = source.class_names
            return
        # csv fields keep the line ends in them
        newline = "" if self.format.name == "csv" else None
        with (
            open_unpacked(self.path) as content,
            io.TextIOWrapper(content.file, self.encoding, newline=newline) as lines,
        ):
            yield from self._read_lines(lines, notes)

    def _read_lines(self, lines: Iterable[str], notes: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of the lines of a text file, which have their line ends; see `read`."""
        assert self.format.stream is not None  # open_stream has tested it
        name, number = self.source.name, 0
        try:
            rows = self.format.stream(replace(self.source, notes=notes), lines)
            for number, row in enumerate(rows or (), 1):
                if not isinstance(row, dict):
                    raise DataError(f"{name}: record {number} is not a JSON object, unlike the first records")
                yield row
        except UnicodeDecodeError:
            title = self.encoding.removesuffix("-sig").upper()
            raise DataError(f"{name}: not valid {title} after row {number}; {REMEDY}") from None


def open_stream(
    path: Path, reading: Reading | None = None, min_bytes: int | None = None, *, is_strict: bool = False
) -> RowStream | None:
    """Return a stream of the rows of a file; None for a short file, and for one that must be read as a whole.

    A short file has fewer than `min_bytes` bytes, by default MIN_BYTES; a compressed file is unpacked up to this number to find
    out. With `is_strict`, an invalid row among the first ones raises DataError; otherwise the result is None, because a file
    that is read as a whole gives a better error.
    """
    least = MIN_BYTES if min_bytes is None else min_bytes
    if not split_member(path)[0].is_file() or count_bytes([path], least) < least:
        return None
    reading = reading or Reading()
    with open_unpacked(path) as content:
        head = content.file.read(HEAD_BYTES)
        size = content.estimated_size(len(head))
    binary = Source(str(path), content.suffix, head, reading)
    if content.compression is None and (chosen := _binary_format(binary)) is not None:
        return _checked(RowStream(path, chosen, binary, "", binary.notes), size, is_strict=is_strict)
    head = head[: head.rfind(b"\n") + 1]
    encoding = reading.encoding or "utf-8-sig"
    try:
        is_text = bool(head) and "\0" not in head.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None  # read as a whole, which guesses the encoding or refuses the file
    if not is_text:
        return None
    source = Source(str(path), content.suffix, head, reading)
    chosen = choose_format(source)
    if chosen.stream is None or chosen.stream(replace(source, notes=[]), ()) is None:
        return None
    return _checked(RowStream(path, chosen, source, encoding, source.notes), size, is_strict=is_strict)


def _binary_format(source: Source) -> Format | None:
    """Return the format of a binary file that can be read row by row; None for any other file. Raises DataError."""
    chosen = find_formats().get(source.suffix)
    if source.reading.format is not None or chosen is None or chosen.is_text or chosen.stream_file is None:
        return None
    return chosen if chosen.fits is not None and chosen.fits(source) else None


def _checked(stream: RowStream, n_bytes: int, *, is_strict: bool) -> RowStream | None:
    """Return a stream whose first rows are rows of no annotation tool; None for a file that must be read as a whole.

    `n_bytes` is about the number of bytes of the content.
    """
    first: list[Any] = []
    try:
        first = list(islice(stream, HEAD_ROWS))
    except DataError:
        if is_strict:
            raise
        return None  # read as a whole, which reports the error with its line
    if not first or has_layout(first):
        return None
    size = sum(len(str(row)) for row in first) / len(first)
    return replace(stream, n_rows_estimated=int(n_bytes / size))


def has_layout(rows: list[Any]) -> bool:
    """Return whether the first rows of a source are in the layout of another tool, which is read as a whole."""
    return any(layout.matches(rows) for layout in find_layouts())
