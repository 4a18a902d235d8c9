"""From decoded predictions to scores with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_toolkit.evaluation.statistics.significance import smallest_detectable_difference
from ft_toolkit.metrics.bootstrap import central_95, resample, varies
from ft_toolkit.metrics.calibration import wilson_95
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import Rows, Task


@dataclass(frozen=True)
class ScoringSetup:
    """How predictions are scored: by a task with its settings, schema and metrics, of which one stands for all.

    `samples` bootstrap resamples are drawn from `seed`. `slices` and `groups` are columns of the rows (see `break_down_split`).
    """

    task: Task
    settings: Any
    schema: Any
    metrics: dict[str, Metric]
    main_metric: str
    samples: int
    seed: int
    slices: Sequence[str] = ()
    groups: Sequence[str] = ()


@dataclass(frozen=True)
class Scores:
    """All metrics of a split, their values on bootstrap resamples, and the task's tables.

    `predictions` and `references` are the task's arrays, from which the metrics can be computed again on any of the examples;
    `definitions` says how.
    """

    n: int
    definitions: Mapping[str, Metric]
    values: dict[str, float]
    resamples: dict[str, np.ndarray]
    details: dict[str, Any]
    predictions: np.ndarray
    references: np.ndarray

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Return {metric: {value, low, high, detectable}}: the value, its 95% interval, None for what is undefined.

        `detectable` is how far another model's score must be from it for these examples to show the difference (at level
        0.05, with a chance of 0.8), if the two err independently and are equally uncertain: see `tests_of_difference`.
        """
        return {
            name: {
                "value": finite(value),
                **score_interval(self.resamples[name], self.definitions[name], self.n),
                "detectable": smallest_detectable_difference(self.resamples[name], scores=2),
            }
            for name, value in self.values.items()
        }

    def lead_over(self, other: "Scores") -> dict[str, dict[str, float | None]]:
        """Return {metric: {low, high}}: the 95% interval of this score minus `other`'s, resample by resample.

        Both must be of the same examples with the same seed. An interval without 0 shows a difference.
        """
        return {name: interval(self.resamples[name] - other.resamples[name]) for name in self.values}


def finite(value: float) -> float | None:
    """Return the value, or None where it is undefined, as JSON has no NaN."""
    return value if math.isfinite(value) else None


def interval(resamples: np.ndarray) -> dict[str, float | None]:
    """Return {low, high} of the central 95% of resampled values, None for both where all are undefined."""
    low, high = central_95(resamples) or (None, None)
    return {"low": low, "high": high}


def score_interval(resamples: np.ndarray, metric: Metric | None, n: int) -> dict[str, float | None]:
    """Return {low, high} of a score on `n` examples, from its resamples.

    Those of examples that are all right, or all wrong, are all alike and hide that others would not be. What is a mean over
    examples gets Wilson's interval then, and another metric, or that of a class (None), none: n examples bound no F1 of others.
    """
    if varies(resamples):
        return interval(resamples)
    known = resamples[~np.isnan(resamples)]
    if metric is None or not metric.is_mean or not len(known) or known[0] not in (0.0, metric.best):
        return {"low": None, "high": None}
    low, high = wilson_95(n if known[0] == metric.best else 0, n)
    return {"low": low * metric.best, "high": high * metric.best}


def point_scores(
    decoded: list[dict[str, Any]], rows: Rows, task: Task, schema: Any, metrics: dict[str, Metric]
) -> dict[str, float]:
    """Return the metrics without intervals, as the training run needs them between epochs."""
    predictions, references = task.to_arrays(decoded, rows, schema)
    return {name: metric.fn(predictions, references) for name, metric in metrics.items()}


def full_scores(decoded: Sequence[dict[str, Any]], rows: Rows, plan: ScoringSetup) -> Scores:
    """Return metrics through `evaluate`, bootstrap intervals and the task's tables."""
    from ft_toolkit.metrics.offline import compute  # evaluate, which is slow to import

    predictions, references = plan.task.to_arrays(decoded, rows, plan.schema)
    values = compute(plan.metrics, predictions, references)
    fns = {name: metric.fn for name, metric in plan.metrics.items()}
    resamples = resample(fns, predictions, references, samples=plan.samples, seed=plan.seed)
    details = plan.task.details(predictions, references, plan.schema)
    return Scores(len(references), plan.metrics, values, resamples, details, predictions, references)
