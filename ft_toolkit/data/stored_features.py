"""Features in Arrow files: sequences that read the tokens of a feature from the memory-mapped file when they are needed."""

import itertools
import marshal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from ft_toolkit.data.stored_rows import dump, in_parts, items_at
from ft_toolkit.tasks.base import Features, Rows

# Rows that are encoded together: their tokens, offsets and strings need about 5 KiB per row of 40 tokens.
PART = 4096
_INPUT, _TARGET, _NOTE, _ROW = "input.", "target", "note", "row"
_CUT, _ANSWERS = "tokens_cut", "answers_cut."


class TokenLists(Sequence[list[int]]):
    """One list of numbers per feature, in the parts of a memory-mapped Arrow column."""

    def __init__(self, parts: Sequence[Any]) -> None:
        """Read the values and offsets of each part without a copy."""
        self._values = [part.values.to_numpy(zero_copy_only=True) for part in parts]
        self._offsets = [part.offsets.to_numpy(zero_copy_only=True) for part in parts]
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    @property
    def lengths(self) -> list[int]:
        """The length of each list."""
        return np.concatenate([np.diff(offsets) for offsets in self._offsets]).tolist() if self._offsets else []

    def distinct(self) -> set[int]:
        """Return all different numbers."""
        return {number for values in self._values for number in np.unique(values).tolist()}

    def __len__(self) -> int:
        """Return the number of lists."""
        return int(self._starts[-1])

    @overload
    def __getitem__(self, index: int) -> list[int]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...

    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        """Return the list of a feature, or the lists of a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        start, stop = self._offsets[part][index - self._starts[part] :][:2]
        numbers: list[int] = self._values[part][start:stop].tolist()
        return numbers

    def __iter__(self) -> Iterator[list[int]]:
        """Read the lists in order."""
        for values, offsets in zip(self._values, self._offsets, strict=True):
            numbers = values.tolist()
            bounds = offsets.tolist()
            for start, stop in itertools.pairwise(bounds):
                yield numbers[start:stop]


class PlainValues(Sequence[Any]):
    """One value per feature in the form of `marshal`, in the parts of a memory-mapped Arrow column."""

    def __init__(self, parts: Sequence[Any]) -> None:
        """Keep the parts, which are not read yet."""
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        """Return the number of values."""
        return int(self._starts[-1])

    def __getitem__(self, index: int | slice) -> Any:
        """Return a value, or the values of a slice."""
        return items_at(self._value, index, len(self))

    def _value(self, index: int) -> Any:
        part = int(np.searchsorted(self._starts, index, side="right")) - 1
        return marshal.loads(self._parts[part][index - int(self._starts[part])].as_py())

    def __iter__(self) -> Iterator[Any]:
        """Read the values in order."""
        for part in self._parts:
            yield from map(marshal.loads, part.to_pylist())


def encode_in_parts(
    rows: Rows, encode: Callable[[Rows], Features], target: tuple[Path, Path], report: Callable[[int, int], None]
) -> None:
    """Encode some thousand rows at a time, and write the features to the first file and the facts per row to the second.

    `report` is called with the number of encoded rows and their total. Raises ValueError for features with values that cannot
    be stored, and DataError as `encode` does.
    """
    features_file, rows_file = (_Writer(path) for path in target)
    with features_file, rows_file:
        start = 0
        for part in in_parts(rows, PART):
            report(start, len(rows))
            _write(encode(part), start, features_file, rows_file)
            start += len(part)


def store_features(features: Features, target: tuple[Path, Path]) -> None:
    """Write features that were encoded together; see `encode_in_parts`."""
    features_file, rows_file = (_Writer(path) for path in target)
    with features_file, rows_file:
        _write(features, 0, features_file, rows_file)


def read_features(source: tuple[Path, Path]) -> Features:
    """Return the features of two files of `encode_in_parts`."""
    columns, facts = _read(source[0]), _read(source[1])
    targets: Sequence[Any] = PlainValues(columns[_TARGET])
    if len(targets) and isinstance(targets[0], (int, type(None))):
        targets = list(targets)  # small numbers, which need no memory of their own
    return Features(
        {name.removeprefix(_INPUT): TokenLists(parts) for name, parts in columns.items() if name.startswith(_INPUT)},
        targets,
        _numbers(columns[_ROW]),
        _numbers(facts[_CUT]),
        {name.removeprefix(_ANSWERS): _numbers(parts) for name, parts in facts.items() if name.startswith(_ANSWERS)},
        PlainValues(columns[_NOTE]) if _NOTE in columns else [],
    )


class _Writer:
    """Writes columns to an Arrow file, part by part. The first part defines the columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> "_Writer":
        return self

    def write(self, columns: dict[str, Any]) -> None:
        """Append arrays of equal length."""
        import pyarrow

        batch = pyarrow.record_batch(columns)
        if self._writer is None:
            self._writer = pyarrow.ipc.new_file(str(self._path), batch.schema)
        self._writer.write_batch(batch)

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _write(features: Features, first_row: int, features_file: _Writer, rows_file: _Writer) -> None:
    import pyarrow

    columns = {f"{_INPUT}{name}": _lists(lists) for name, lists in features.inputs.items()}
    columns[_TARGET] = _plain(features.targets)
    columns[_ROW] = pyarrow.array([row + first_row for row in features.example_ids], pyarrow.int64())
    if features.notes:
        columns[_NOTE] = _plain(features.notes)
    features_file.write(columns)
    facts = {_CUT: features.n_tokens_cut, **{f"{_ANSWERS}{name}": n for name, n in features.answers_cut.items()}}
    rows_file.write({name: pyarrow.array(numbers, pyarrow.int64()) for name, numbers in facts.items()})


def _lists(lists: Sequence[Sequence[int]]) -> Any:
    import pyarrow

    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    values = np.fromiter((number for numbers in lists for number in numbers), np.int32, int(offsets[-1]))
    return pyarrow.LargeListArray.from_arrays(offsets, values)


def _plain(values: Sequence[Any]) -> Any:
    import pyarrow

    return pyarrow.array([dump(value) for value in values], pyarrow.large_binary())


def _read(path: Path) -> dict[str, list[Any]]:
    """Return the parts of each column of a memory-mapped file."""
    import pyarrow

    with pyarrow.memory_map(str(path)) as source:
        reader = pyarrow.ipc.open_file(source)
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        columns = reader.schema
    return {name: [batch.column(name) for batch in batches] for name in columns.names}


def _numbers(parts: Sequence[Any]) -> list[int]:
    return [number for part in parts for number in part.to_numpy().tolist()]
