"""Label Studio's JSON-MIN, csv and tsv exports: a row per annotation, spans as {start, end, text, labels: [...]}."""

from typing import Any

from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.layouts.base import Layout, Table, move_utf16_spans, read_spans, records_of, span_columns

# Columns that the export adds to the data of a task.
_ADDED = ("annotation_id", "annotator", "created_at", "updated_at", "lead_time")


def matches(value: Any) -> bool:
    """Return whether the rows have the columns of an annotation, or spans with `labels`."""
    records = records_of(value)
    if not records:
        return False
    if all({"annotation_id", "annotator"} <= record.keys() for record in records):
        return True
    spans = [record[column] for column in span_columns(records) for record in records if record.get(column)]
    return bool(spans) and all(isinstance(items, list) and "labels" in items[0] for items in spans)


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return the rows with spans as {start, end, label} and choices as labels. A row without spans has no entities."""
    rows: RawRows = [dict(record) for record in records_of(value)]
    spans_in = span_columns(rows)
    n_moved = 0
    for row in rows:
        for column in spans_in:
            spans = read_spans(row.get(column) or []) or []
            n_moved += move_utf16_spans(row.get("text"), spans)
            row[column] = spans
        for column, cell in row.items():
            if isinstance(cell, dict) and isinstance(cell.get("choices"), list):
                row[column] = cell["choices"]
    if n_moved:
        notes.append(f"{n_moved} rows had spans with offsets in UTF-16 units, which were converted to characters")
    ids = [str(row["id"]) for row in rows if "id" in row]
    if n_repeated := len(ids) - len(set(ids)):
        notes.append(f"{n_repeated} rows annotate a text that another row also annotates; all are used")
    aliases = {"entities": spans_in[0]} if len(spans_in) == 1 else {}
    choices = [column for column in rows[0] if column not in (*_ADDED, *spans_in, "id", "text") and column]
    if len(choices) == 1:
        aliases["label"] = choices[0]
    return Table(rows, aliases)


LAYOUT = Layout(
    name="label_studio_min",
    matches=matches,
    read=read,
    title="an export of Label Studio (one row per annotation)",
    order=20,
)
