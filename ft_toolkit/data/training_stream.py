"""Training rows that are read while the run trains (`data.stream_rows`), from files or from the Hub.

    source --stream_rows rows--> buffer 0, buffer 1, ... --read, encode, shuffle--> the steps of one epoch each

A buffer depends on its number alone, so a resumed run and each of several processes read the same rows. After the last row, the
source is read again from the start. The last buffer before that may be shorter.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import check_formats, files_of
from ft_toolkit.data.row_streams import RowStream, open_stream
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.tasks.base import Rows

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

    streams: list[RowStream]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the rows. Raises DataError."""
        for stream in self.streams:
            yield from stream


def open_files(path: Path, reading: Reading | None = None) -> FileStream:
    """Return the rows of a file, or of all files that a pattern matches. Reads only their beginnings. Raises DataError."""
    files = files_of(path)
    streams = [_open_file(file, reading) for file in files]
    check_formats(path, files, [stream.format.name for stream in streams])
    return FileStream(streams)


def _open_file(path: Path, reading: Reading | None) -> RowStream:
    stream = open_stream(path, reading, min_bytes=1, is_strict=True)
    if stream is None:
        raise DataError(
            f"{path}: cannot be read row by row (data.stream_rows); allowed: jsonl, csv, tsv and txt files in UTF-8, also "
            "compressed, and parquet files. For text in another encoding set data.reading.encoding; 'ftk convert' writes "
            "other formats as jsonl"
        )
    return stream
