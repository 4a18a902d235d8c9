"""The examples of a run by the values of a column, or by the length of their texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ft_toolkit.errors import UsageError, did_you_mean, one_of
from ft_toolkit.tasks.base import Task, input_texts

# Scores of fewer examples say nothing of others.
MIN_ROWS = 20
LENGTH = "length"
_BANDS = 4
_NO_VALUE = "(none)"
_OWN_KEYS = ("split", "id")


def group_examples(records: Sequence[Mapping[str, Any]], column: str, task: Task) -> dict[str, np.ndarray]:
    """Return the positions of the examples of each value of a column, the most frequent value first.

    `length` gives quarters by the number of words, unless the records have a column of that name. Raises UsageError.
    """
    known = [key for key in dict.fromkeys(key for record in records for key in record) if key not in _OWN_KEYS]
    if column in known:
        values = [_text(record.get(column)) for record in records]
        order = sorted(set(values), key=lambda value: (-values.count(value), value))
    elif column == LENGTH:
        values, order = _length_bands([len(" ".join(input_texts(record, task)).split()) for record in records])
    else:
        raise UsageError(
            f"no column '{column}' in predictions.jsonl; allowed: {one_of([*known, LENGTH])}."
            f"{did_you_mean(column, [*known, LENGTH])} A column of the data is kept there by evaluation.slices=[{column}]"
        )
    found = np.array(values)
    return {value: np.flatnonzero(found == value) for value in order}


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return text.strip() or _NO_VALUE


def _length_bands(lengths: Sequence[int]) -> tuple[list[str], list[str]]:
    """Return each example's quarter of the lengths in words, named by its borders, and the names from short to long."""
    found = np.array(lengths)
    borders = np.unique(np.quantile(found, np.arange(1, _BANDS) / _BANDS, method="lower"))
    band = np.searchsorted(borders, found, side="left")
    names = {
        number: f"{found[band == number].min()} to {found[band == number].max()} words" for number in np.unique(band)
    }
    return [names[number] for number in band], list(names.values())
