"""Recognize rows of text classification: a text, or a pair of texts, with a label, several labels or a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ft_toolkit.tasks.base import Guess
from ft_toolkit.tasks.guessing.columns import describe, encoder_for, is_identifier, text_columns
from ft_toolkit.tasks.guessing.languages import language_of
from ft_toolkit.tasks.guessing.table import ColumnFacts, Table
from ft_toolkit.tasks.text.cells import read_printed
from ft_toolkit.tasks.text.label_cells import find_separator
from ft_toolkit.tasks.text.soft_labels import COLUMN, has_sum_of_one

_LABELS = (
    "label", "labels", "class", "category", "categories", "target", "sentiment", "intent", "topic", "y", "gold",
    "stars", "rating", "emotion", "tag", "tags", "stance", "polarity", "genre", "toxic", "spam", "score", "accept",
    "klasse", "kategorie", "thema", "bewertung", "stimmung", "categorie", "classe", "etiquette", "note", "categoria",
    "clase", "etiqueta", "tema", "valutazione", "sterne",
)  # fmt: skip
_NUMBERS = ("score", "similarity", "rating", "value", "target", "label", "grade", "y")
_PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text1", "text2"), ("text_a", "text_b"),
    ("sentence_a", "sentence_b"), ("query", "passage"), ("question", "sentence"), ("text", "text_pair"),
)  # fmt: skip
# More whole numbers than this are read as amounts, not as classes.
_MOST_NUMBER_CLASSES = 20
# The share of the rows beyond which different values cannot be classes.
_MOST_DISTINCT = 0.5


def guess_labels(table: Table) -> Guess:
    """Return the text column, the label column and the problem type."""
    pair = _pair(table)
    texts = text_columns(table)
    text = table.named_column("text") or (pair[0] if pair else next(iter(texts), None))
    if text is None:
        return Guess(0, ("no column has texts",))
    columns = {"text": text.name}
    reasons = [f"'{text.name}' has {describe(text)}"]
    second = table.named_column("text_pair") or (pair[1] if pair and pair[0] is text else None)
    if second is not None:
        columns["text_pair"] = second.name
        reasons.append(f"'{second.name}' is the second text of each pair")
    flags = _flag_columns(table, set(columns.values()))
    if flags:
        return _several_columns(text, columns, tuple(reasons), flags)
    probabilities = _probabilities(table)
    if probabilities is not None:
        columns[COLUMN] = probabilities.name
        reasons.append(f"'{probabilities.name}' has a probability per label")
    chosen = table.named_column("label")
    candidates = _candidates(table, set(columns.values()))
    label = chosen or next(iter(candidates), None)
    if label is None and probabilities is not None:
        return _soft_labels(text, columns, tuple(reasons), probabilities)
    if label is None:
        return Guess(0, ("no column has labels: 2 or more values that repeat in many rows",))
    columns["label"] = label.name
    problem_type, reason, alternative = _problem_type(label)
    separator = _separator(label) if problem_type == "multi_label_classification" else None
    reasons.append(f"'{label.name}' {reason}")
    others = [column.name for column in candidates if column is not label][:3]
    alternatives = [alternative] if alternative else []
    if others and chosen is None:
        names = ", ".join(f"'{name}'" for name in others)
        alternatives.append(f"{names} could be the label too: --column label={others[0]}")
    settings: dict[str, Any] = {} if problem_type == "single_label_classification" else {"problem_type": problem_type}
    return Guess(
        0.9 if chosen or label.match(_LABELS) == 1 else 0.75 if label.match(_LABELS) else 0.5,
        tuple(reasons),
        columns,
        settings,
        {"label_separator": separator} if separator not in (None, "|") else {},
        encoder_for(language_of(text.values), cased=False),
        alternatives=tuple(alternatives),
    )


def _pair(table: Table) -> tuple[ColumnFacts, ColumnFacts] | None:
    """Return two text columns whose names are a common pair."""
    by_name = {column.name.lower(): column for column in table.of_kind("text")}
    for first, second in _PAIRS:
        if first in by_name and second in by_name:
            return by_name[first], by_name[second]
    return None


def _candidates(table: Table, taken: set[str]) -> list[ColumnFacts]:
    """Return the columns that can be the label, the most likely one first."""
    scored = [(_label_score(column), column) for column in table.columns if column.name not in taken]
    return [column for score, column in sorted(scored, key=lambda item: -item[0]) if score > 0]


def _label_score(column: ColumnFacts) -> float:
    """Return how likely a column is the label; 0 if it cannot be one."""
    named = column.match(_LABELS)
    n = len(column.values)
    is_number = column.kind == "numbers" or (
        column.kind == "whole numbers" and column.n_distinct > _MOST_NUMBER_CLASSES
    )
    if (
        column.kind in ("objects", "lists of objects", "empty lists", "no values", "mixed values")
        or column.n_distinct < 2
    ):
        return 0.0
    if column.kind in ("lists of texts", "lists of numbers"):
        return 0.4 + named if _items_repeat(column) else 0.0
    if is_number:
        return named if column.match(_NUMBERS) and n >= 2 else 0.0
    repeats = column.n_distinct <= max(2, _MOST_DISTINCT * n) or (named == 1 and column.n_distinct <= 20)
    is_list = _separator(column) is not None
    if (column.mean_words > 6 or not repeats) and not (is_list and named):
        return 0.0
    penalty = 0.6 if is_identifier(column) and not named else 0.0
    return max(0.6 + named - penalty - 0.5 * min(column.n_distinct / max(n, 1), 1), 0.01)


def _items_repeat(column: ColumnFacts) -> bool:
    """Return whether the items of lists, as lists or as JSON, occur in several rows."""
    items: Counter[str] = Counter()
    for value in column.values:
        printed = read_printed(value) if isinstance(value, str) else None
        items.update(map(str, value if printed is None else printed.value))
    return len(items) <= _MOST_DISTINCT * items.total()


def _separator(column: ColumnFacts) -> str | None:
    """Return the text between the labels of a cell, if the parts of cells are labels of other cells."""
    match = find_separator({value.strip() for value in column.values if isinstance(value, str)}, None)
    return None if match is None else match[1]


def _flag_columns(table: Table, taken: set[str]) -> tuple[str, ...]:
    """Return the names of the 0/1 columns with one label each: named by the user, or at least two without a label column."""
    named = table.named.get("label", "")
    if named and named not in {column.name for column in table.columns}:
        return tuple(part.strip() for part in named.split(","))
    free = [column for column in table.columns if column.name not in taken]
    flags = tuple(column.name for column in free if _is_flag(column))
    others = [column for column in free if column.name not in flags and column.match(_LABELS) and _label_score(column)]
    return flags if len(flags) > 1 and not others and not named else ()


def _is_flag(column: ColumnFacts) -> bool:
    values = {str(value).strip().lower() for value in column.values}
    return not is_identifier(column) and len(values) == 2 and values <= {"0", "1", "true", "false", "0.0", "1.0"}


def _probabilities(table: Table) -> ColumnFacts | None:
    """Return the column with the probabilities of the labels: named by the user, or with the name and the form of one."""
    named = table.named_column(COLUMN)
    columns = table.of_kind("objects", "lists of numbers")
    return named or next((column for column in columns if column.match((COLUMN,)) == 1), None)


def _soft_labels(
    text: ColumnFacts, columns: Mapping[str, str], reasons: tuple[str, ...], probabilities: ColumnFacts
) -> Guess:
    """Return the guess for a file with probabilities and without labels."""
    settings = {} if all(map(has_sum_of_one, probabilities.values)) else {"problem_type": "multi_label_classification"}
    return Guess(0.9, reasons, columns, settings, model=encoder_for(language_of(text.values), cased=False))


def _several_columns(
    text: ColumnFacts, columns: Mapping[str, str], reasons: tuple[str, ...], flags: tuple[str, ...]
) -> Guess:
    """Return the guess for a file with one 0/1 column per label."""
    return Guess(
        0.8,
        (*reasons, f"{len(flags)} columns have 0 or 1 in each row, one label each: {', '.join(flags[:8])}"),
        {**columns, "label": flags},
        {"problem_type": "multi_label_classification"},
        model=encoder_for(language_of(text.values), cased=False),
        alternatives=(f"to predict one of these columns only: --column label={flags[0]}",),
    )


def _problem_type(label: ColumnFacts) -> tuple[str, str, str]:
    """Return the problem type, the reason, and the advice for another reading."""
    if label.kind in ("lists of texts", "lists of numbers"):
        return "multi_label_classification", "has a list of labels per row", ""
    if label.kind == "text" and (separator := _separator(label)) is not None:
        return "multi_label_classification", f"has several labels per row, with {separator!r} between them", ""
    if label.kind == "numbers":
        return "regression", f"has {describe(label)}: a number to predict", ""
    if label.kind == "whole numbers" and label.n_distinct > _MOST_NUMBER_CLASSES:
        return "regression", f"has {label.n_distinct:,} different whole numbers: a number to predict", ""
    reason = f"has {label.n_distinct:,} different values in {len(label.values):,} rows: one label per row"
    if label.kind == "whole numbers" and label.n_distinct > 2:
        return (
            "single_label_classification",
            reason,
            f"the labels in '{label.name}' are numbers; to predict an amount instead of a class: task.problem_type=regression",
        )
    return "single_label_classification", reason, ""
