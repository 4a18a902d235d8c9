"""The rows of long files and tables that are not held in memory: every iteration reads them again."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ft_toolkit.core.errors import DataError
from ft_toolkit.core.progress import Report, no_report
from ft_toolkit.data import row_streams
from ft_toolkit.data.local_files import check_formats, files_of, notes_of_files
from ft_toolkit.data.row_streams import RowStream, open_stream
from ft_toolkit.data.unpacking import count_bytes, split_member
from ft_toolkit.recipe.reading import Reading

# Rows between two reports of the progress.
_REPORTED = 4096


class RereadableRows(Protocol):
    """The rows of a file or a table, which can be read several times. `title` names it in the progress."""

    @property
    def title(self) -> str: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def n_rows_estimated(self) -> int: ...
    def read(self, notes: list[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows from the first one; append notes on how they are read."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...


class StreamedRows(Collection[dict[str, Any]]):
    """The rows of one or several files. Opening them reads all rows once, to count them and to find the columns and the ids."""

    def __init__(self, streams: Sequence[RereadableRows], report: Report = no_report) -> None:
        """Read all rows once. `report` shows the progress. Raises DataError for a row that is not valid in its format."""
        self._streams, self._report, self._passes = streams, report, 1
        step = f"reading {streams[0].title}, pass 1, rows"
        # the number of rows is not known yet: an estimate from the first rows
        n_estimated = sum(stream.n_rows_estimated for stream in streams)
        self.notes = [list(stream.notes) for stream in streams]
        names: dict[str, None] = {}
        digests = np.empty(1024, np.int64)
        self._n = 0
        for stream, notes in zip(streams, self.notes, strict=True):
            more: list[str] = []
            for number, row in enumerate(stream.read(more), self._n + 1):
                names.update(dict.fromkeys(row))
                if number % _REPORTED == 1:
                    report(step, number - 1, max(n_estimated, number))
                if number > len(digests):
                    digests = np.concatenate([digests, np.empty_like(digests)])
                digests[number - 1] = hash(str(row.get("id", number)))
                self._n = number
            notes += [note for note in more if note not in notes]
        self.columns = list(names)
        values, counts = np.unique(digests[: self._n], return_counts=True)
        self.has_ids = len(values) == self._n or not self._repeats_an_id(set(values[counts > 1].tolist()))

    def _repeats_an_id(self, digests: set[int]) -> bool:
        """Return whether two rows have the same id. Only ids with one of the digests can be equal."""
        seen: set[str] = set()
        for number, row in enumerate(self, 1):
            row_id = str(row.get("id", number))
            if hash(row_id) in digests:
                if row_id in seen:
                    return True
                seen.add(row_id)
        return False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Read the rows."""
        self._passes += 1
        step = f"reading {self._streams[0].title}, pass {self._passes}, rows"
        rows = chain.from_iterable(self._streams)
        for number in range(self._n):
            if number % _REPORTED == 0:
                self._report(step, number, self._n)
            yield next(rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._n

    def __contains__(self, row: object) -> bool:
        """Return whether a row is among the rows."""
        return any(row == other for other in self)


@dataclass(frozen=True)
class StreamedFile:
    """The rows of a file, or of all files that a pattern matches; see `FileRows`."""

    rows: StreamedRows
    notes: list[str]
    class_names: Mapping[str, tuple[str, ...]]


def stream_table(path: Path, reading: Reading | None = None, report: Report = no_report) -> StreamedFile | None:
    """Return the rows of a file, or of all files that a pattern matches, without holding them in memory.

    None for short files and for files that must be read as a whole; see `row_streams`. Raises DataError.
    """
    files = files_of(path)
    if not all(split_member(file)[0].is_file() for file in files):
        return None
    if count_bytes(files, row_streams.MIN_BYTES) < row_streams.MIN_BYTES:
        return None
    streams: list[RowStream] = []
    for file in files:
        stream = open_stream(file, reading, min_bytes=1)
        if stream is None:
            return None
        streams.append(stream)
    check_formats(path, files, [stream.format.name for stream in streams])
    rows = StreamedRows(streams, report)
    if not len(rows):
        raise DataError(f"{path}: the file has no rows")
    return StreamedFile(rows, notes_of_files(files, rows.notes), streams[0].source.class_names)
