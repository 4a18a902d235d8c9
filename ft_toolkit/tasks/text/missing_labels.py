"""Find missing labels by one rule, for files of every format and for rows in memory.

null, NaN, an empty cell   missing: the row is left out, and a note counts such rows
an empty cell, []          no label, where a row may have several labels
nan as text                missing in a column of numbers and for tags; among other names a name, because `nan` is the ISO code
                           of a language
inf                        an error in a column of numbers
null or NaN in a list      an error
"""

import math
from collections.abc import Sequence
from typing import Any

from ft_toolkit.tasks.base import Rows
from ft_toolkit.tasks.text.labels import ProblemType, label_name

# Values of text in a column of numbers.
_NOT_FINITE = {
    **dict.fromkeys(("nan", "+nan", "-nan"), None),
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), math.inf),
    **dict.fromkeys(("-inf", "-infinity"), -math.inf),
}


def mark_missing_labels(rows: Rows, problem_type: ProblemType) -> Rows:
    """Return the rows with None as the `label` of each row whose label is missing, and infinity where text means it."""
    has_several = problem_type == "multi_label_classification"
    labels = [row.get("label") for row in rows]
    labels = [None if _is_missing(label, empty_is_missing=not has_several) else label for label in labels]
    spelled = {i: _NOT_FINITE[name] for i, label in enumerate(labels) if (name := _spelling(label)) in _NOT_FINITE}
    others = [label for i, label in enumerate(labels) if i not in spelled and label is not None]
    if problem_type == "regression" or (others and all(map(_is_number, others))):
        labels = [spelled.get(i, label) for i, label in enumerate(labels)]
    return [
        row if row.get("label") is label else {**row, "label": label} for row, label in zip(rows, labels, strict=True)
    ]


def mark_missing_answers(rows: Rows, columns: Sequence[str]) -> Rows:
    """Return the rows with None for each missing value of `columns`, which hold lists."""
    for column in columns:
        rows = [
            {**row, column: None}
            if column in row and (_is_missing(row[column], empty_is_missing=True) or _spelling(row[column]) == "nan")
            else row
            for row in rows
        ]
    return rows


def drop_partial(rows: Rows, column: str) -> tuple[Rows, list[str]]:
    """Return the rows without a column that only some of them have, and a note; unchanged if all or none have it."""
    n_without = sum(column not in row for row in rows)
    if n_without in (0, len(rows)):
        return rows, []
    note = f"{n_without} of {len(rows)} rows have no '{column}', so that of the other rows is not used"
    return [{name: value for name, value in row.items() if name != column} for row in rows], [note]


def nan_note(names: set[str]) -> str | None:
    """Return a note on a label that is named nan; None without such a label."""
    spelling = next((name for name in sorted(names) if name.lower() == "nan"), None)
    if spelling is None:
        return None
    return f"column 'label': {spelling!r} is read as the name of a label; if it means a missing label, leave the cell empty"


def _is_missing(value: Any, *, empty_is_missing: bool) -> bool:
    if isinstance(value, str):
        return empty_is_missing and not label_name(value)
    return value is None or (isinstance(value, float) and math.isnan(value))


def _spelling(value: Any) -> str:
    return label_name(value).lower() if isinstance(value, str) else ""


def _is_number(value: Any) -> bool:
    """Return whether a label is a number, as a number or as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        float(value)
    except (ValueError, OverflowError):
        return False
    return True
