"""The main metric on parts of a split: the rows of each value of a column, and of each band of lengths."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ft_toolkit.evaluation.statistics.scores import finite, interval, score_interval
from ft_toolkit.metrics.bootstrap import resample, varies
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.metrics.squad import has_unspaced
from ft_toolkit.tasks.base import Rows, Task, input_texts

# A value with fewer rows is shown without an interval: resampling so few examples says nothing of others.
MIN_ROWS = 10
MAX_VALUES = 30
# Resamples per part, and for the rest of the split beside it.
SAMPLES = 300
NO_VALUE = "(none)"
_BANDS = 4


def slices(
    rows: Rows,
    predictions: np.ndarray,
    references: np.ndarray,
    *,
    task: Task,
    columns: Sequence[str],
    name: str,
    metric: Metric,
    samples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Return a table per column and one by length: {column, metric, values, left_out}.

    Each of `values` has the value, n, score, low and high, and in `difference` the 95% interval of its score minus that of
    the split's other rows, which are resampled apart. Without one (None) there are too few rows, or all are alike (see
    `score_interval`).
    """
    parts = [(column, values, *most_frequent(values)) for column in columns for values in [column_values(rows, column)]]
    unit, lengths = input_lengths(rows, task)
    bands, order = length_bands(lengths)
    if len(order) > 1:
        parts.append((f"length in {unit}", bands, order, {"values": 0, "rows": 0}))
    tables = []
    for column, values, chosen, left_out in parts:
        found = [
            _part(np.array(values) == value, predictions, references, metric, min(samples, SAMPLES), seed)
            for value in chosen
        ]
        shown = [{"value": value, **one} for value, one in zip(chosen, found, strict=True)]
        tables.append({"column": column, "metric": name, "values": shown, "left_out": left_out})
    return tables


def column_values(rows: Rows, column: str) -> list[str]:
    """Return a column as text, lists joined."""
    values = []
    for row in rows:
        value = row.get(column)
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)
        values.append(text.strip() or NO_VALUE)
    return values


def most_frequent(values: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Return the values to show, the most frequent first, and how many others there are on how many rows."""
    counts = Counter(values)
    order = sorted(counts, key=lambda value: (-counts[value], value))
    others = order[MAX_VALUES:]
    return order[:MAX_VALUES], {"values": len(others), "rows": sum(counts[value] for value in others)}


def length_bands(lengths: Sequence[int]) -> tuple[list[str], list[str]]:
    """Return each row's quarter of the lengths, named by its shortest and longest row, and the names from short to long.

    Rows of one length stay together, so the quarters are as equal as ties allow.
    """
    found = np.array(lengths)
    borders = np.unique(np.quantile(found, np.arange(1, _BANDS) / _BANDS, method="lower"))
    band = np.searchsorted(borders, found, side="left")
    names = {}
    for number in np.unique(band).tolist():
        inside = found[band == number]
        names[number] = f"{inside.min():,}" if inside.min() == inside.max() else f"{inside.min():,} to {inside.max():,}"
    return [names[number] for number in band.tolist()], list(names.values())


def input_lengths(rows: Rows, task: Task) -> tuple[str, list[int]]:
    """Return the length of each row's input in words, or in characters where most texts are written without spaces."""
    texts = [" ".join(input_texts(row, task)) for row in rows]
    if sum(map(has_unspaced, texts)) > len(texts) / 2:
        return "characters", list(map(len, texts))
    return "words", [len(text.split()) for text in texts]


def _part(
    inside: np.ndarray, predictions: np.ndarray, references: np.ndarray, metric: Metric, samples: int, seed: int
) -> dict[str, Any]:
    n, nothing = int(inside.sum()), {"low": None, "high": None}
    found = {"n": n, "score": finite(metric.fn(predictions[inside], references[inside])), **nothing}
    if n < MIN_ROWS:
        return {**found, "difference": nothing}
    here, beside = (
        resample({"": metric.fn}, predictions[part], references[part], samples=samples, seed=seed + which)[""]
        if part.sum() >= MIN_ROWS
        else np.array([])
        for which, part in enumerate((inside, ~inside))
    )
    difference = interval(here - beside) if varies(here) and varies(beside) else nothing
    return found | score_interval(here, metric, n) | {"difference": difference}
