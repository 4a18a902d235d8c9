"""Rows in an Arrow file: a sequence that reads each row from the memory-mapped file when it is needed.

    StoredRows(path)[7]  ->  {"id": "8", "text": "...", "label": "praise"}

A column of texts is an Arrow column of strings. Other columns hold each value in the form of Python's `marshal`, which gives
back numbers, lists, tuples and dicts exactly as they were.
"""

import marshal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from ft_toolkit.tasks.base import Row, Rows

Item = TypeVar("Item")
# Rows that are read or written together: at most this number, and about this number of characters.
PART, CHARACTERS = 4096, 2_000_000
_KINDS = b"kinds"
# A column of texts, a column of other values, and a column with whole rows.
_TEXT, _PLAIN, _ROW = "text", "plain", "row"


def store_rows(rows: Rows, path: Path) -> None:
    """Write rows to an Arrow file. Raises ValueError for rows with different columns, and for values such as dates."""
    import pyarrow

    names = list(rows[0])
    kinds = dict.fromkeys(names, _TEXT)
    for row in rows:
        if list(row) != names:
            raise ValueError("the rows have different columns")
        for name, value in row.items():
            if type(value) is not str:
                kinds[name] = _PLAIN
    types = {_TEXT: pyarrow.large_string(), _PLAIN: pyarrow.large_binary()}
    fields = [pyarrow.field(name, types[kinds[name]], metadata={_KINDS: kinds[name].encode()}) for name in names]
    schema = pyarrow.schema(fields)
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
        for part in in_parts(rows):
            columns = [[row[name] if kinds[name] == _TEXT else dump(row[name]) for row in part] for name in names]
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))


def in_parts(rows: Iterable[Row], most_rows: int | None = None) -> Iterator[list[Row]]:
    """Yield the rows in lists of at most `most_rows` (default: PART) rows and about CHARACTERS characters."""
    limit, part, n_characters = most_rows or PART, list[Row](), 0
    for row in rows:
        part.append(row)
        n_characters += sum(len(value) for value in row.values() if isinstance(value, (str, list)))
        if len(part) == limit or n_characters >= CHARACTERS:
            yield part
            part, n_characters = [], 0
    if part:
        yield part


class RowFile:
    """An Arrow file to which rows are written part by part. They may have different columns; each row is one value."""

    def __init__(self, path: Path) -> None:
        """Create the file when the context is entered."""
        self._path = path

    def __enter__(self) -> "RowFile":
        import pyarrow

        field = pyarrow.field(_ROW, pyarrow.large_binary(), metadata={_KINDS: _ROW.encode()})
        self._schema = pyarrow.schema([field])
        self._writer = pyarrow.ipc.new_file(str(self._path), self._schema)
        return self

    def write(self, rows: Rows) -> None:
        """Append rows. Raises ValueError for values such as dates."""
        import pyarrow

        if rows:
            column = pyarrow.array([dump(dict(row)) for row in rows], pyarrow.large_binary())
            self._writer.write_batch(pyarrow.record_batch([column], schema=self._schema))

    def __exit__(self, *error: object) -> None:
        self._writer.close()


def dump(value: Any) -> bytes:
    """Return a value in the form of `marshal`. Raises ValueError for a value that does not come back equal.

    `marshal` writes the bytes of arrays and numpy numbers, without their type.
    """
    data = marshal.dumps(value)
    if marshal.loads(data) != value:
        raise ValueError(f"{type(value).__name__} cannot be stored")
    return data


class StoredRows(Sequence[Row]):
    """The rows of an Arrow file, or some of them. `fingerprint` is the sha256 of all rows of the file, if it is known."""

    def __init__(self, path: Path, fingerprint: str | None = None) -> None:
        """Open a file that `store_rows` wrote."""
        import pyarrow

        with pyarrow.memory_map(str(path)) as source:
            reader = pyarrow.ipc.open_file(source)
            self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
            columns = reader.schema
        self._names = list(columns.names)
        kinds = [field.metadata[_KINDS].decode() for field in columns]
        self._is_text, self._has_whole_rows = [kind == _TEXT for kind in kinds], kinds == [_ROW]
        self._starts = np.cumsum([0, *(len(batch) for batch in self._batches)])
        self._positions = np.arange(self._starts[-1], dtype=np.int64)
        self._changed: Mapping[int, Row] = {}  # by the position in the file
        self.fingerprint = fingerprint

    def select(self, positions: Sequence[int] | np.ndarray) -> "StoredRows":
        """Return the rows at some positions, in this order."""
        selected = object.__new__(StoredRows)
        selected._batches, selected._names, selected._is_text = self._batches, self._names, self._is_text
        selected._has_whole_rows, selected._starts = self._has_whole_rows, self._starts
        selected._positions = self._positions[np.asarray(positions, np.int64)]
        selected._changed, selected.fingerprint = self._changed, None
        return selected

    def change(self, changes: Mapping[int, Row | None]) -> "StoredRows":
        """Return the rows with other rows at some positions, and without the rows at the positions of None."""
        is_kept = np.ones(len(self), bool)
        is_kept[[index for index, row in changes.items() if row is None]] = False
        new = {int(self._positions[index]): row for index, row in changes.items() if row is not None}
        changed = self.select(np.flatnonzero(is_kept))
        changed._changed = {**self._changed, **new}
        return changed

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredRows": ...

    def __getitem__(self, index: int | slice) -> "Row | StoredRows":
        """Return a row, or the rows of a slice."""
        if isinstance(index, slice):
            return self.select(np.arange(len(self))[index])
        position = int(self._positions[index])
        number = self._batch_of(position)
        return next(self._read(number, np.array([position - self._starts[number]])))

    def __iter__(self) -> Iterator[Row]:
        """Read the rows in order, some thousand at a time."""
        for start in range(0, len(self), PART):
            positions = self._positions[start : start + PART]
            batches = np.searchsorted(self._starts, positions, side="right") - 1
            for part in np.split(positions, np.flatnonzero(np.diff(batches)) + 1):
                number = self._batch_of(part[0])
                yield from self._read(number, part - self._starts[number])

    def _batch_of(self, position: int) -> int:
        return int(np.searchsorted(self._starts, position, side="right")) - 1

    def _read(self, number: int, offsets: np.ndarray) -> Iterator[Row]:
        """Return the rows at some offsets of a batch."""
        rows = self._read_file(number, offsets)
        if not self._changed:
            return rows
        positions = (offsets + self._starts[number]).tolist()
        return (self._changed.get(position, row) for position, row in zip(positions, rows, strict=True))

    def _read_file(self, number: int, offsets: np.ndarray) -> Iterator[Row]:
        """Return the rows at some offsets of a batch, as they are in the file."""
        batch = self._batches[number]
        if len(offsets) == 1:
            batch = batch.slice(int(offsets[0]), 1)
        elif len(offsets) < len(batch) or offsets[0] != 0:
            batch = batch.take(offsets)
        columns = [column.to_pylist() for column in batch.columns]
        if self._has_whole_rows:
            yield from map(marshal.loads, columns[0])
            return
        for values in zip(*columns, strict=True):
            yield {
                name: value if is_text else marshal.loads(value)
                for name, is_text, value in zip(self._names, self._is_text, values, strict=True)
            }


class ChainedRows(Sequence[Row]):
    """The rows of several sequences, one after the other, without a copy."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        """Keep the sequences."""
        self._parts = parts

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(map(len, self._parts))

    def __getitem__(self, index: int | slice) -> Any:
        """Return a row; for a slice, a list of rows."""
        return items_at(self._row, index, len(self))

    def _row(self, index: int) -> Row:
        for part in self._parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)

    def __iter__(self) -> Iterator[Row]:
        """Read the rows in order."""
        return chain.from_iterable(self._parts)


def items_at(read: Callable[[int], Item], index: int | slice, length: int) -> Item | list[Item]:
    """Return the item at an index of a sequence, or the items of a slice. `read` returns the item at a position from 0.

    Raises IndexError.
    """
    positions = range(length)[index]
    return [read(i) for i in positions] if isinstance(positions, range) else read(positions)


def select_rows(rows: Rows, positions: Sequence[int] | np.ndarray) -> Rows:
    """Return the rows at some positions, without reading rows that are stored."""
    return rows.select(positions) if isinstance(rows, StoredRows) else [rows[i] for i in positions]


def change_rows(rows: Rows, changes: Mapping[int, Row | None]) -> Rows:
    """Return the rows with other rows at some positions, and without the rows at the positions of None."""
    if isinstance(rows, StoredRows):
        return rows.change(changes)
    return [row for index, old in enumerate(rows) if (row := changes.get(index, old)) is not None]
