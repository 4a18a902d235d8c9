"""Rows in an Arrow file: a sequence that reads each row from the memory-mapped file when it is needed.

    StoredRows(path)[7]  ->  {"id": "8", "text": "...", "label": "praise"}

A column of texts is an Arrow column of strings. Other columns hold each value in the form of Python's `marshal`, which gives
back numbers, lists, tuples and dicts exactly as they were.
"""

import marshal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from ft_toolkit.tasks.base import Row, Rows

# Rows that are read or written together.
PART = 4096
_KINDS = b"kinds"
_TEXT, _PLAIN = "text", "plain"


def store_rows(rows: Rows, path: Path) -> None:
    """Write rows to an Arrow file. Raises ValueError for rows with different columns, and for values such as dates."""
    import pyarrow

    names = list(rows[0])
    if any(list(row) != names for row in rows):
        raise ValueError("the rows have different columns")
    kinds = {name: _TEXT if all(type(row[name]) is str for row in rows) else _PLAIN for name in names}
    types = {_TEXT: pyarrow.large_string(), _PLAIN: pyarrow.large_binary()}
    fields = [pyarrow.field(name, types[kinds[name]], metadata={_KINDS: kinds[name].encode()}) for name in names]
    schema = pyarrow.schema(fields)
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, schema) as writer:
        for start in range(0, len(rows), PART):
            part = rows[start : start + PART]
            columns = [[row[name] if kinds[name] == _TEXT else dump(row[name]) for row in part] for name in names]
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))


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
        self._is_text = [field.metadata[_KINDS].decode() == _TEXT for field in columns]
        self._positions = np.arange(sum(len(batch) for batch in self._batches), dtype=np.int64)
        self.fingerprint = fingerprint

    def select(self, positions: Sequence[int] | np.ndarray) -> "StoredRows":
        """Return the rows at some positions, in this order."""
        selected = object.__new__(StoredRows)
        selected._batches, selected._names, selected._is_text = self._batches, self._names, self._is_text
        selected._positions = self._positions[np.asarray(positions, np.int64)]
        selected.fingerprint = None
        return selected

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
        return next(self._read(position // PART, np.array([position % PART])))

    def __iter__(self) -> Iterator[Row]:
        """Read the rows in order, some thousand at a time."""
        for start in range(0, len(self), PART):
            positions = self._positions[start : start + PART]
            batches = positions // PART
            for part in np.split(positions, np.flatnonzero(np.diff(batches)) + 1):
                yield from self._read(int(part[0]) // PART, part % PART)

    def _read(self, number: int, offsets: np.ndarray) -> Iterator[dict[str, Any]]:
        """Return the rows at some offsets of a batch."""
        batch = self._batches[number]
        if len(offsets) == 1:
            batch = batch.slice(int(offsets[0]), 1)
        elif len(offsets) < len(batch) or offsets[0] != 0:
            batch = batch.take(offsets)
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield {
                name: value if is_text else marshal.loads(value)
                for name, is_text, value in zip(self._names, self._is_text, values, strict=True)
            }


def select_rows(rows: Rows, positions: Sequence[int] | np.ndarray) -> Rows:
    """Return the rows at some positions, without reading rows that are stored."""
    return rows.select(positions) if isinstance(rows, StoredRows) else [rows[i] for i in positions]
