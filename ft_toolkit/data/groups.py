"""The groups of rows that belong together, such as the questions about one article (`data.group`).

Rows of a group are not independent: a hold-out keeps a group on one side, and intervals resample groups.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_toolkit.core.errors import DataError, did_you_mean, one_of
from ft_toolkit.data.columns import columns_of
from ft_toolkit.tasks.base import Row, Rows, Task

# If more than this share of the rows have the same value as another row, the rows are not independent.
SHARED_SHARE = 0.1
_GROUP_NAME = re.compile(
    "(title|article|doc|document|paragraph|passage|thread|conversation|dialog|dialogue|session|speaker|author|user|customer|"
    "patient)([_ -]?(id|no|nr|number|name))?"
)


@dataclass(frozen=True)
class Groups:
    """The group of each row: the value of `column`, by the id of the row. A row without a value is a group of its own."""

    column: str
    by_id: Mapping[str, str]

    def of(self, rows: Rows) -> list[str]:
        """Return the group of each row."""
        return [self.by_id[row["id"]] for row in rows]

    def numbers(self, rows: Rows) -> np.ndarray:
        """Return the number of the group of each row, from 0 in the order of appearance, shape (n,)."""
        number: dict[str, int] = {}
        return np.array([number.setdefault(group, len(number)) for group in self.of(rows)], np.int64)

    def count(self, rows: Rows) -> int:
        """Return the number of groups of some rows."""
        return len(set(self.of(rows)))


@dataclass(frozen=True)
class GroupColumn:
    """The column that names the group of a row: of the file or of the task. None uses the task's default."""

    name: str | None = None
    is_required: bool = True


DEFAULT_GROUP = GroupColumn()


def find_groups(
    rows: Collection[dict[str, Any]],
    mapped: Collection[Row],
    task: Task,
    column: GroupColumn,
    origin: str,
    notes: list[str],
) -> Groups | None:
    """Return the groups of the rows of a file, None for independent rows; append a note on rows without a group.

    `mapped` are the same rows with the columns of the task. Without a name, the first of the task's `group_columns` with a
    value in every row and at least two values is used. Raises DataError if a required column does not exist.
    """
    present = columns_of(rows)
    for name in task.group_columns if column.name is None else (column.name,):
        if name in present:
            values = [row.get(name) for row in rows]
        elif name in task.columns and name in columns_of(mapped):
            values = [row.get(name) for row in mapped]
        elif name == "id":
            return None
        elif column.name is None:
            continue
        elif column.is_required:
            raise DataError(
                f"{origin}: no column '{name}' for the groups of rows; columns found: {one_of(present)}."
                f"{did_you_mean(name, present)}"
            )
        else:
            notes.append(f"{origin}: no column '{name}' (data.group), so all rows count as independent")
            return None
        n_missing = sum(_is_missing(value) for value in values)
        if column.name is None and (n_missing or len(set(map(str, values))) < 2):
            continue
        if n_missing:
            notes.append(f"{origin}: {n_missing} of {len(rows)} rows have no '{name}'; each is a group of its own")
        titles: dict[str, str] = {}  # each title is held once
        by_id = {}
        for row, value in zip(mapped, values, strict=True):
            title = f"row {row['id']}" if _is_missing(value) else f"value {value}"
            by_id[row["id"]] = titles.setdefault(title, title)
        if len(set(by_id.values())) < len(by_id):
            return Groups(name, by_id)
    likely = _likely_column(rows, present) if column.name is None else None
    if likely is not None:
        notes.append(
            f"{origin}: rows share the values of '{likely}', so they may not be independent: data.group={likely} keeps such "
            "rows together and accounts for them in the intervals"
        )
    return None


def _likely_column(rows: Collection[dict[str, Any]], present: Sequence[str]) -> str | None:
    """Return a column that is named like a group and has repeated values in more than SHARED_SHARE of the rows, or None."""
    for name in present:
        if _GROUP_NAME.fullmatch(name.lower()):
            counts = Counter(str(row.get(name)) for row in rows if not _is_missing(row.get(name)))
            if len(counts) > 1 and sum(n for n in counts.values() if n > 1) > SHARED_SHARE * len(rows):
                return name
    return None


def _is_missing(value: Any) -> bool:
    return value is None or value != value or value == ""
