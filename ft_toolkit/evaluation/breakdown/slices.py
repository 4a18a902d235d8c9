"""The main metric on slices of a split: the rows with one value of a column, and the rows in one band of lengths."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ft_toolkit.evaluation.statistics.scores import (
    ScoringSetup,
    clipped,
    finite,
    jackknife_interval,
    score_interval,
)
from ft_toolkit.evaluation.statistics.shares import newcombe, right_examples, wilson
from ft_toolkit.metrics.bootstrap import resample, shifted_95, varies
from ft_toolkit.metrics.clusters import Jackknife, find_clusters, intraclass_correlation
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.metrics.squad import has_unspaced
from ft_toolkit.tasks.base import Rows, Task, input_texts

# A slice with fewer rows has no interval: a bootstrap of so few examples is unreliable.
MIN_ROWS = 10
MAX_VALUES = 30
# Above this intraclass correlation, rows with one value of a column are not independent.
MAX_CORRELATION = 0.05
# Resamples of each slice, and of the rest of the split.
SAMPLES = 300
NO_VALUE = "(none)"
_BANDS = 4


def score_slices(
    rows: Rows, predictions: np.ndarray, references: np.ndarray, setup: ScoringSetup
) -> list[dict[str, Any]]:
    """Return a table per column of `setup.slices` and one by length: {column, metric, values, left_out}.

    Each entry of `values` has value, n, score, low and high, and `difference`: {low, high}, the 95% interval of its score minus
    the score of the other rows of the split. Shares of right examples have the intervals of Wilson and Newcombe. For other
    metrics, the slice and the other rows are resampled independently; on clusters, whole clusters are resampled. Intervals are
    None for slices of fewer than MIN_ROWS rows and where all resamples are equal. `left_out` counts the values beyond
    MAX_VALUES. Without clusters, a column with correlated rows also has `correlation` (see `_correlation`).
    """
    columns = [(column, column_values(rows, column)) for column in setup.slices]
    slicings = [(column, values, *most_frequent(values)) for column, values in columns]
    unit, lengths = input_lengths(rows, setup.task)
    bands, order = length_bands(lengths)
    if len(order) > 1:
        slicings.append((f"length in {unit}", bands, order, {"values": 0, "rows": 0}))
    right = right_examples(setup.metrics[setup.main_metric], predictions, references)
    tables = []
    for column, values, chosen, left_out in slicings:
        scores = [
            {"value": value, **_score_slice(np.array(values) == value, (predictions, references), right, setup)}
            for value in chosen
        ]
        table = {"column": column, "metric": setup.main_metric, "values": scores, "left_out": left_out}
        is_column = column in setup.slices and setup.clusters is None
        correlation = _correlation(column, values, (predictions, references), setup) if is_column else None
        tables.append(table if correlation is None else table | {"correlation": correlation})
    return tables


def _correlation(
    column: str, values: Sequence[str], arrays: tuple[np.ndarray, np.ndarray], setup: ScoringSetup
) -> float | None:
    """Return the intraclass correlation of the main metric for the values of a column if it is above MAX_CORRELATION.

    It must also be significant. None otherwise, and for fewer than MIN_ROWS values, which are categories rather than groups.
    """
    metric = setup.metrics[setup.main_metric]
    clusters = find_clusters(column, np.unique(np.array(values), return_inverse=True)[1].ravel())
    if clusters is None or clusters.n < MIN_ROWS or not metric.is_mean:
        return None
    rows = range(len(values))
    scores = np.array([metric.fn(arrays[0][i : i + 1], arrays[1][i : i + 1]) for i in rows]) / metric.best
    correlation, error = intraclass_correlation(scores, clusters)
    return correlation if correlation > max(MAX_CORRELATION, 2 * error) else None


def column_values(rows: Rows, column: str) -> list[str]:
    """Return the values of a column as text; lists are joined by commas."""
    values = []
    for row in rows:
        value = row.get(column)
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)
        values.append(text.strip() or NO_VALUE)
    return values


def most_frequent(values: Sequence[str]) -> tuple[list[str], dict[str, int]]:
    """Return the MAX_VALUES most frequent values, the most frequent first, and {values, rows} of the others."""
    counts = Counter(values)
    order = sorted(counts, key=lambda value: (-counts[value], value))
    others = order[MAX_VALUES:]
    return order[:MAX_VALUES], {"values": len(others), "rows": sum(counts[value] for value in others)}


def length_bands(lengths: Sequence[int]) -> tuple[list[str], list[str]]:
    """Return the name of the band (quarter of the lengths) of each row, and the names of the bands from short to long.

    A band is named by its shortest and longest row, such as "3 to 8". Rows of the same length are in the same band.
    """
    sizes = np.array(lengths)
    borders = np.unique(np.quantile(sizes, np.arange(1, _BANDS) / _BANDS, method="lower"))
    band = np.searchsorted(borders, sizes, side="left")
    names = {}
    for number in np.unique(band).tolist():
        inside = sizes[band == number]
        names[number] = f"{inside.min():,}" if inside.min() == inside.max() else f"{inside.min():,} to {inside.max():,}"
    return [names[number] for number in band.tolist()], list(names.values())


def input_lengths(rows: Rows, task: Task) -> tuple[str, list[int]]:
    """Return the unit and the input length of each row: words, or characters if most texts are written without spaces."""
    texts = [" ".join(input_texts(row, task)) for row in rows]
    if sum(map(has_unspaced, texts)) > len(texts) / 2:
        return "characters", list(map(len, texts))
    return "words", [len(text.split()) for text in texts]


def _score_slice(
    inside: np.ndarray, arrays: tuple[np.ndarray, np.ndarray], right: np.ndarray | None, setup: ScoringSetup
) -> dict[str, Any]:
    """Return the score of the rows where `inside` (shape (n,), bool) is true, and its difference from the other rows.

    `right` says which examples are right, None if the metric is not their share.
    """
    n, metric = int(inside.sum()), setup.metrics[setup.main_metric]
    predictions, references = arrays
    undefined = {"low": None, "high": None}
    score = {"n": n, "score": finite(metric.fn(predictions[inside], references[inside]))}
    if n < MIN_ROWS:
        return {**score, **undefined, "difference": undefined}
    if setup.clusters is not None:
        return score | _clustered_intervals(inside, arrays, metric, setup)
    if right is not None:
        return score | _share_intervals(right[inside], right[~inside], metric.best)

    def resampled(part: np.ndarray, seed: int) -> np.ndarray:
        if part.sum() < MIN_ROWS:
            return np.array([])
        samples = min(setup.samples, SAMPLES)
        return resample({"": metric.fn}, predictions[part], references[part], samples=samples, seed=seed)[""]

    scores, other_scores = resampled(inside, setup.seed), resampled(~inside, setup.seed + 1)
    ends = None
    if varies(scores) and varies(other_scores):
        gap = metric.fn(predictions[inside], references[inside]) - metric.fn(predictions[~inside], references[~inside])
        ends = shifted_95(scores - other_scores, gap)
    low, high = ends or (None, None)
    slice_interval = score_interval(metric, predictions[inside], references[inside], scores)
    return {**score, **slice_interval, "difference": {"low": low, "high": high}}


def _clustered_intervals(
    inside: np.ndarray, arrays: tuple[np.ndarray, np.ndarray], metric: Metric, setup: ScoringSetup
) -> dict[str, Any]:
    """Return low, high and `difference` of a slice of clustered rows; the clusters of all rows are resampled together."""
    clusters, (predictions, references) = setup.clusters, arrays
    assert clusters is not None, "the caller checks it"

    def scores(rows: np.ndarray) -> np.ndarray:
        parts = rows[inside[rows]], rows[~inside[rows]]
        score, other_score = (metric.fn(predictions[part], references[part]) if len(part) else np.nan for part in parts)
        return np.array([score, score - other_score])

    values = scores(np.arange(len(inside)))
    if clusters.are_few:
        left_out = clusters.left_out(scores)
        of_score, of_difference = (Jackknife(values[k], left_out[:, k]) for k in (0, 1))
        ends = [jackknife_interval(metric, of_score), of_difference.interval(0.025)]
    else:
        rng = np.random.default_rng(setup.seed)
        drawn = np.array([scores(clusters.draw(rng)) for _ in range(min(setup.samples, SAMPLES))])
        ends = [shifted_95(drawn[:, k], values[k]) if varies(drawn[:, k]) else None for k in (0, 1)]
    low, high = ends[1] or (None, None)
    slice_interval = clipped(metric, *ends[0]) if ends[0] is not None else {"low": None, "high": None}
    return slice_interval | {"difference": {"low": low, "high": high}}


def _share_intervals(inside: np.ndarray, others: np.ndarray, best: float) -> dict[str, Any]:
    """Return low, high and `difference` of a share: which examples of the slice, and which others, are right (bool)."""
    low, high = (best * end for end in wilson(int(inside.sum()), len(inside)))
    difference: dict[str, float | None] = {"low": None, "high": None}
    if len(others) >= MIN_ROWS:
        ends = newcombe((int(inside.sum()), int(others.sum())), (len(inside), len(others)))
        difference = dict(zip(("low", "high"), (best * end for end in ends), strict=True))
    return {"low": low, "high": high, "difference": difference}
