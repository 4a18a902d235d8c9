"""Convert what a user passes to a loaded model into rows with the task's columns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError, one_of
from ft_toolkit.data.bad_rows import NumberedRows, read_good_rows
from ft_toolkit.data.columns import FileColumns, TrainedColumns, column_names, columns_of, match_columns
from ft_toolkit.data.in_memory import is_dataset, is_frame, is_series, plain_value, rows_of, type_name
from ft_toolkit.tasks.base import Row, Rows, Task, TaskSettings

ALLOWED = "a str, a dict, a list of them, a pandas DataFrame or a datasets.Dataset"


@dataclass(frozen=True)
class InputColumns:
    """How a model finds its input columns.

    `explicit` maps columns of the task to columns of the rows, as the user gave them; `trained` are the names of the model's
    training run. `first_row` is the number of the first row in messages.
    """

    task: Task
    settings: TaskSettings
    trained: TrainedColumns
    explicit: Mapping[str, FileColumns] = field(default_factory=dict)
    first_row: int = 1


@dataclass(frozen=True)
class Inputs:
    """Rows to predict, with the task's columns.

    `notes` say which column was used where several fit, `remarks` how cells with several values were read and which texts the
    prefix or prompt changes.
    """

    rows: Rows
    notes: list[str]
    remarks: list[str] = field(default_factory=list)


def is_single(data: Any) -> bool:
    """Return whether `data` is one row: a text or a dict."""
    return isinstance(data, (str, Mapping))


def read_inputs(data: Any, columns: InputColumns) -> Inputs:
    """Return the rows of a str, a dict, a list of them, a DataFrame, a Series of texts, a Dataset or an iterator.

    A str is the text of one row. Answers and extra columns are ignored. Raises UsageError for other objects, for a missing
    column, and for a missing value.
    """
    items = _items(data)
    task = columns.task
    for number, item in enumerate(items, columns.first_row):
        if not is_single(item):
            raise UsageError(f"row {number} is {type_name(item)}; each row must be a str or a dict")
        if isinstance(item, str) and task.text_column is None:
            names = [name for name, column in task.columns.items() if not column.is_answer]
            raise UsageError(
                f"a text alone is not enough for {task.name}; pass dicts with the columns {one_of(names)} "
                "(on the command line: --input FILE)"
            )
    records = [item for item in items if not isinstance(item, str)]
    matched, notes = _match(records, columns) if records else ({}, [])
    if len(records) < len(items) and task.text_column is not None:
        matched.setdefault(task.text_column, task.text_column)
    rows = [_row(item, matched, task) for item in items]
    first = columns.first_row
    checked = _checked(rows, matched, task, first)
    numbered = NumberedRows(checked, range(first, first + len(checked)), "input", "test")
    read = read_good_rows(numbered, lambda rows, where: task.read_rows(rows, None, where))
    return Inputs(read.rows, notes, read.notes)


def _row(item: Any, matched: Mapping[str, str], task: Task) -> dict[str, Any]:
    """Return the row of a text or a dict, with the task's columns."""
    if isinstance(item, str):
        return {str(task.text_column): item}
    return {column: item.get(name) for column, name in matched.items()}


def _items(data: Any) -> list[Any]:
    if is_single(data):
        return [data]
    if is_frame(data) or is_dataset(data):
        return list(rows_of(data, "input"))
    if isinstance(data, np.ndarray) and data.ndim != 1:
        raise UsageError(f"an array must have one dimension, with one text per row; found {data.ndim} dimensions")
    if isinstance(data, (list, tuple, np.ndarray, Iterator)) or is_series(data):
        return [str(item) if isinstance(item, np.str_) else item for item in data]
    raise UsageError(f"cannot predict for {type_name(data)}; allowed: {ALLOWED}")


def _match(records: Sequence[Row], columns: InputColumns) -> tuple[dict[str, str], list[str]]:
    """Return task column -> column of the rows for the inputs of the task, and a note for each choice between columns."""
    task, present = columns.task, columns_of(records)
    names = column_names(task, columns.settings, columns.explicit, columns.trained)
    inputs = [name for name, column in task.columns.items() if not column.is_answer]
    matched = match_columns(present, names, inputs, task)
    notes = []
    for column, used in matched.items():
        ignored = [name for name in names.of(column) if name in present and name not in matched.values()]
        if ignored:
            notes.append(
                f"input column '{used}' is used as '{column}', as in the training run; '{one_of(ignored)}' is ignored"
            )
    return matched, notes


def _checked(rows: list[dict[str, Any]], matched: Mapping[str, str], task: Task, first: int) -> Rows:
    """Return rows with plain values. Raises UsageError for a value that is missing or of an unknown type."""
    checked = []
    for number, row in enumerate(rows, first):
        values = {
            column: plain_value(row.get(column), f"input: row {number}: column '{name}'")
            for column, name in matched.items()
        }
        for column, value in values.items():
            if value is None and not task.columns[column].may_be_empty:
                facts = task.columns[column]
                rule = (
                    "every row needs it" if facts.required else "a column that some rows have is required in all rows"
                )
                raise UsageError(
                    f"row {number}: column '{matched[column]}' is missing or empty ({facts.meaning}); {rule}"
                )
        checked.append(values)
    return checked
