"""Recognize rows of named entity recognition: tokens with tags, or texts with entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ft_toolkit.metrics.spans import TAG
from ft_toolkit.tasks.base import Guess
from ft_toolkit.tasks.guessing.columns import encoder_for, first_named, text_columns
from ft_toolkit.tasks.guessing.languages import language_of
from ft_toolkit.tasks.guessing.table import ColumnFacts, Table
from ft_toolkit.tasks.text.cells import read_printed

_TOKENS = ("tokens", "words", "token", "word", "sentence", "text")
_ROWS = 200


def guess_entities(table: Table) -> Guess:
    """Return the columns of tokens and tags, or of texts and entities."""
    if "entities" not in table.named and (tagged := _tagged_words(table)) is not None:
        tokens, tags = tagged
        names = table.label_names if tags.kind == "lists of numbers" else {t for v in tags.values for t in _texts(v)}
        types = sorted({tag[2:] for tag in names if tag != "O"})
        return Guess(
            1.0 if types else 0.0,
            (
                f"'{tags.name}' has one tag per word of '{tokens.name}', of the types {_listed(types)}"
                if types
                else f"all tags of '{tags.name}' are O, so there is no entity to learn",
            ),
            {"tokens": tokens.name, "tags": tags.name},
            model=encoder_for(language_of([" ".join(_texts(value)) for value in tokens.values[:1000]]), cased=True),
        )
    spans = table.named_column("entities") or _spans_column(table)
    text = table.named_column("text") or next(iter(text_columns(table)), None)
    if (numbered := _numbered_tags(table)) is not None:
        return Guess(
            0,
            (
                f"'{numbered.name}' has a number per word, but the file does not name the numbers; name them, in order from 0: "
                "data.reading.label_names=[O,B-PER,I-PER,...]",
            ),
        )
    if spans is None or text is None:
        return Guess(
            0, ("no column has a tag per word, such as B-PER, or a list of entities with start, end and label",)
        )
    types = sorted({str(entity["label"]) for value in spans.values for entity in _entities(value)})
    return Guess(
        1.0,
        (f"'{spans.name}' has entities with start, end and label in '{text.name}', of the types {_listed(types)}",),
        {"text": text.name, "entities": spans.name},
        model=encoder_for(language_of(text.values), cased=True),
    )


def _tagged_words(table: Table) -> tuple[ColumnFacts, ColumnFacts] | None:
    """Return the columns of words and of tags: lists, or texts with spaces between the words."""
    columns = table.of_kind("lists of texts", "text")
    tags = table.named_column("tags") or next((column for column in columns if _are_tags(column)), None)
    if tags is None and table.label_names:
        tags = _numbered_tags(table)
    if tags is None:
        return None
    candidates = [column for column in columns if column is not tags and _same_lengths(table, column, tags)]
    tokens = table.named_column("tokens") or first_named(candidates, _TOKENS) or next(iter(candidates), None)
    return None if tokens is None else (tokens, tags)


def _numbered_tags(table: Table) -> ColumnFacts | None:
    """Return a column with lists of numbers that are as long as the lists of words in another column."""
    words = table.of_kind("lists of texts")
    for column in table.of_kind("lists of numbers"):
        if any(_same_lengths(table, tokens, column) for tokens in words):
            return column
    return None


def _are_tags(column: ColumnFacts) -> bool:
    """Return whether nearly all items are tags such as O and B-PER, with a prefix in at least one."""
    items = [item for value in column.values[:_ROWS] for item in _texts(value)]
    are_tags = [bool(TAG.fullmatch(item)) for item in items]
    return sum(are_tags) > 0.98 * len(items) and "O" in items


def _same_lengths(table: Table, tokens: ColumnFacts, tags: ColumnFacts) -> bool:
    pairs = [(row.get(tokens.name), row.get(tags.name)) for row in table.rows[:_ROWS]]
    return all(len(_texts(words)) == len(_texts(values)) for words, values in pairs if words and values)


def _texts(value: Any) -> list[str]:
    """Return the items of a list, also of a list in a cell; of other texts, the parts between spaces."""
    if isinstance(value, str):
        printed = read_printed(value)
        value = value.split() if printed is None else printed.value
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []


def _spans_column(table: Table) -> ColumnFacts | None:
    """Return a column whose lists hold objects with start, end and label."""
    for column in table.of_kind("lists of objects", "lists of texts"):
        if any(_entities(value) for value in column.values):
            return column
    return None


def _entities(value: Any) -> list[Mapping[str, Any]]:
    printed = read_printed(value) if isinstance(value, str) else None
    items = value if printed is None else printed.value
    if not isinstance(items, (list, tuple)):
        return []
    return [item for item in items if isinstance(item, Mapping) and {"start", "end", "label"} <= item.keys()]


def _listed(types: Sequence[str]) -> str:
    return ", ".join(types[:8]) + (f" and {len(types) - 8} more" if len(types) > 8 else "")
