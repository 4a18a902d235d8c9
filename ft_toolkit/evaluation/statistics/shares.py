"""Intervals for shares of right examples: one share, two shares on different rows, and one share on clustered rows."""

import math
from statistics import NormalDist

import numpy as np

from ft_toolkit.metrics.clusters import Clusters, Jackknife
from ft_toolkit.metrics.metric import Metric


def wilson(hits: float, n: int, *, tail: float = 0.025) -> tuple[float, float]:
    """Return Wilson's interval of the share hits / n (Wilson 1927), with the probability `tail` on each side.

    It is also valid for shares of 0 and 1, and its ends increase with `hits` (Brown, Cai and DasGupta 2001).
    """
    z, share = NormalDist().inv_cdf(1 - tail), hits / n
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    # Without hits the low end is exactly 0, but rounding gives up to 3e-17; with only hits the high end is exactly 1.
    return max(0.0, low) if hits > 0 else 0.0, min(1.0, high) if hits < n else 1.0


def clustered_wilson(right: np.ndarray, weights: np.ndarray, clusters: Clusters) -> tuple[float, float]:
    """Return the 95% interval of a weighted share of right examples in clusters; `right` and `weights` have shape (n,).

    It is the t interval of the jackknife over clusters on the logit scale. A share that is equal in all clusters, such as 1,
    has Wilson's interval with one example per cluster. Without two examples in a cluster it is Wilson's interval.
    """
    counts, hits = clusters.sums(weights), clusters.sums(weights * right)
    counts, hits = counts[counts > 0], hits[counts > 0]
    k, n = len(counts), counts.sum()
    share = float(hits.sum() / n)
    if (counts <= 1).all():
        return wilson(share * round(n), round(n))
    ends = Jackknife(share, (hits.sum() - hits) / (n - counts)).share_interval(0.025, 1.0) if k > 1 else None
    return ends or wilson(share * k, k)


def newcombe(hits: tuple[int, int], n: tuple[int, int], *, tail: float = 0.025) -> tuple[float, float]:
    """Return the interval of the first share minus the second one, on different examples (Newcombe 1998, method 10)."""
    first, second = hits[0] / n[0], hits[1] / n[1]
    (first_low, first_high), (second_low, second_high) = (
        wilson(h, size, tail=tail) for h, size in zip(hits, n, strict=True)
    )
    return (
        first - second - math.hypot(first - first_low, second_high - second),
        first - second + math.hypot(first_high - first, second - second_low),
    )


def right_examples(metric: Metric, predictions: np.ndarray, references: np.ndarray) -> np.ndarray | None:
    """Return which examples are right, shape (n,), if the metric is the share of right examples; otherwise None.

    The mean of a fraction per example, such as the F1 of answers, is not such a share, and neither is a macro average.
    """
    if not metric.is_mean:
        return None
    n = len(references)
    both = np.concatenate([predictions.reshape(n, -1), references.reshape(n, -1)], axis=1)
    _, first, number = np.unique(both, axis=0, return_index=True, return_inverse=True)
    # Equal rows have equal values: a classifier has few distinct pairs of labels.
    distinct = np.array([metric.fn(predictions[i : i + 1], references[i : i + 1]) for i in first.tolist()])
    values = distinct[number.ravel()]
    right = values == metric.best
    if not (right | (values == 0)).all() or abs(right.mean() * metric.best - metric.fn(predictions, references)) > 1e-9:
        return None
    return np.asarray(right)
