"""Predictions as lines of jsonl and csv files."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from ft_toolkit.core.spreadsheets import no_formula
from ft_toolkit.data.json_values import json_value
from ft_toolkit.tasks.base import Row, Task


def jsonl_lines(rows: Sequence[Row | str], records: Sequence[dict[str, Any]], text_column: str | None = None) -> str:
    """Return a line per prediction, with the id of its row, if there is one.

    With `text_column`, a line has all columns of the row, then the prediction in predicted_* columns; the column is the name of
    a row that is a text.
    """
    lines = []
    for row, record in zip(rows, records, strict=True):
        if text_column is not None:
            inputs = {name: plain_value(value) for name, value in _columns(row, text_column).items()}
            lines.append(json.dumps({**inputs, **_predicted(record)}, ensure_ascii=False) + "\n")
            continue
        row_id = {} if isinstance(row, str) or "id" not in row else {"id": plain_value(row["id"])}
        lines.append(json.dumps({**row_id, **record}, ensure_ascii=False) + "\n")
    return "".join(lines)


class CsvTable:
    """A csv table: the columns of the rows, then predicted_* columns without the keys in `Task.not_in_csv`.

    Lists are joined by '|'. A text that a spreadsheet would take for a formula gets a "'" before it. `names` are the columns,
    which the first rows define; a table that continues a file gets them from it. `with_all_keys` also writes the keys in
    `Task.not_in_csv`, as JSON.
    """

    def __init__(self, task: Task, names: Sequence[str] = (), *, with_all_keys: bool = False) -> None:
        self._task, self.names = task, list(names)
        self._left_out = () if with_all_keys else task.not_in_csv

    def lines(self, rows: Sequence[Row | str], records: Sequence[dict[str, Any]]) -> str:
        """Return the lines of some rows, after a header if they are the first ones."""
        text = io.StringIO()
        writer = csv.writer(text)
        for row, record in zip(rows, records, strict=True):
            predicted = {name: value for name, value in record.items() if name not in self._left_out}
            values = {**_columns(row, self._task.text_column or ""), **_predicted(predicted)}
            if not self.names:
                self.names = list(values)
                writer.writerow(map(no_formula, self.names))
            writer.writerow([no_formula(csv_cell(values.get(name, ""))) for name in self.names])
        return text.getvalue()


def _columns(row: Row | str, text_column: str) -> Row:
    """Return the columns of a row; a text has one."""
    return {text_column: row} if isinstance(row, str) else row


def _predicted(record: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a prediction."""
    return {f"predicted_{name}": value for name, value in record.items() if name != "id"}


def csv_cell(value: Any) -> Any:
    """Return the text of a cell: a list of plain values joined by '|', nested values and values with '|' as JSON."""
    value = plain_value(value)
    if isinstance(value, list) and not any(isinstance(item, (dict, list)) or "|" in str(item) for item in value):
        return "|".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def plain_value(value: Any) -> Any:
    """Return a value of a row that JSON can hold: a date as text."""
    return value if isinstance(value, float) else json_value(value, "input", is_kept=True)
