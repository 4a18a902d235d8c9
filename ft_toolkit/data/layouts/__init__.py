"""Layouts of records, found by walking this folder: each module ends with `LAYOUT = Layout(...)`.

A format (`data/formats/`) reads a file into plain values; a layout interprets the records of one program. To add a layout,
add one module here and its test. There is no list to edit.
"""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.data.layouts.base import Layout, Table


@cache
def find_layouts() -> tuple[Layout, ...]:
    """Return the layouts: layouts of documents first, then in the order of their fields `order`."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "base"))
    layouts: list[Layout] = [importlib.import_module(f"{__name__}.{name}").LAYOUT for name in names]
    return tuple(sorted(layouts, key=lambda layout: (not layout.is_document, layout.order)))


def _splits_hint(value: Any) -> str:
    """Return advice for an object whose values are lists of objects, such as {"train": [...], "test": [...]}."""
    if not isinstance(value, dict) or not value or not all(isinstance(rows, list) for rows in value.values()):
        return ""
    return f"; it holds the lists {one_of(value)}: write each list to its own file"


def read_layout(value: Any, name: str, notes: list[str]) -> Table:
    """Return the rows of the value that a format returned. `name` is the file in errors; choices are appended to `notes`.

    At most one layout of a document and one layout of records is applied. Raises DataError.
    """
    table = Table(value)
    for is_document in (True, False):
        layouts = (layout for layout in find_layouts() if layout.is_document == is_document)
        layout = next((layout for layout in layouts if layout.matches(table.rows)), None)
        if layout is not None:
            if layout.title is not None:
                notes.append(f"read as {layout.title}")
            read = layout.read(table.rows, name, notes)
            table = Table(read.rows, {**table.aliases, **read.aliases})
    if not isinstance(table.rows, list) or not all(isinstance(row, dict) for row in table.rows):
        raise DataError(
            f"{name}: the file must hold a list of objects, or an object with such a list under 'data'{_splits_hint(value)}"
        )
    return table
