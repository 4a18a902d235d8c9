"""Predictions as lines of jsonl and csv files."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from ft_toolkit.core.spreadsheets import no_formula
from ft_toolkit.data.json_values import json_value
from ft_toolkit.tasks.base import Row, Task


def jsonl_lines(rows: Sequence[Row | str], records: Sequence[dict[str, Any]]) -> str:
    """Return a line per prediction, with the id of its row, if there is one."""
    lines = []
    for row, record in zip(rows, records, strict=True):
        row_id = {} if isinstance(row, str) or "id" not in row else {"id": plain_value(row["id"])}
        lines.append(json.dumps({**row_id, **record}, ensure_ascii=False) + "\n")
    return "".join(lines)


class CsvTable:
    """A csv table: the columns of the rows, then predicted_* columns without the keys in `Task.not_in_csv`.

    Lists are joined by '|'. A text that a spreadsheet would take for a formula gets a "'" before it. `names` are the columns,
    which the first rows define; a table that continues a file gets them from it.
    """

    def __init__(self, task: Task, names: Sequence[str] = ()) -> None:
        self._task, self.names = task, list(names)

    def lines(self, rows: Sequence[Row | str], records: Sequence[dict[str, Any]]) -> str:
        """Return the lines of some rows, after a header if they are the first ones."""
        task, text = self._task, io.StringIO()
        writer = csv.writer(text)
        for row, record in zip(rows, records, strict=True):
            inputs: Row = {task.text_column or "": row} if isinstance(row, str) else row
            predicted = {name: value for name, value in record.items() if name not in ("id", *task.not_in_csv)}
            values = {**inputs, **{f"predicted_{name}": value for name, value in predicted.items()}}
            if not self.names:
                self.names = list(values)
                writer.writerow(map(no_formula, self.names))
            writer.writerow([no_formula(csv_cell(values.get(name, ""))) for name in self.names])
        return text.getvalue()


def csv_cell(value: Any) -> Any:
    """Return the text of a cell: a list of plain values joined by '|', nested values and values with '|' as JSON."""
    value = plain_value(value)
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) or "|" in str(item) for item in value):
        return "|".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def plain_value(value: Any) -> Any:
    """Return a value of a row that JSON can hold: a date as text."""
    return value if isinstance(value, float) else json_value(value, "input", is_kept=True)
