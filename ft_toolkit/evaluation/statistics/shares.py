"""Intervals for shares of right examples on independent rows: one share, and two shares on different rows."""

import math
from statistics import NormalDist

import numpy as np

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
