"""Prodigy's export: `text`, with `spans`, `label` or `accept`, and `answer` (accept, reject or ignore)."""

from typing import Any

from ft_toolkit.data.formats.base import RawRows
from ft_toolkit.data.layouts.base import Layout, Table, plain_labels, read_spans, records_of


def matches(value: Any) -> bool:
    """Return whether every record has a text and either an answer, or spans with the tokens that they refer to."""
    records = records_of(value)
    return bool(records) and all(isinstance(record.get("text"), str) and _is_prodigy(record) for record in records)


def _is_prodigy(record: dict[str, Any]) -> bool:
    tokens = record.get("tokens")
    has_tokens = isinstance(tokens, list) and all(isinstance(token, dict) and "text" in token for token in tokens)
    return record.get("answer") in ("accept", "reject", "ignore") or (has_tokens and "spans" in record)


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return the accepted records with spans as {start, end, label}, without their tokens."""
    records = records_of(value)
    accepted = [record for record in records if record.get("answer", "accept") == "accept"]
    if len(accepted) < len(records):
        notes.append(
            f"{len(records) - len(accepted)} of {len(records)} records with the answer reject or ignore were left out"
        )
    has_spans = any("spans" in record for record in accepted)
    has_choices = any("accept" in record for record in accepted)
    rows: RawRows = []
    for record in accepted:
        row = {key: cell for key, cell in record.items() if key not in ("tokens", "answer", "options")}
        if has_spans:
            row["spans"] = read_spans(record.get("spans") or []) or []
        rows.append(row)
    if has_choices:
        plain_labels(rows, "accept")
        return Table(rows, {"label": "accept"})
    return Table(rows, {"entities": "spans"} if has_spans else {})


LAYOUT = Layout(name="prodigy", matches=matches, read=read, title="an export of Prodigy", order=10)
