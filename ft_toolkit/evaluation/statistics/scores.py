"""Scores with 95% confidence intervals, from decoded predictions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np

from ft_toolkit.evaluation.statistics.shares import right_examples, wilson
from ft_toolkit.evaluation.statistics.significance import (
    detectable_difference,
    difference_interval,
    pair_scores,
    smallest_detectable_difference,
)
from ft_toolkit.metrics.bootstrap import bca_95, central_95, resample, shifted_95, varies
from ft_toolkit.metrics.clusters import Clusters, Jackknife
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import Rows, Task

# Up to this number of examples, the interval is corrected for skewness too (BCa).
FEW_EXAMPLES = 50


@dataclass(frozen=True)
class ScoringSetup:
    """The task with its settings, schema and metrics, and how predictions are scored.

    `samples` bootstrap resamples are drawn with `seed`. `slices` and `groups` are columns of the rows (see `break_down_split`).
    `clusters` are the clusters of the scored rows, None if the rows are independent.
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
    clusters: Clusters | None = None


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
    clusters: Clusters | None = None

    def metrics(self) -> dict[str, dict[str, float | None]]:
        """Return {metric: {value, low, high, detectable}}: the value and its 95% interval, None where undefined.

        `detectable` is the smallest detectable difference from the score of another model, if both models have independent
        errors and the same standard error (see `smallest_detectable_difference`).
        """
        return {
            name: {
                "value": finite(value),
                **score_interval(
                    self.definitions[name], self.predictions, self.references, self.resamples[name], self.clusters
                ),
                "detectable": smallest_detectable_difference(self.resamples[name], scores=2),
            }
            for name, value in self.values.items()
        }

    def lead_over(self, other: "Scores", main_metric: str, comparisons: int) -> dict[str, dict[str, float | None]]:
        """Return {metric: {low, high, level, detectable}}: the interval of this score minus the score of `other`.

        Both must be scores of the same examples with the same seed. The main metric is compared with `comparisons` other models
        in total, so its intervals are simultaneous. The other metrics are exploratory and have 95% intervals.
        """
        leads: dict[str, dict[str, float | None]] = {}
        for name, metric in self.definitions.items():
            pair = pair_scores(
                metric,
                (self.predictions, self.references),
                (other.predictions, other.references),
                partial(np.subtract, self.resamples[name], other.resamples[name]),
                self.clusters,
            )
            n = comparisons if name == main_metric else 1
            lead = difference_interval(pair, comparisons=n)
            leads[name] = {
                "low": lead.low,
                "high": lead.high,
                "level": lead.level,
                "detectable": detectable_difference(pair, n),
            }
        return leads


def finite(value: float) -> float | None:
    """Return the value, or None if it is NaN or infinite, which JSON does not have."""
    return value if math.isfinite(value) else None


def interval(resamples: np.ndarray) -> dict[str, float | None]:
    """Return {low, high} of the central 95% of resampled values; both are None if all values are undefined."""
    low, high = central_95(resamples) or (None, None)
    return {"low": low, "high": high}


def score_interval(
    metric: Metric,
    predictions: np.ndarray,
    references: np.ndarray,
    resamples: np.ndarray,
    clusters: Clusters | None = None,
) -> dict[str, float | None]:
    """Return {low, high}: the 95% interval of a score on examples, given its bootstrap resamples.

    A share of right examples has Wilson's interval and a Pearson correlation Fisher's. Other metrics have the interval of
    `shifted_95` or, on up to FEW_EXAMPLES examples, of `bca_95`. Both ends are None if all resamples are equal or undefined.
    """
    if clusters is not None:
        return _clustered_interval(metric, (predictions, references), resamples, clusters)
    right = right_examples(metric, predictions, references)
    if right is not None:
        low, high = wilson(int(right.sum()), len(right))
        return {"low": low * metric.best, "high": high * metric.best}
    n, score = len(references), metric.fn(predictions, references)
    if metric.is_pearson:
        return _fisher_interval(score, n)
    if not varies(resamples):
        return {"low": None, "high": None}
    ends: tuple[float, float] | None = None
    if 1 < n <= FEW_EXAMPLES:
        left_out = [metric.fn(np.delete(predictions, i, axis=0), np.delete(references, i, axis=0)) for i in range(n)]
        ends = bca_95(resamples, score, np.array(left_out))
    ends = ends or shifted_95(resamples, score)
    if ends is None:
        return {"low": None, "high": None}
    return clipped(metric, *ends)


def _clustered_interval(
    metric: Metric, arrays: tuple[np.ndarray, np.ndarray], resamples: np.ndarray, clusters: Clusters
) -> dict[str, float | None]:
    """Return {low, high} of a score on clusters of examples, from resampled clusters or, on few clusters, the jackknife.

    A share of right examples that is equal in all clusters, such as 1, has Wilson's interval with one example per cluster.
    """
    score = metric.fn(*arrays)
    if clusters.are_few:
        left_out = clusters.left_out(lambda rows: metric.fn(arrays[0][rows], arrays[1][rows]))
        ends = jackknife_interval(metric, Jackknife(score, left_out))
    else:
        ends = shifted_95(resamples, score) if varies(resamples) else None
    if ends is None:
        right = right_examples(metric, *arrays)
        if right is None:
            return {"low": None, "high": None}
        low, high = wilson(float(right.mean()) * clusters.n, clusters.n)
        ends = low * metric.best, high * metric.best
    return clipped(metric, *ends)


def jackknife_interval(metric: Metric, jackknife: Jackknife) -> tuple[float, float] | None:
    """Return the ends of the 95% interval of a score on few clusters, None if it is undefined or has no width."""
    if metric.is_share or metric.is_mean:
        return jackknife.share_interval(0.025, metric.best)
    return jackknife.interval(0.025)


def clipped(metric: Metric, low: float, high: float) -> dict[str, float | None]:
    """Return {low, high} within the possible values of a metric, both None for an interval of width 0."""
    return (
        _with_width(max(low, 0.0), min(high, metric.best))
        if metric.is_share or metric.is_mean
        else _with_width(low, high)
    )


def _fisher_interval(correlation: float, n: int) -> dict[str, float | None]:
    """Return {low, high} of a Pearson correlation by Fisher's z (Fisher 1921).

    Both are None on 3 examples or fewer, and for a correlation of 1 or -1.
    """
    if n <= 3 or not abs(correlation) < 1:
        return {"low": None, "high": None}
    z, half = math.atanh(correlation), NormalDist().inv_cdf(0.975) / math.sqrt(n - 3)
    return {"low": math.tanh(z - half), "high": math.tanh(z + half)}


def varying_interval(resamples: np.ndarray) -> dict[str, float | None]:
    """Return {low, high} of the central 95% of resampled values; both are None if these are all equal or undefined."""
    return _with_width(*(central_95(resamples) or (None, None)))


def _with_width(low: float | None, high: float | None) -> dict[str, float | None]:
    """Return {low, high}, both None for an interval of width 0: it would claim that the score is certain."""
    return {"low": low, "high": high} if low != high else {"low": None, "high": None}


def point_scores(predictions: np.ndarray, references: np.ndarray, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Return the metrics of the arrays of a task without intervals, for evaluations during training."""
    return {name: metric.fn(predictions, references) for name, metric in metrics.items()}


def full_scores(decoded: Sequence[dict[str, Any]], rows: Rows, setup: ScoringSetup) -> Scores:
    """Return the metrics computed by the `evaluate` library, their bootstrap resamples, and the tables of the task."""
    from ft_toolkit.metrics.offline import compute  # imports evaluate, which is slow

    predictions, references = setup.task.to_arrays(decoded, rows, setup.schema)
    values = compute(setup.metrics, predictions, references)
    fns = {name: metric.fn for name, metric in setup.metrics.items()}
    resamples = resample(fns, predictions, references, samples=setup.samples, seed=setup.seed, clusters=setup.clusters)
    details = setup.task.details(predictions, references, setup.schema)
    return Scores(len(references), setup.metrics, values, resamples, details, predictions, references, setup.clusters)
