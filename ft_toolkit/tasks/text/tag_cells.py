"""Cells with words or tags: a list, the printed form of a list, or text with spaces between the items.

Tags can be numbers, as in data sets that store the index of each tag, if something defines the order of the tags.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.metrics.spans import TAG
from ft_toolkit.tasks.base import DefinedLabels, LabelSource, Rows, row_name
from ft_toolkit.tasks.text.cells import Printed, form_notes, looks_printed, read_printed
from ft_toolkit.tasks.text.labels import whole_number


def read_list_cell(value: Any, where: str) -> tuple[list[Any], Printed | None]:
    """Return the items of a cell, and the printed list if the cell is one. Raises DataError.

    Text is a printed list only if its items are texts or numbers and not one number alone ("[1]" may be a word).
    """
    if isinstance(value, (list, tuple)):
        return list(value), None
    if not isinstance(value, str):
        raise DataError(f"{where} must be a list of texts, or a text with spaces between them; found {value!r}")
    printed = read_printed(value)
    if printed is None:
        if looks_printed(value) and re.match(r"\[\s*['\"]", value):
            raise DataError(
                f"{where} looks like a list but cannot be read; found {value[:60]!r}. Write the list as JSON"
            )
        return value.split(), None
    items = printed.value
    if not isinstance(items, list) or any(not isinstance(item, (str, int, float)) for item in items):
        return value.split(), None
    if len(items) == 1 and not isinstance(items[0], str):
        return value.split(), None
    return items, printed


def read_tag_column(rows: Rows, defined: DefinedLabels | None, source: LabelSource) -> tuple[Rows, list[str]]:
    """Return rows whose `tags` are lists of tag names, and notes. `defined` has the tags in the order of their numbers.

    Raises DataError for numbers without a defined order, and for a number without a tag.
    """
    cells = {
        i: (*read_list_cell(row["tags"], f"{where}: column 'tags'"), where)
        for i, row in enumerate(rows)
        if row.get("tags") is not None and (where := f"{source.where}: {row_name(row, i + 1)}")
    }
    notes = form_notes("tags", [printed for _, printed, _ in cells.values() if printed])
    are_numbers = any(items for items, _, _ in cells.values()) and all(
        _are_numbers(items) for items, _, _ in cells.values()
    )
    new: dict[int, list[Any]] = {}
    for i, (items, _, where) in cells.items():
        if are_numbers:
            new[i] = [_numbered_tag(int(whole_number(str(item)) or 0), defined, where) for item in items]
        else:
            new[i] = [unicodedata.normalize("NFC", item) if isinstance(item, str) else item for item in items]
    if are_numbers and defined is not None:
        shown = one_of(f"{position} = {tag}" for position, tag in enumerate(defined.names))
        notes.append(f"column 'tags': numbers are read in the order of {defined.by}: {shown}")
    return [{**row, "tags": new[i]} if i in new else row for i, row in enumerate(rows)], notes


def _are_numbers(items: Sequence[Any]) -> bool:
    return all(isinstance(item, (int, float, str)) and whole_number(str(item)) is not None for item in items)


def has_tags(cell: Any) -> bool:
    """Return whether a cell has a tag, which then says whether the tags of all rows are numbers or names."""
    try:
        return bool(read_list_cell(cell, "")[0])
    except DataError:
        return False


def _numbered_tag(number: int, defined: DefinedLabels | None, where: str) -> str:
    if defined is None:
        raise DataError(
            f"{where}: tag {number} is a number, and nothing says which tag it means. Set task.labels=[PER, LOC] with the "
            "entity types in order, if the numbers mean O, B-PER, I-PER, B-LOC, I-LOC; otherwise write the names of the tags"
        )
    if not 0 <= number < len(defined.names):
        raise DataError(
            f"{where}: tag {number} does not exist; {defined.by} gives the tags 0 to {len(defined.names) - 1} "
            f"({one_of(defined.names)})"
        )
    return defined.names[number]


def types_of_tags(names: Sequence[str]) -> tuple[str, ...]:
    """Return the entity types of tag names such as O, B-PER, I-PER in order of appearance; other names unchanged."""
    if "O" not in names or not all(TAG.fullmatch(name) for name in names):
        return tuple(names)
    return tuple(dict.fromkeys(name[2:] for name in names if name != "O"))
