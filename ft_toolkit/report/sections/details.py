"""The tables that a task adds to the scores of a split."""

from collections.abc import Mapping
from typing import Any

from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section, per_split
from ft_toolkit.report.tables import Cell, Table, is_numeric, value_text
from ft_toolkit.report.wording import plain_name

# A larger table is cut; results.json holds all of it.
_MAX_ROWS, _MAX_COLUMNS = 50, 10
_TITLES = {"f1": "F1", "support": "examples"}


def _build(run: RunFiles, split: str) -> list[Table]:
    """Return a table for each dict or list of dicts, after one table of all single values."""
    scores = run.results.scores[split]
    titles, n = {**_TITLES, **run.task.titles}, scores.n
    single_values: list[dict[str, Any]] = []
    tables = []
    for key, value in scores.task_tables.items():
        if value in (None, [], {}):
            continue
        rows = _rows(value)
        if rows is None:
            single_values.append({"": titles.get(key, plain_name(key)), "value": value})
        else:
            tables.append(_table(titles.get(key, plain_name(key)), rows, titles, n))
    return [*([_table("", single_values, titles, n)] if single_values else []), *tables]


def _rows(value: Any) -> list[dict[str, Any]] | None:
    """Return the rows of a table, None for a single value."""
    if isinstance(value, Mapping):
        if all(isinstance(row, Mapping) for row in value.values()):
            return [{"": name, **row} for name, row in value.items()]
        return [{"": plain_name(name), "value": cell} for name, cell in value.items()]
    if isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        return [dict(row) for row in value]
    return None


def _table(title: str, rows: list[dict[str, Any]], titles: Mapping[str, str], n: int) -> Table:
    all_names = list(dict.fromkeys(name for row in rows for name in row))
    names = all_names[:_MAX_COLUMNS]
    numeric = {name: is_numeric(rows, name) for name in names}
    cells = [[Cell(value_text(row.get(name), n), numeric[name]) for name in names] for row in rows[:_MAX_ROWS]]
    cuts = []
    if len(rows) > _MAX_ROWS:
        cuts.append(f"the first {_MAX_ROWS} of {len(rows):,} rows")
    if len(all_names) > _MAX_COLUMNS:
        cuts.append(f"{_MAX_COLUMNS} of {len(all_names):,} columns")
    note = f"Shown: {', '.join(cuts)}; results.json has all." if cuts else ""
    columns = [Cell(titles.get(name, plain_name(name)), numeric[name]) for name in names]
    return Table(f"{title[:1].upper()}{title[1:]}", columns, cells, note)


SECTION = Section(order=50, title="Details", build=per_split(_build))
