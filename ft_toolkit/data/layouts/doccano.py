"""doccano's exports: `label: [[start, end, type]]`, or `entities: [{start_offset, end_offset, label}]`, or a list of labels."""

from typing import Any

from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.layouts.base import Layout, Table, plain_labels, read_spans, records_of, span_columns

_COLUMNS = ("label", "labels", "entities")
_TEXTS = ("text", "data")


def matches(value: Any) -> bool:
    """Return whether every record has a text, and a column of spans or the columns of a doccano export."""
    records = records_of(value)
    if not records or not all(any(isinstance(record.get(name), str) for name in _TEXTS) for record in records):
        return False
    if any(column in _COLUMNS for column in span_columns(records)):
        return not all(_is_plain(record.get("entities")) for record in records)
    comments = ("Comments" if "Comments" in records[0] else "comments") in records[0]
    return comments and all(isinstance(record.get("label"), list) for record in records)


def _is_plain(value: Any) -> bool:
    """Return whether the value needs no conversion: a list of {start, end, label}."""
    return isinstance(value, list) and all(isinstance(s, dict) and {"start", "end", "label"} <= s.keys() for s in value)


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return the rows with spans as {start, end, label}, or with one label where no record has two."""
    rows: RawRows = [dict(record) for record in records_of(value)]
    aliases = {"text": "data"} if "text" not in rows[0] else {}
    column = next((column for column in span_columns(rows) if column in _COLUMNS), None)
    if column is None:
        plain_labels(rows, "label")
        return Table(rows, aliases)
    for row in rows:
        row[column] = None if row.get(column) is None else read_spans(row[column])
    return Table(rows, {**aliases, "entities": column} if column != "entities" else aliases)


LAYOUT = Layout(name="doccano", matches=matches, read=read, title="an export of doccano", order=30)
