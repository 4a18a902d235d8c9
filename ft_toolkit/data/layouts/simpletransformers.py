"""The column names of simpletransformers: `labels`, `text_a` and `text_b`, `input_text` and `target_text`."""

from typing import Any

from ft_toolkit.data.layouts.base import Layout, Table, records_of

_NAMES = (
    {"text": "text_a", "text_pair": "text_b", "label": "labels"},
    {"label": "labels"},
    {"source": "input_text", "target": "target_text", "document": "input_text", "summary": "target_text"},
)
_MARKS = ({"text_a", "text_b", "labels"}, {"text", "labels"}, {"input_text", "target_text"})


def matches(value: Any) -> bool:
    """Return whether the rows have such columns, and no column `label`."""
    return _names(value) is not None


def _names(value: Any) -> dict[str, str] | None:
    records = records_of(value)
    if not records or "label" in records[0]:
        return None
    return next((names for names, marks in zip(_NAMES, _MARKS, strict=True) if marks <= records[0].keys()), None)


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return the rows unchanged, with the names of the tasks."""
    return Table(records_of(value), _names(value) or {})


LAYOUT = Layout(
    name="simpletransformers",
    matches=matches,
    read=read,
    title=None,
    order=60,
)
