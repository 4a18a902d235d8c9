"""JSON documents with a table that is not a list of objects, as pandas and datasets write them.

| form | written by |
|---|---|
| {"data": [{...}, ...]} | many programs; pandas `orient="table"` |
| {"text": ["x", "y"], "label": ["a", "b"]} | `Dataset.to_dict`, `DataFrame.to_dict("list")` |
| {"text": {"0": "x", "1": "y"}, "label": {...}} | pandas `to_json` by default |
| {"columns": ["text"], "index": [0], "data": [["x"]]} | pandas `orient="split"` |
| {"0": {"text": "x"}, "1": {...}} | pandas `orient="index"` |
| {"rows": [{"row_idx": 0, "row": {...}}]} | the rows of the Hub's data set viewer |
"""

from collections.abc import Mapping
from typing import Any

from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.layouts.base import Layout, Table


def matches(value: Any) -> bool:
    """Return whether the value is an object in one of the forms."""
    return _rows(value) is not None


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return the rows of the object."""
    return Table(_rows(value) or [])


def _rows(value: Any) -> RawRows | None:
    if not isinstance(value, dict) or not value:
        return None
    if isinstance(value.get("data"), list):
        return _data_rows(value)
    if isinstance(value.get("rows"), list) and all(isinstance(r, dict) and "row" in r for r in value["rows"]):
        return [row["row"] for row in value["rows"] if isinstance(row["row"], dict)] or None
    if all(isinstance(items, list) for items in value.values()):
        lists = list(value.values())
        is_table = len({len(items) for items in lists}) == 1 and not all(
            isinstance(item, Mapping) for items in lists for item in items
        )
        return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)] if is_table else None
    if all(isinstance(items, dict) for items in value.values()):
        return _nested_rows(value)
    return None


def _data_rows(value: dict[str, Any]) -> RawRows | None:
    """Return the rows under "data": objects, or lists of values for the names under "columns"."""
    data, columns = value["data"], value.get("columns")
    if all(isinstance(row, dict) for row in data):
        return list(data)
    if not isinstance(columns, list) or not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        return None
    return [dict(zip(map(str, columns), row, strict=True)) for row in data]


def _nested_rows(value: dict[str, dict[str, Any]]) -> RawRows | None:
    """Return the rows of {column: {row: value}} or of {row: {column: value}}; the row numbers distinguish the two."""
    inner = list(next(iter(value.values())))
    if not all(list(items) == inner for items in value.values()) or not inner:
        return None
    if all(key.isdigit() for key in value):
        return list(value.values())
    if all(key.isdigit() for key in inner):
        return [{column: items[key] for column, items in value.items()} for key in inner]
    return None


LAYOUT = Layout(name="column_lists", matches=matches, read=read, title=None, is_document=True, order=40)
