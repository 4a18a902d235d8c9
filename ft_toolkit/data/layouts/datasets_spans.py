"""Spans in an object of lists, {"start": [...], "end": [...], "label": [...]}, as datasets writes a list of objects."""

from typing import Any

from ft_toolkit.data.layouts.base import Layout, Table, read_spans, records_of, span_columns


def matches(value: Any) -> bool:
    """Return whether a column holds such an object in every row."""
    return bool(_columns(value))


def _columns(value: Any) -> list[str]:
    records = records_of(value)
    return [
        c for c in span_columns(records) if all(isinstance(record.get(c), (dict, type(None))) for record in records)
    ]


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return the rows with lists of {start, end, label} in these columns."""
    columns = _columns(value)
    rows = [{**record, **{c: read_spans(record.get(c)) for c in columns}} for record in records_of(value)]
    return Table(rows, {"entities": columns[0]} if len(columns) == 1 and columns[0] != "entities" else {})


LAYOUT = Layout(name="datasets_spans", matches=matches, read=read, title=None, order=25)
