"""Facts about the columns of an unknown file: kinds of values, lengths, numbers of distinct values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ft_toolkit.tasks.text.cells import read_printed

ValueKind = Literal[
    "text", "whole numbers", "numbers", "true or false", "lists of texts", "lists of numbers", "lists of objects",
    "empty lists", "objects", "mixed values", "no values",
]  # fmt: skip
# Values per column that are inspected; of a longer column, values at equal distances.
SAMPLE = 20_000
# Share of the values that must have a kind, so that a few exceptions do not hide it.
_CLEAR_SHARE = 0.98
_WHOLE = re.compile(r"[-+]?[0-9]{1,15}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][-+]?[0-9]+)?")
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")


@dataclass(frozen=True)
class ColumnFacts:
    """A column: the kind of its values, and counts. `values` are the inspected values without missing ones."""

    name: str
    kind: ValueKind
    values: Sequence[Any] = field(repr=False)
    n_missing: int
    n_distinct: int
    mean_characters: float
    mean_words: float

    @property
    def distinct_share(self) -> float:
        """The number of distinct values divided by the number of values."""
        return self.n_distinct / max(len(self.values), 1)

    def match(self, exact: Sequence[str], words: Sequence[str] = ()) -> float:
        """Return 1 if the name is one of `exact`, 0.6 if a word of the name is in `exact` or `words`, else 0.

        Case, underscores and other signs are ignored: reviewText and review_text have the words review and text.
        """
        parts = name_parts(self.name)
        if "_".join(parts) in exact or "".join(parts) in exact:
            return 1.0
        return 0.6 if {*exact, *words} & set(parts) else 0.0


@dataclass(frozen=True)
class Table:
    """The rows of an unknown file, its columns, and the columns that the user named (task column -> column of the file)."""

    rows: Sequence[Mapping[str, Any]] = field(repr=False)
    columns: tuple[ColumnFacts, ...]
    named: Mapping[str, str] = field(default_factory=dict)
    # Names of labels that are integers in the file, from 0.
    label_names: Sequence[str] = ()

    def column(self, name: str) -> ColumnFacts:
        """Return the column of the file with this name."""
        return next(column for column in self.columns if column.name == name)

    def named_column(self, role: str) -> ColumnFacts | None:
        """Return the column that the user named for a column of the task."""
        return self.column(self.named[role]) if role in self.named else None

    def of_kind(self, *kinds: ValueKind) -> list[ColumnFacts]:
        """Return the columns with values of these kinds."""
        return [column for column in self.columns if column.kind in kinds]


def make_table(rows: Sequence[Mapping[str, Any]], named: Mapping[str, str], label_names: Sequence[str] = ()) -> Table:
    """Return the table of rows. `named` maps columns of a task to columns of the file; see `Table` for `label_names`."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table(rows, tuple(_facts(name, [row.get(name) for row in rows]) for name in names), named, label_names)


def is_missing(value: Any) -> bool:
    """Return whether a cell is empty: None, NaN, or text of white space."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def name_parts(name: str) -> list[str]:
    """Return the words of a column name in lower case: reviewText, review_text and "Review Text" give review, text."""
    return [part.lower() for part in _PARTS.findall(name)]


def _facts(name: str, cells: Sequence[Any]) -> ColumnFacts:
    present = [cell for cell in cells if not is_missing(cell)]
    sample = [_plain(cell) for cell in present[:: -(-len(present) // SAMPLE) or 1]]
    texts = [value if isinstance(value, str) else json.dumps(value, default=str) for value in sample]
    n = max(len(sample), 1)
    return ColumnFacts(
        name,
        _kind(sample),
        sample,
        len(cells) - len(present),
        len(set(texts)),
        sum(map(len, texts)) / n,
        sum(len(text.split()) for text in texts) / n,
    )


def _plain(cell: Any) -> Any:
    """Return a cell; dates, bytes and other values that are neither text, number, list nor object as text."""
    return cell if isinstance(cell, (str, int, float, list, tuple, Mapping)) else str(cell)


def _kind(values: Sequence[Any]) -> ValueKind:
    """Return the kind of nearly all values."""
    if not values:
        return "no values"
    counts: dict[ValueKind, int] = {}
    for value in values:
        kind = _kind_of_value(value)
        counts[kind] = counts.get(kind, 0) + 1
    lists = {kind: n for kind, n in counts.items() if kind.startswith("lists")}
    if lists and (n_empty := counts.pop("empty lists", 0)):
        counts[max(lists, key=lambda kind: lists[kind])] += n_empty
    numbers = counts.get("whole numbers", 0) + counts.get("numbers", 0)
    most = max(counts, key=lambda kind: counts[kind])
    if counts[most] >= _CLEAR_SHARE * len(values):
        return most
    if numbers >= _CLEAR_SHARE * len(values):
        return "numbers"
    if counts.get("text") and all(isinstance(value, (str, int, float)) for value in values):
        return "text"
    return "mixed values"


def _kind_of_value(value: Any) -> ValueKind:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "whole numbers"
    if isinstance(value, float):
        return "numbers"
    if isinstance(value, str):
        return _kind_of_text(value.strip())
    if isinstance(value, Mapping):
        return "objects"
    if isinstance(value, (list, tuple)):
        if not value:
            return "empty lists"
        if all(isinstance(item, str) for item in value):
            return "lists of texts"
        if all(isinstance(item, (bool, int, float)) for item in value):
            return "lists of numbers"
        return "lists of objects"
    return "text"


def _kind_of_text(text: str) -> ValueKind:
    """Return the kind of a cell of a text file, which may hold a number, a list or an object."""
    if _WHOLE.fullmatch(text):
        return "whole numbers"
    if _NUMBER.fullmatch(text):
        return "numbers"
    if text.lower() in ("true", "false"):
        return "true or false"
    printed = read_printed(text)
    return "text" if printed is None else _kind_of_value(printed.value)
