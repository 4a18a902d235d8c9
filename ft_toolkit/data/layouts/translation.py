"""`{"translation": {"en": ..., "ro": ...}}`, the form of translation data sets on the Hub."""

from typing import Any

from ft_toolkit.data.layouts.base import Layout, Table, records_of


def matches(value: Any) -> bool:
    """Return whether every record has an object with texts under `translation`."""
    records = records_of(value)
    return bool(records) and all(_is_translation(record.get("translation")) for record in records)


def _is_translation(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, (str, list, type(None))) for item in value.values())


def read(value: Any, name: str, notes: list[str]) -> Table:
    """Return the rows with a further column per language, such as `en`; `translation` is kept."""
    return Table([{**record["translation"], **record} for record in records_of(value)])


LAYOUT = Layout(name="translation", matches=matches, read=read, title=None, order=40)
