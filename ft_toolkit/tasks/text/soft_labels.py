"""Soft targets: the column `label_probabilities`, such as the predictions of a larger model (distillation).

A cell is an object {label: probability} or a list in the order of the labels; in text files it is JSON. For one label per row
the probabilities have the sum 1, and labels that are missing in an object have probability 0. For several labels per row they
are independent, and every label must have one.

Scores need labels: a row without one gets its most probable label or, with several labels per row, the labels whose
probability reaches the threshold.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ft_toolkit.core.counted_notes import CountedNote
from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.tasks.base import DefinedLabels, Row, Rows, row_name
from ft_toolkit.tasks.text.cells import read_printed
from ft_toolkit.tasks.text.labels import ProblemType, index_of, label_name

COLUMN = "label_probabilities"
# Probabilities that were rounded to three decimals have sums within this distance of 1. They are divided by their sum.
_TOLERANCE = 0.01
_MULTI = "multi_label_classification"


def mark_missing_probabilities(rows: Rows) -> Rows:
    """Return the rows with None for each empty cell."""
    return [{**row, COLUMN: None} if COLUMN in row and _is_empty(row[COLUMN]) else row for row in rows]


def _is_empty(value: Any) -> bool:
    return (isinstance(value, str) and not value.strip()) or value != value


def read_probabilities(
    rows: Rows, problem_type: ProblemType, where: str, defined: DefinedLabels | None, threshold: float
) -> tuple[Rows, list[str]]:
    """Return the rows with probabilities by label name, and with a label in each row. Raises DataError."""
    soft_rows = [i for i, row in enumerate(rows) if row.get(COLUMN) is not None]
    if not soft_rows:
        return rows, []
    if problem_type == "regression":
        raise DataError(f"{where}: column '{COLUMN}' requires labels; with task.problem_type=regression, remove it")
    read, n_without_label = list(rows), 0
    for i in soft_rows:
        row = rows[i]
        cell_name = f"{where}: {row_name(row, i + 1)}: column '{COLUMN}'"
        probabilities = _by_name(row[COLUMN], cell_name, defined)
        if problem_type != _MULTI:
            probabilities = _normalized(probabilities, cell_name)
        label = row.get("label")
        if label is None:
            n_without_label += 1
            chosen = [name for name, value in probabilities.items() if value >= threshold]
            label = chosen if problem_type == _MULTI else max(probabilities, key=lambda name: probabilities[name])
        read[i] = {**row, "label": label, COLUMN: probabilities}
    rule = (
        f"the labels with a probability of at least {threshold:g}"
        if problem_type == _MULTI
        else "the most probable label"
    )
    counts = {"soft": len(soft_rows), "without label": n_without_label}
    return read, [CountedNote("soft targets", counts, partial(_note, rule), len(rows))]


def _note(rule: str, counts: Mapping[str, int], n_rows: int) -> str:
    note = f"column '{COLUMN}': {counts['soft']:,} of {n_rows:,} rows have soft targets"
    if n := counts["without label"]:
        note += f"; {n:,} of them have no label and get {rule}, which scores use"
    return note


def answer_form(row: Row) -> str:
    """Return the form of the probabilities of a row: the most probable label, which can become its label; "" for none."""
    numbers = _numbers(row.get(COLUMN))
    return repr(max(numbers, key=lambda pair: pair[0])[1]) if numbers else ""


def has_sum_of_one(cell: Any) -> bool:
    """Return whether the numbers in a cell have the sum 1, as the probabilities of one label per row."""
    return abs(sum(value for value, _ in _numbers(cell)) - 1) <= _TOLERANCE


def _numbers(cell: Any) -> list[tuple[float, Any]]:
    """Return the numbers in a cell, each with its label or position; without an error for other content."""
    printed = read_printed(cell) if isinstance(cell, str) else None
    cell = cell if printed is None else printed.value
    pairs = cell.items() if isinstance(cell, Mapping) else enumerate(cell) if isinstance(cell, (list, tuple)) else ()
    return [(value, name) for name, value in pairs if isinstance(value, (int, float))]


def _by_name(cell: Any, where: str, defined: DefinedLabels | None) -> dict[str, float]:
    """Return the probability of each label name of a cell. Raises DataError."""
    if isinstance(cell, str):
        printed = read_printed(cell)
        if printed is None:
            raise DataError(f'{where}: found {_short(cell)}; write JSON, such as {{"praise": 0.9, "complaint": 0.1}}')
        cell = printed.value
    if isinstance(cell, (list, tuple)):
        if defined is None:
            raise DataError(
                f"{where}: {_short(cell)} is a list, and nothing says which probability belongs to which label; set "
                "task.labels=[...] in this order, or write objects {label: probability}"
            )
        if len(cell) != len(defined.names):
            raise DataError(
                f"{where}: {_short(cell)} has {len(cell)} probabilities, but {defined.by} has {len(defined.names)} labels "
                f"({one_of(defined.names)})"
            )
        cell = dict(zip(defined.names, cell, strict=True))
    if not isinstance(cell, Mapping) or not cell:
        raise DataError(f"{where}: must be an object {{label: probability}} or a list; found {_short(cell)}")
    probabilities: dict[str, float] = {}
    for key, value in cell.items():
        name = label_name(key)
        if name in probabilities:
            raise DataError(f"{where}: label {name!r} occurs twice in {_short(cell)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:  # also NaN
            raise DataError(f"{where}: the probability of {name!r} must be a number from 0 to 1; found {value!r}")
        probabilities[name] = float(value)
    return probabilities


def _normalized(probabilities: dict[str, float], where: str) -> dict[str, float]:
    total = sum(probabilities.values())
    if abs(total - 1) > _TOLERANCE:
        raise DataError(
            f"{where}: the probabilities have the sum {total:.4g}, and 1 is required. Write all labels of a row, not only the "
            f"most probable ones; for independent probabilities of several labels set task.problem_type={_MULTI}"
        )
    return {name: value / total for name, value in probabilities.items()}


def soft_target(
    row: Row, labels: tuple[str, ...], order: str | None, problem_type: ProblemType, where: str
) -> list[float]:
    """Return the probability of each label, in the order of `labels`. Raises DataError for an unknown or missing label."""
    probabilities = row[COLUMN]
    target = [0.0] * len(labels)
    for name, value in probabilities.items():
        target[index_of(name, labels, order, f"{where}: column '{COLUMN}'")] += value
    if problem_type == _MULTI and len(probabilities) < len(labels):
        known = {index_of(name, labels, order, where) for name in probabilities}
        missing = [label for i, label in enumerate(labels) if i not in known]
        raise DataError(f"{where}: column '{COLUMN}' has no probability of {one_of(missing)}; write all labels")
    return target


def names_in(rows: Sequence[Row]) -> list[str]:
    """Return the label names in the probabilities of the rows, each once."""
    return list(dict.fromkeys(name for row in rows for name in row.get(COLUMN) or ()))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
