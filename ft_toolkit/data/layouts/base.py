"""The definition of a layout, and helpers for the forms of labels and spans that annotation tools share."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ft_toolkit.data.formats.base import Aliases, RawRows


@dataclass(frozen=True)
class Table:
    """Rows, and the columns that hold a column of a task under another name (column of the task -> column of the rows)."""

    rows: RawRows
    aliases: Aliases = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """An interpretation of the records of one program.

    `matches` returns whether a value certainly has this layout. `read` gets the value, the name of the file for errors, and
    the notes to append to. `title` completes the note "read as ..."; None: the layout is so common that no note is needed.
    """

    name: str
    matches: Callable[[Any], bool]
    read: Callable[[Any, str, list[str]], Table]
    title: str | None
    # Whether the layout reads a complete JSON document instead of a list of records.
    is_document: bool = False
    order: int = 50


def records_of(value: Any) -> RawRows:
    """Return the records if the value is a list of objects, else an empty list."""
    return value if isinstance(value, list) and all(isinstance(row, dict) for row in value) else []


def read_spans(value: Any) -> list[dict[str, Any]] | None:
    """Return spans as {start, end, label}, with `text` where the span has one; None if the value is not a list of spans.

    Forms: [start, end, label]; {start, end, label}; {start_offset, end_offset, label}; {start, end, labels: [...]}, with one
    span per label; and an object of lists, {start: [...], end: [...], label: [...]}. A text with JSON is parsed.
    """
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, Mapping):
        value = _rows_of_lists(value)
    if not isinstance(value, list):
        return None
    spans: list[dict[str, Any]] = []
    for item in value:
        parts = _span(item)
        if parts is None:
            return None
        spans += parts
    return spans


def _span(item: Any) -> list[dict[str, Any]] | None:
    if isinstance(item, (list, tuple)):
        is_triple = len(item) == 3 and _is_position(item[0]) and _is_position(item[1]) and isinstance(item[2], str)
        return [{"start": item[0], "end": item[1], "label": item[2]}] if is_triple else None
    if not isinstance(item, Mapping):
        return None
    start = next((item[key] for key in ("start", "start_offset") if key in item), None)
    end = next((item[key] for key in ("end", "end_offset") if key in item), None)
    labels = item.get("label", item.get("labels"))
    labels = [labels] if isinstance(labels, str) else labels
    if not _is_position(start) or not _is_position(end) or not isinstance(labels, list) or not labels:
        return None
    if not all(isinstance(label, str) for label in labels):
        return None
    text = {"text": item["text"]} if isinstance(item.get("text"), str) else {}
    return [{"start": start, "end": end, "label": label, **text} for label in labels]


def _is_position(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _rows_of_lists(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    lists = {key: items for key, items in value.items() if isinstance(items, list)}
    if not lists or len(lists) < len(value) or len({len(items) for items in lists.values()}) != 1:
        return None
    return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]


def span_columns(rows: RawRows) -> list[str]:
    """Return the columns that hold lists of spans in every row that has the column, and at least one span."""
    columns: dict[str, None] = dict.fromkeys(column for row in rows for column in row)
    return [column for column in columns if _holds_spans(rows, column)]


def _holds_spans(rows: RawRows, column: str) -> bool:
    n_spans = 0
    for row in rows:
        value = row.get(column)
        if value is None or value == "":
            continue
        spans = read_spans(value)
        if spans is None:
            return False
        n_spans += len(spans)
    return n_spans > 0


def plain_labels(rows: RawRows, column: str) -> None:
    """Replace lists of at most one label by the label (None: no label), if no row has two; changes the rows."""
    values = [row.get(column) for row in rows]
    if all(value is None or (isinstance(value, list) and len(value) <= 1) for value in values):
        for row, value in zip(rows, values, strict=True):
            row[column] = value[0] if value else None


def move_utf16_spans(text: Any, spans: Sequence[dict[str, Any]]) -> bool:
    """Convert offsets in UTF-16 units to characters, for spans that match their `text` only after the conversion.

    JavaScript counts UTF-16 units: a character beyond U+FFFF, such as an emoji, counts twice. Changes the spans and returns
    whether any was changed.
    """
    if not isinstance(text, str) or all(ord(letter) < 0x10000 for letter in text):
        return False
    positions: dict[int, int] = {}  # UTF-16 offset -> character
    units = 0
    for number, letter in enumerate(text):
        positions[units] = number
        units += 1 + (ord(letter) > 0xFFFF)
    positions[units] = len(text)
    is_changed = False
    for span in spans:
        start, end = positions.get(span["start"]), positions.get(span["end"])
        if "text" not in span or start is None or end is None or text[span["start"] : span["end"]] == span["text"]:
            continue
        if text[start:end] == span["text"]:
            span["start"], span["end"] = start, end
            is_changed = True
    return is_changed
