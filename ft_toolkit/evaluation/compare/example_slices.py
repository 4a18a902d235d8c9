"""Group the examples of a run by the values of a column or by the length of their texts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ft_toolkit.core.errors import UsageError, did_you_mean, one_of
from ft_toolkit.evaluation.breakdown.slices import column_values, input_lengths, length_bands
from ft_toolkit.tasks.base import Task

# A difference between two models on fewer examples is not reliable.
MIN_ROWS = 20
LENGTH = "length"
_OWN_KEYS = ("split", "id")


def slice_examples(records: Sequence[Mapping[str, Any]], column: str, task: Task) -> dict[str, np.ndarray]:
    """Return the positions of the examples of each value of a column, the most frequent value first.

    The column `length` gives quarters by the length of the texts, unless the records have a column of that name. Raises
    UsageError for an unknown column.
    """
    columns = [key for key in dict.fromkeys(key for record in records for key in record) if key not in _OWN_KEYS]
    if column in columns:
        values = column_values(records, column)
        counts = Counter(values)
        order = sorted(counts, key=lambda value: (-counts[value], value))
    elif column == LENGTH:
        unit, lengths = input_lengths(records, task)
        bands, names = length_bands(lengths)
        values, order = ([f"{name} {unit}" for name in band_names] for band_names in (bands, names))
    else:
        raise UsageError(
            f"no column '{column}' in predictions.jsonl; allowed: {one_of([*columns, LENGTH])}."
            f"{did_you_mean(column, [*columns, LENGTH])} To keep a column of the data there, run the recipe with "
            f"evaluation.slices=[{column}]"
        )
    column_array = np.array(values)
    return {value: np.flatnonzero(column_array == value) for value in order}
