"""Scores with 95% confidence intervals, from decoded predictions."""

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
    """The task with its settings, schema and metrics, and how predictions are scored.

    `samples` bootstrap resamples are drawn with `seed`. `slices` and `groups` are columns of the rows (see `break_down_split`).
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
    """All metrics of a split on `n` examples, their values on bootstrap resamples, and the tables of the task.

    `predictions` and `references` are the arrays of the task, shape (n, ...). With `definitions`, which maps each metric to its
    function, the metrics can be computed again on a part of the examples.
    """

    n: int
    definitions: Mapping[str, Metric]
    values: dict[str, float]
    resamples: dict[str, np.ndarray]
    details: dict[str, Any]
    predictions: np.ndarray
    references: np.ndarray

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Return {metric: {value, low, high, detectable}}: the value and its 95% interval, None where undefined.

        `detectable` is the smallest detectable difference from the score of another model, if both models have independent
        errors and the same standard error (see `smallest_detectable_difference`).
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
        """Return {metric: {low, high}}: the 95% interval of this score minus the score of `other`, by paired resamples.

        Both must be scores of the same examples with the same seed. The difference is significant if the interval excludes 0.
        """
        return {name: interval(self.resamples[name] - other.resamples[name]) for name in self.values}


def finite(value: float) -> float | None:
    """Return the value, or None if it is NaN or infinite, which JSON does not have."""
    return value if math.isfinite(value) else None


def interval(resamples: np.ndarray) -> dict[str, float | None]:
    """Return {low, high} of the central 95% of resampled values; both are None if all values are undefined."""
    low, high = central_95(resamples) or (None, None)
    return {"low": low, "high": high}


def score_interval(resamples: np.ndarray, metric: Metric | None, n: int) -> dict[str, float | None]:
    """Return {low, high}: the 95% interval of a score on `n` examples, from its bootstrap resamples.

    If all examples are right, or all are wrong, all resamples are equal and their interval has no width. Then a mean over
    examples gets Wilson's interval, and other metrics, or the score of a class (`metric` None), get no interval (None).
    """
    if varies(resamples):
        return interval(resamples)
    defined = resamples[~np.isnan(resamples)]
    if metric is None or not metric.is_mean or not len(defined) or defined[0] not in (0.0, metric.best):
        return {"low": None, "high": None}
    low, high = wilson_95(n if defined[0] == metric.best else 0, n)
    return {"low": low * metric.best, "high": high * metric.best}


def point_scores(
    decoded: list[dict[str, Any]], rows: Rows, task: Task, schema: Any, metrics: dict[str, Metric]
) -> dict[str, float]:
    """Return the metrics without intervals, for evaluations during training."""
    predictions, references = task.to_arrays(decoded, rows, schema)
    return {name: metric.fn(predictions, references) for name, metric in metrics.items()}


def full_scores(decoded: Sequence[dict[str, Any]], rows: Rows, setup: ScoringSetup) -> Scores:
    """Return the metrics computed by the `evaluate` library, their bootstrap resamples, and the tables of the task."""
    from ft_toolkit.metrics.offline import compute  # imports evaluate, which is slow

    predictions, references = setup.task.to_arrays(decoded, rows, setup.schema)
    values = compute(setup.metrics, predictions, references)
    fns = {name: metric.fn for name, metric in setup.metrics.items()}
    resamples = resample(fns, predictions, references, samples=setup.samples, seed=setup.seed)
    details = setup.task.details(predictions, references, setup.schema)
    return Scores(len(references), setup.metrics, values, resamples, details, predictions, references)
