"""A kind of fault with the rows that have it, and the rows of all splits in the form that the checks read."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, count

import numpy as np

from ft_toolkit.core.audit_records import AuditResults, FaultCount
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.seen_rows import input_hashes
from ft_toolkit.data.splits import LoadedData
from ft_toolkit.tasks.base import Row, Task, TaskSettings, answer_columns, input_texts


@dataclass(frozen=True)
class Case:
    """One occurrence of a fault: the numbers of its rows in `AuditedRows`, and a detail such as the characters found.

    `suggestion` is another label that is probably right.
    """

    rows: tuple[int, ...]
    detail: str = ""
    suggestion: str | None = None


@dataclass(frozen=True)
class Fault:
    """A kind of fault: a name for files, a title, the action to take, and the cases."""

    name: str
    title: str
    action: str
    cases: Sequence[Case]

    @cached_property
    def rows(self) -> list[int]:
        """The numbers of all rows of the cases, each once, ascending."""
        return sorted({row for case in self.cases for row in case.rows})


class AuditedRows:
    """The rows of all splits, numbered from 0: training rows first, then validation and test rows. Texts are not copied.

    `checked` are the numbers of the rows whose texts are searched: all, or rows at equal distances, with about `limit`
    characters.
    """

    def __init__(self, data: LoadedData, task: Task, settings: TaskSettings, limit: int | None = None) -> None:
        """Number the rows of the splits."""
        self._task, self._settings, self._data = task, settings, data
        self._starts = dict(zip(data.splits, accumulate(map(len, data.splits.values()), initial=0), strict=False))
        self._n = sum(map(len, data.splits.values()))
        self.splits: list[SplitName] = [split for split, rows in data.splits.items() for _ in rows]
        self.checked = range(0, self._n, 1 if limit is None else max(-(-self._count_characters() // limit), 1))

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._n

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of the rows."""
        return iter(range(self._n))

    def each_row(self, numbers: range | None = None) -> Iterator[tuple[int, Row]]:
        """Yield the number of each row, or of each of `numbers`, and the row. Stored rows are read many at a time."""
        step = 1 if numbers is None else numbers.step
        for split, rows in self._data.splits.items():
            first = -self._starts[split] % step
            yield from zip(
                count(self._starts[split] + first, step), rows[first::step] if step > 1 else rows, strict=False
            )

    def each_text(self, numbers: range | None = None) -> Iterator[tuple[int, str]]:
        """Yield the number of each row, or of each of `numbers`, and its joined input texts."""
        return ((number, _joined(input_texts(row, self._task))) for number, row in self.each_row(numbers))

    def searched_texts(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the joined input texts of each row in `checked`."""
        return self.each_text(self.checked)

    def row(self, row: int) -> Row:
        """Return a row."""
        split = self.splits[row]
        return self._data.splits[split][row - self._starts[split]]

    def inputs(self, row: int) -> list[str]:
        """Return the input texts of a row."""
        return input_texts(self.row(row), self._task)

    def text(self, row: int) -> str:
        """Return the input texts of a row, joined by line breaks."""
        return _joined(self.inputs(row))

    def answer(self, row: int) -> str:
        """Return the answers of a row as one text, to compare two rows and to show them."""
        values = self.row(row)
        return ", ".join(_shown(values[name]) for name in answer_columns(self._task) if values.get(name) is not None)

    def row_id(self, row: int) -> str:
        """Return the id of a row: its own id if all ids of its split differ, else its number in the file, from 1."""
        return str(self.row(row).get("id", row))

    def source_split(self, row: int) -> SplitName:
        """Return the split of the file that has a row: train for rows that are held out of the training rows."""
        return "train" if self.splits[row] in self._data.held_out else self.splits[row]

    def _count_characters(self) -> int:
        """Return the number of characters of all texts, estimated from about 1,000 rows."""
        sample = range(0, self._n, max(self._n // 1000, 1))
        return self._n * sum(len(self.text(row)) for row in sample) // max(len(sample), 1)

    @cached_property
    def keys(self) -> np.ndarray:
        """A 64-bit hash of the inputs of each row, without regard to case, white space and Unicode form."""
        return input_hashes((row for _, row in self.each_row()), self._task, len(self))

    def keys_of(self, split: SplitName) -> np.ndarray:
        """Return the hashes of the rows of a split."""
        start = self._starts[split]
        return self.keys[start : start + len(self._data.splits[split])]

    @cached_property
    def has_one_label(self) -> bool:
        """Whether each row has one label, which a reviewer can change."""
        return self._task.stratify_by(self._settings) is not None

    def each_label(self) -> Iterator[tuple[int, str]]:
        """Yield the number of each row with each of its labels."""
        for number, row in self.each_row():
            for label in dict.fromkeys(self._task.labels_of(row, self._settings)):
                yield number, label

    def each_cut_answer(self) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield the number of each row that has answers which begin or end inside a word, and these answers."""
        for number, row in self.each_row():
            if cut := self._task.cut_answers(row):
                yield number, cut

    def labels(self, row: int) -> Sequence[str]:
        """Return the label names of a row; empty for a task without labels."""
        return self._task.labels_of(self.row(row), self._settings)

    @cached_property
    def has_labels(self) -> bool:
        """Whether rows have labels, so that equal inputs must have equal answers."""
        return any(self._task.labels_of(row, self._settings) for _, row in self.each_row())

    def groups(self) -> list[np.ndarray]:
        """Return the rows with equal keys, as arrays of two or more ascending numbers."""
        order = np.argsort(self.keys, kind="stable")
        starts = np.flatnonzero(np.diff(self.keys[order], prepend=~self.keys[order[:1]]))
        ends = np.append(starts[1:], len(order))
        repeated = np.flatnonzero(ends - starts > 1)
        return [order[starts[i] : ends[i]] for i in repeated]

    def n_repeated(self, split: SplitName) -> int:
        """Return the number of rows of a split whose inputs are equal to the inputs of an earlier row."""
        keys = self.keys_of(split)
        return len(keys) - len(np.unique(keys))

    def n_rows(self, faults: Sequence[Fault], name: str, split: SplitName) -> int:
        """Return the number of rows of a split with the kind of fault `name`."""
        return sum(self.splits[row] == split for fault in faults if fault.name == name for row in fault.rows)

    def across_splits(self, rows: Sequence[int]) -> bool:
        """Return whether rows are in different splits."""
        return len({self.splits[row] for row in rows}) > 1


def fault_counts(faults: Sequence[Fault], rows: AuditedRows) -> list[FaultCount]:
    """Return the number of cases of each kind of fault, and of their rows by split."""
    return [
        FaultCount(
            name=fault.name,
            title=fault.title,
            action=fault.action,
            cases=len(fault.cases),
            rows=dict(Counter(rows.splits[row] for row in fault.rows)),
        )
        for fault in faults
    ]


@dataclass(frozen=True)
class DataAudit:
    """The faults of the rows of a data set, and their summary."""

    rows: AuditedRows
    faults: Sequence[Fault]
    results: AuditResults


def _joined(texts: Sequence[str]) -> str:
    return "\n".join(texts)


def _shown(value: object) -> str:
    """Return an answer as text: a span as "12-19-person", the items of a list with spaces between them."""
    if isinstance(value, Mapping):
        return "-".join(map(_shown, value.values()))
    return " ".join(map(_shown, value)) if isinstance(value, (list, tuple)) else str(value)
