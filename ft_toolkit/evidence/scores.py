"""From decoded predictions to scores with intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_toolkit.metrics.bootstrap import central_95, resample
from ft_toolkit.tasks.base import Metric, Rows, Task


@dataclass(frozen=True)
class Scores:
    """All metrics of a split, their values on bootstrap resamples, and the task's tables.

    `predictions` and `references` are the task's arrays, from which the metrics can be computed again on any of the examples.
    """

    n: int
    values: dict[str, float]
    resamples: dict[str, np.ndarray]
    details: dict[str, Any]
    predictions: np.ndarray
    references: np.ndarray

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Return {metric: {value, low, high}}: the value and its 95% interval, None for what is undefined."""
        return {
            name: {"value": None if math.isnan(value) else value, **interval(self.resamples[name])}
            for name, value in self.values.items()
        }

    def lead_over(self, other: "Scores") -> dict[str, dict[str, float | None]]:
        """Return {metric: {low, high}}: the 95% interval of this score minus `other`'s, resample by resample.

        Both must be of the same examples with the same seed. An interval without 0 shows a difference.
        """
        return {name: interval(self.resamples[name] - other.resamples[name]) for name in self.values}


def interval(resamples: np.ndarray) -> dict[str, float | None]:
    """Return {low, high} of the central 95% of resampled values, None for both where all are undefined."""
    low, high = central_95(resamples) or (None, None)
    return {"low": low, "high": high}


def point_scores(
    decoded: list[dict[str, Any]], rows: Rows, task: Task, schema: Any, metrics: dict[str, Metric]
) -> dict[str, float]:
    """Return the metrics without intervals, as the training run needs them between epochs."""
    predictions, references = task.to_arrays(decoded, rows, schema)
    return {name: metric.fn(predictions, references) for name, metric in metrics.items()}


def full_scores(
    decoded: Sequence[dict[str, Any]],
    *,
    rows: Rows,
    task: Task,
    schema: Any,
    metrics: dict[str, Metric],
    samples: int,
    seed: int,
) -> Scores:
    """Return metrics through `evaluate`, bootstrap intervals and the task's tables."""
    from ft_toolkit.metrics.offline import compute  # evaluate, which is slow to import

    predictions, references = task.to_arrays(decoded, rows, schema)
    values = compute(metrics, predictions, references)
    fns = {name: metric.fn for name, metric in metrics.items()}
    resamples = resample(fns, predictions, references, samples=samples, seed=seed)
    details = task.details(predictions, references, schema)
    return Scores(len(references), values, resamples, details, predictions, references)
