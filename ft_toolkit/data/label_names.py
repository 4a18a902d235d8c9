"""Names for labels that are integers in the files (`data.reading.label_names`)."""

from collections.abc import Sequence
from typing import Any

from ft_toolkit.core.errors import DataError
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.tasks.base import Row, Task


def name_labels(rows: list[Row], reading: Reading | None, task: Task, where: str) -> list[Row]:
    """Return the rows with names instead of integers in the answer columns; unchanged without `label_names`.

    Integers may be written as text, and in lists. -1 marks a row without a label, as on the Hub. Lists with a 0 or 1 per label
    are kept, because the task reads them. Raises DataError, with `where` and the row, for an integer without a name.
    """
    if reading is None or reading.label_names is None:
        return rows
    n_names = len(reading.label_names)
    answers = [
        name
        for name, column in task.columns.items()
        if column.is_answer and not (column.several and _are_zeros_and_ones([row.get(name) for row in rows], n_names))
    ]
    named: list[Row] = []
    for number, row in enumerate(rows, 1):
        values = {
            column: _name(row[column], reading.label_names, f"{where}: row {number}: column '{column}'")
            for column in answers
            if column in row
        }
        named.append({**row, **values})
    return named


def _are_zeros_and_ones(values: Sequence[Any], n_names: int) -> bool:
    """Return whether values are lists with a 0 or 1 per name, not lists of the names 0 and 1: some list repeats a number."""
    lists = [value for value in values if isinstance(value, (list, tuple))]
    fits = all(len(value) == n_names and all(item in (0, 1) for item in value) for value in lists)
    return fits and any(len(set(value)) < n_names for value in lists)


def _name(value: Any, names: Sequence[str], where: str) -> Any:
    if isinstance(value, (list, tuple)):
        return [_name(item, names, where) for item in value]
    if isinstance(value, str) and value.strip() and all(part.isdigit() for part in value.split()):
        parts = [_name(int(part), names, where) for part in value.split()]
        return parts if len(parts) > 1 else parts[0]
    if value in (-1, "-1"):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return value
    if value != int(value) or not 0 <= value < len(names):
        raise DataError(
            f"{where}: {value} has no name; data.reading.label_names has {len(names)} names, for 0 to {len(names) - 1}. "
            "Add the name, or correct the row"
        )
    return names[int(value)]
