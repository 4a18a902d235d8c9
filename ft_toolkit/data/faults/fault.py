"""A kind of fault with the rows that have it, and the rows of all splits in the form that the checks read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ft_toolkit.core.audit_records import AuditResults
from ft_toolkit.data.cards import SplitName
from ft_toolkit.data.seen_rows import input_hash
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
    """The rows of all splits, numbered from 0: training rows first, then validation and test rows."""

    def __init__(self, data: LoadedData, task: Task, settings: TaskSettings) -> None:
        """Number the rows of the splits."""
        self._task, self._settings = task, settings
        self.rows: list[Row] = [row for rows in data.splits.values() for row in rows]
        self.splits: list[SplitName] = [split for split, rows in data.splits.items() for _ in rows]
        # The split of the file that has the row: train for rows that are held out of the training rows.
        self.source_splits: list[SplitName] = ["train" if split in data.held_out else split for split in self.splits]
        # The input texts of each row, and the same joined by a line break.
        self.inputs: list[list[str]] = [input_texts(row, task) for row in self.rows]
        self.texts: list[str] = ["\n".join(texts) for texts in self.inputs]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of the rows."""
        return iter(range(len(self.rows)))

    @cached_property
    def keys(self) -> np.ndarray:
        """A 64-bit hash of the inputs of each row, without regard to case, white space and Unicode form."""
        return np.array([input_hash(row, self._task) for row in self.rows], np.uint64)

    @cached_property
    def answers(self) -> list[str]:
        """The answers of each row as one text, to compare two rows and to show them."""
        names = answer_columns(self._task)
        return [", ".join(_shown(row[name]) for name in names if row.get(name) is not None) for row in self.rows]

    def row_id(self, row: int) -> str:
        """Return the id of a row: its own id if all ids of its split differ, else its number in the file, from 1."""
        return str(self.rows[row].get("id", row))

    @cached_property
    def has_one_label(self) -> bool:
        """Whether each row has one label, which a reviewer can change."""
        return self._task.stratify_by(self._settings) is not None

    def labels(self, row: int) -> Sequence[str]:
        """Return the label names of a row; empty for a task without labels."""
        return self._task.labels_of(self.rows[row], self._settings)

    @cached_property
    def has_labels(self) -> bool:
        """Whether rows have labels, so that equal inputs must have equal answers."""
        return any(map(self.labels, self))

    def groups(self) -> list[np.ndarray]:
        """Return the rows with equal keys, as arrays of two or more ascending numbers."""
        order = np.argsort(self.keys, kind="stable")
        starts = np.flatnonzero(np.diff(self.keys[order])) + 1
        return [group for group in np.split(order, starts) if len(group) > 1]

    def across_splits(self, rows: Sequence[int]) -> bool:
        """Return whether rows are in different splits."""
        return len({self.splits[row] for row in rows}) > 1


@dataclass(frozen=True)
class DataAudit:
    """The faults of the rows of a data set, and their summary."""

    rows: AuditedRows
    faults: Sequence[Fault]
    results: AuditResults


def _shown(value: object) -> str:
    """Return an answer as text: a span as "12-19-person", the items of a list with spaces between them."""
    if isinstance(value, Mapping):
        return "-".join(map(_shown, value.values()))
    return " ".join(map(_shown, value)) if isinstance(value, (list, tuple)) else str(value)
