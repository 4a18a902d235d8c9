"""Convert the rows of any data file or folder to JSON lines in the form of this toolkit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ft_toolkit.core.counted_notes import shown
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import write_file
from ft_toolkit.data.columns import TrainedColumns, column_names, columns_of, map_columns, match_columns
from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.in_memory import plain_rows
from ft_toolkit.data.label_names import name_labels
from ft_toolkit.data.local_files import FileRows, read_table
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.tasks.base import Task, is_labelled, without_answers


@dataclass(frozen=True)
class Converted:
    """The rows that were written, and notes on how the file was read and what was changed."""

    rows: RawRows
    table: FileRows
    notes: list[str]


def convert(
    source: Path, target: Path, *, task: Task | None, columns: Mapping[str, str], reading: Reading | None = None
) -> Converted:
    """Read a file or folder, write its rows to `target` (.jsonl), and return them.

    With a task, the rows get the task's columns (`columns` maps them to columns of the file) and are checked as in training;
    further columns are kept. Without one, the columns keep their names. Raises UsageError.
    """
    if target.suffix != ".jsonl":
        raise UsageError(f"{target}: the output must be a .jsonl file")
    if target.exists():
        raise UsageError(f"{target} already exists; choose another name")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: folder {target.parent} not found; create it, or choose another folder")
    if task is None and columns:
        raise UsageError("--column requires --task, because it names columns of a task")
    table = read_table(source, reading)
    notes = list(table.notes)
    rows = _without_aliased(table) if task is None else _task_rows(table, task, columns, reading, str(source), notes)
    rows = plain_rows(rows, str(source))
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    write_file(target, text)
    return Converted(rows, table, notes)


def _without_aliased(table: FileRows) -> RawRows:
    """Return the rows without the columns that were copied to a column of a task."""
    aliased = {column for name, column in table.aliases.items() if name != column}
    return [{name: value for name, value in row.items() if name not in aliased} for row in table.rows]


def _task_rows(
    table: FileRows, task: Task, columns: Mapping[str, str], reading: Reading | None, where: str, notes: list[str]
) -> RawRows:
    """Return the rows with the task's columns in the form that training reads, then the other columns of the file."""
    settings = task.settings(name=task.name)
    names = column_names(task, settings, columns, TrainedColumns())
    mapped = name_labels(map_columns(table.rows, where, task, names), reading, task, where)
    mapped = list(task.mark_missing(mapped, settings))
    labelled = [is_labelled(row, task) for row in mapped]
    read, remarks = task.read_rows([row for row, has in zip(mapped, labelled, strict=True) if has], settings, where)
    notes += shown(remarks)
    if not all(labelled):
        notes.append(f"{labelled.count(False)} of {len(mapped)} rows have no label")
    remaining = iter(read)
    present = columns_of(table.rows)
    used = {*match_columns(present, names, list(task.columns), task).values(), *table.aliases.values()}
    others = [name for name in present if name not in used and name not in (*task.columns, "id")]
    rows: RawRows = []
    for row, original, has in zip(mapped, table.rows, labelled, strict=True):
        values = dict(next(remaining)) if has else without_answers(row, task)
        row_id = {} if "id" not in original else {"id": values["id"]}
        rest = {name: original[name] for name in others if name in original}
        rows.append({**row_id, **{name: value for name, value in values.items() if name != "id"}, **rest})
    return rows
