"""Tables of the report page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ft_toolkit.report.numbers import MISSING, count, number
from ft_toolkit.report.wording import plain_name
from ft_toolkit.tasks.display.wrong_examples import shorten

# Texts in a cell are cut to this many characters; results.json holds all of them.
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Cell:
    """A cell: its text, whether it is a number, and the length of a bar as a share of the cell (None draws none)."""

    text: str
    is_number: bool = False
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """A table; the first column heads the rows. `note` is shown below it."""

    title: str
    columns: list[Cell]
    rows: list[list[Cell]]
    note: str = ""


def header(names: Sequence[str], numeric: range) -> list[Cell]:
    """Return the header cells; the columns with an index in `numeric` hold numbers."""
    return [Cell(name, is_number=i in numeric) for i, name in enumerate(names)]


def value_text(value: Any, n: int | None = None) -> str:
    """Return any JSON value as the text of a cell. `n` is the number of examples behind a score."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return number(value, n) if math.isfinite(value) else MISSING
    if isinstance(value, (list, tuple)):
        value = ", ".join(value_text(item, n) for item in value)
    elif isinstance(value, Mapping):
        value = ", ".join(f"{plain_name(str(key))} {value_text(item, n)}" for key, item in value.items())
    return shorten(str(value), _SHOWN_CHARACTERS)


def is_numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Return whether a column holds numbers only; missing values are allowed."""
    values = [row.get(name) for row in rows]
    return all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values)
