"""Training rows that are read while the run trains (`data.stream_rows`), from files or from the Hub.

    source --stream_rows rows--> buffer 0, buffer 1, ... --read, encode, shuffle--> the steps of one epoch each

A buffer depends on its number alone, so a resumed run and each of several processes read the same rows. After the last row, the
source is read again from the start. The last buffer before that may be shorter.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.formats.base import Source
from ft_toolkit.data.local_files import check_formats, choose_format, files_of
from ft_toolkit.data.row_streams import HEAD_BYTES, RowStream, open_stream
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.tasks.base import Rows

_OPEN: dict[str, tuple[bytes, Callable[[Path], Any]]] = {
    "gzip": (b"\x1f\x8b", gzip.open),
    "bzip2": (b"BZh", bz2.open),
    "xz": (b"\xfd7zXZ\x00", lzma.open),
}
_DAMAGES = (OSError, EOFError, lzma.LZMAError, zlib.error)
# (rows of the source, number of the first one from 1) -> labelled rows in the form of the task. Raises DataError.
ReadBuffer = Callable[[list[dict[str, Any]], int], Rows]


@dataclass
class TrainingStream:
    """The rows of a source, in buffers of `size` rows of the source. `read` brings them into the form of the task.

    `n_first` is the number of rows of buffer 0 in the source, and `n_read` the number up to the end of the last buffer.
    """

    source: Iterable[dict[str, Any]]
    size: int
    read: ReadBuffer
    n_first: int
    n_read: int = 0
    _rows: Iterator[dict[str, Any]] = field(default_factory=lambda: iter(()), repr=False)
    # The number of the next buffer, and of its first row in the source.
    _next: int = -1
    _row: int = 0

    def buffer(self, number: int) -> Rows:
        """Return the rows of a buffer; for the number after the last one, only new rows are read. Raises DataError."""
        if number < self._next or self._next < 0:
            self._rows, self._next, self._row, self.n_read = iter(self.source), 0, 0, 0
        while True:
            rows, first = self._take()
            self._next += 1
            if self._next > number:
                return self.read(rows, first)

    def _take(self) -> tuple[list[dict[str, Any]], int]:
        """Return the next rows of the source, and the number of the first one from 1. After the end, it starts again."""
        rows = list(islice(self._rows, self.size))
        if not rows:
            self._rows, self._row = iter(self.source), 0
            rows = list(islice(self._rows, self.size))
        if not rows:
            raise DataError("the source of the training rows is now empty; restore the rows, and resume the run")
        self.n_read += len(rows)
        first, self._row = self._row + 1, self._row + len(rows)
        return rows, first


@dataclass(frozen=True)
class FileStream:
    """The rows of files, one after the other. Every iteration reads them from the start."""

    streams: list["RowStream | CompressedStream"]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows. Raises DataError."""
        for stream in self.streams:
            yield from stream


@dataclass(frozen=True)
class CompressedStream:
    """The rows of a compressed file with text; see `RowStream`."""

    stream: RowStream
    compression: str

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows. Raises DataError."""
        opener = _OPEN[self.compression][1]
        try:
            with opener(self.stream.path) as file:
                yield from self.stream.read_lines(io.TextIOWrapper(file, self.stream.encoding, newline=""), [])
        except _DAMAGES as error:
            raise _damaged(self.stream.path, self.compression, error) from None


def open_files(path: Path, reading: Reading | None = None) -> FileStream:
    """Return the rows of a file, or of all files that a pattern matches. Reads only their beginnings. Raises DataError."""
    files = files_of(path)
    streams = [_open_file(file, reading or Reading()) for file in files]
    names = [(each.stream if isinstance(each, CompressedStream) else each).format.name for each in streams]
    check_formats(path, files, names)
    return FileStream(streams)


def _open_file(path: Path, reading: Reading) -> RowStream | CompressedStream:
    stream: RowStream | CompressedStream | None = open_stream(path, reading, min_bytes=1, is_strict=True)
    if stream is None and path.is_file():
        stream = _open_compressed(path, reading)
    if stream is None:
        raise DataError(
            f"{path}: cannot be read row by row (data.stream_rows); allowed: jsonl, csv, tsv and txt files in UTF-8, also "
            "compressed by gzip, bzip2 or xz, and parquet files. For text in another encoding set data.reading.encoding; "
            "'ftk data convert' writes other formats as jsonl"
        )
    return stream


def _damaged(path: Path, compression: str, error: BaseException) -> DataError:
    return DataError(f"{path}: damaged {compression} file ({error}). Download or compress it again")


def _open_compressed(path: Path, reading: Reading) -> CompressedStream | None:
    with path.open("rb") as file:
        start = file.read(8)
    compression = next((name for name, (magic, _) in _OPEN.items() if start.startswith(magic)), None)
    if compression is None:
        return None
    try:
        with _OPEN[compression][1](path) as file:
            head = file.read(HEAD_BYTES)
    except _DAMAGES as error:
        raise _damaged(path, compression, error) from None
    head = head[: head.rfind(b"\n") + 1]
    encoding = reading.encoding or "utf-8-sig"
    with suppress(UnicodeDecodeError, LookupError):
        if head and "\0" not in head.decode(encoding):
            source = Source(str(path), Path(path.stem).suffix.lower(), head, reading)
            chosen = choose_format(source)
            if chosen.stream is not None and chosen.stream(replace(source, notes=[]), ()) is not None:
                return CompressedStream(RowStream(path, chosen, source, encoding, source.notes), compression)
    return None
